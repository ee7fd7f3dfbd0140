/* Arithmetic that stops at the largest number. The one idiom for sizes that may not fit: SIZE_MAX stands for "too large", which no
   memory has, and stays so in sums and products. Counts in 64 bits do the same at UINT64_MAX. */
#ifndef AETHER_SIZES_H
#define AETHER_SIZES_H

#include "aether/status.h"

typedef struct aether_bytes {
    size_t total;
    int too_large;
} aether_bytes;

/* a*b and a+b, SIZE_MAX when they do not fit. */
size_t aether_mul(size_t a, size_t b);
size_t aether_add(size_t a, size_t b);

/* Adds count elements of `size` bytes, rounded up to 8, and returns where they begin. */
size_t aether_take(aether_bytes *bytes, size_t count, size_t size);

/* A 64-bit count as size_t, SIZE_MAX when it does not fit. */
static inline size_t aether_count(uint64_t n) {
    return n > SIZE_MAX ? SIZE_MAX : (size_t)n;
}

static inline aether_status aether_taken(const aether_bytes *bytes, size_t *total) {
    if (bytes->too_large) {
        return AETHER_E_TOO_LARGE;
    }
    *total = bytes->total;
    return AETHER_OK;
}

static inline int aether_aligned(const void *p, size_t alignment) {
    return ((uintptr_t)p & (alignment - 1)) == 0;
}

/* Whether a caller's memory has the bytes and the alignment that an object needs. */
static inline aether_status aether_enough(const void *memory, size_t bytes, size_t need, size_t alignment) {
    if (bytes < need) {
        return AETHER_E_MEMORY;
    }
    return aether_aligned(memory, alignment) ? AETHER_OK : AETHER_E_ALIGNMENT;
}

/* Counts. */

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
    const uint64_t growing = most < n ? most + 1 : n; /* the terms 0 ... growing-1 */
    const uint64_t triangle = growing == 0 ? 0
                              : growing % 2 == 0 ? aether_times(growing / 2, growing - 1)
                                                : aether_times(growing, (growing - 1) / 2);
    return aether_plus(triangle, aether_times(n - growing, most));
}

#endif
