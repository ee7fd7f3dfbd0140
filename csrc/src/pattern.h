/* The rules of the reference pattern (docs/spec/pattern.md) that counts of edges, memory and kernels share with its lists. */
#ifndef AETHER_PATTERN_H
#define AETHER_PATTERN_H

#include "aether/head.h"

/* Log-strides are the powers of two. */
static inline int aether_is_stride(uint64_t distance) {
    return distance != 0 && (distance & (distance - 1)) == 0;
}

/* The next longer stride; 0 after the longest. */
static inline uint64_t aether_next_stride(uint64_t stride) {
    return stride > UINT64_MAX / 2 ? 0 : stride * 2;
}

/* The same for distances of blocks to the pivot: without log-stride the first neighbour is the only one. */
static inline uint64_t aether_next_distance(const aether_config *config, uint64_t distance) {
    return config->use_log_stride ? aether_next_stride(distance) : 0;
}

/* How many blocks exist for token i: causal, those that end there or before; otherwise those that begin there or before. The last
   of them is the pivot of query i. */
static inline uint64_t aether_blocks_at(const aether_config *config, uint64_t i) {
    const uint64_t size = config->block_size;
    if (config->causal) {
        return i >= size - 1 ? (i - (size - 1)) / size + 1 : 0;
    }
    return i / size + 1;
}

/* 1 when any query can see a landmark: block means need to be built, and are checked, exactly then. */
int aether_pattern_has_landmarks(const aether_config *config);

#endif
