/* Arithmetic on counts that stops at UINT64_MAX. */
#ifndef AETHER_SATURATING_H
#define AETHER_SATURATING_H

#include <stdint.h>

static inline uint64_t aether_plus(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* By halves: compilers make 128-bit arithmetic, which a chip has no helper for, of the usual division test. */
static inline uint64_t aether_times(uint64_t a, uint64_t b) {
    const uint64_t low = 0xFFFFFFFFu;
    const uint64_t cross = (a >> 32) * (b & low) + (a & low) * (b >> 32); /* one of the two is 0, or the product is too large */
    if (((a >> 32) != 0 && (b >> 32) != 0) || cross > low) {
        return UINT64_MAX;
    }
    return aether_plus(cross << 32, (a & low) * (b & low));
}

/* a - b, or 0. */
static inline uint64_t aether_above(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

static inline uint64_t aether_least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Sum of min(j, most) for j = 0 ... n-1. */
static inline uint64_t aether_ramp(uint64_t n, uint64_t most) {
    const uint64_t rising = most < n ? most + 1 : n; /* the terms 0 ... rising-1 */
    const uint64_t triangle = rising == 0 ? 0
                              : rising % 2 == 0 ? aether_times(rising / 2, rising - 1)
                                                : aether_times(rising, (rising - 1) / 2);
    return aether_plus(triangle, aether_times(n - rising, most));
}

#endif
