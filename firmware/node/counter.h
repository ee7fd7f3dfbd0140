/* A counter that one task writes and others may read at any time. */
#ifndef NODE_COUNTER_H
#define NODE_COUNTER_H

#include <stdint.h>

/* By its one writer. */
static inline void node_counter_set(uint32_t *counter, uint32_t value) {
    __atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

static inline void node_counter_add(uint32_t *counter, uint32_t count) {
    node_counter_set(counter, *counter + count);
}

/* By anyone. */
static inline uint32_t node_counter_get(const uint32_t *counter) {
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif
