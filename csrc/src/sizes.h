/* The one idiom for sizes that may not fit: SIZE_MAX stands for "too large", which no memory has, and stays so in sums and products. */
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

#endif
