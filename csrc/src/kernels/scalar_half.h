/* Elements of rows and matrices: binary32, or binary16 widened by shift and mask. */
#ifndef AETHER_SCALAR_HALF_H
#define AETHER_SCALAR_HALF_H

#include "../bits.h"
#include "scalar_hints.h"

/* Sign and magnitude of a binary16 value, moved to their places in binary32, are the value times 2^-112, exactly. What it is
   multiplied by is held times 2^112, so the product, and with it its rounding, is that of the values themselves. */
#define HALF_MASK 0x8FFFE000u
#define HALF_SCALE 0x1p112f

/* Element i of a row of floats, or of finite binary16 values, those times 2^-112. Constant where called: half. */
INLINE float element(const void *row, size_t i, int half) {
    if (half) {
        return aether_from_bits(((uint32_t)(int32_t)((const int16_t *)row)[i] << 13) & HALF_MASK);
    }
    return ((const float *)row)[i];
}

/* What an element is multiplied by. Constant where called: half. */
INLINE float factor(float x, int half) {
    return half ? x * HALF_SCALE : x;
}

/* The row that begins n elements later. Constant where called: half. */
INLINE const void *later(const void *row, size_t n, int half) {
    return (const unsigned char *)row + n * (half ? sizeof(int16_t) : sizeof(float));
}

/* 1 when every value times 2^112 is finite. */
static inline int scalar_can_scale(const float *x, size_t n) {
    const uint32_t limit = 0x47800000u; /* 2^16 */
    size_t i;
    for (i = 0; i < n; i++) {
        if ((aether_bits(x[i]) & 0x7FFFFFFFu) >= limit) {
            return 0;
        }
    }
    return 1;
}

#endif
