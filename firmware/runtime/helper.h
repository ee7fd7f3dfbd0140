/* Small pieces the compiler helpers share. */
#ifndef AETHER_RUNTIME_HELPER_H
#define AETHER_RUNTIME_HELPER_H

#include "compiler_calls.h"

/* Two halves of a 64-bit value, so that no helper needs another one to shift or add. Little-endian. */
typedef union helper_wide {
    uint64_t all;
    struct {
        uint32_t low, high;
    } part;
} helper_wide;

/* Leading zeros; 32 for 0. */
static inline int helper_zeros(uint32_t x) {
    int n = 0;
    if (x == 0) {
        return 32;
    }
    if ((x & 0xFFFF0000u) == 0) {
        n += 16;
        x <<= 16;
    }
    if ((x & 0xFF000000u) == 0) {
        n += 8;
        x <<= 8;
    }
    if ((x & 0xF0000000u) == 0) {
        n += 4;
        x <<= 4;
    }
    if ((x & 0xC0000000u) == 0) {
        n += 2;
        x <<= 2;
    }
    return n + ((x & 0x80000000u) == 0);
}

/* All 64 bits of a product, from 16-bit pieces. */
static inline helper_wide helper_multiply(uint32_t a, uint32_t b) {
    const uint32_t low = (a & 0xFFFFu) * (b & 0xFFFFu);
    const uint32_t cross = (a & 0xFFFFu) * (b >> 16);
    const uint32_t other = (a >> 16) * (b & 0xFFFFu);
    const uint32_t middle = (low >> 16) + (cross & 0xFFFFu) + (other & 0xFFFFu);
    helper_wide product;
    product.part.low = (low & 0xFFFFu) | middle << 16;
    product.part.high = (a >> 16) * (b >> 16) + (cross >> 16) + (other >> 16) + (middle >> 16);
    return product;
}

#endif
