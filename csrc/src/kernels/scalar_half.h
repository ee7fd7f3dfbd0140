/* binary16 by shift and mask. */
#ifndef AETHER_SCALAR_HALF_H
#define AETHER_SCALAR_HALF_H

#include "../bits.h"

/* A finite binary16 value times 2^-112, exactly: sign and magnitude moved to their places in binary32. What it is multiplied by
   is held times 2^112, so the product, and with it its rounding, is that of the values themselves. */
#define HALF_MASK 0x8FFFE000u
#define HALF(x) aether_from_bits(((uint32_t)(int32_t)(x) << 13) & HALF_MASK)
#define SINGLE(x) (x)
#define HALF_SCALE 0x1p112f

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
