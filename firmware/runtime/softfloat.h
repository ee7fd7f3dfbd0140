/* binary32 as integers: what the arithmetic, conversion and comparison helpers share. */
#ifndef AETHER_RUNTIME_SOFTFLOAT_H
#define AETHER_RUNTIME_SOFTFLOAT_H

#include "helper.h"

#define SOFT_SIGN 0x80000000u
#define SOFT_INFINITY 0x7F800000u
#define SOFT_NAN 0x7FC00000u
#define SOFT_QUIET 0x00400000u
#define SOFT_FRACTION 0x007FFFFFu
#define SOFT_HIDDEN 0x00800000u

typedef union soft_value {
    float value;
    uint32_t bits;
} soft_value;

static inline float soft_float(uint32_t bits) {
    soft_value v;
    v.bits = bits;
    return v.value;
}

static inline uint32_t soft_bits(float value) {
    soft_value v;
    v.value = value;
    return v.bits;
}

static inline uint32_t soft_exponent(uint32_t bits) {
    return bits >> 23 & 255u;
}

/* Rounds seven bits away; the carry runs into the exponent, where it belongs. */
static inline uint32_t soft_rounded(uint32_t m) {
    const uint32_t rest = m & 0x7Fu;
    m >>= 7;
    return m + (rest > 0x40u || (rest == 0x40u && (m & 1u) != 0));
}

/* m * 2^(exponent-157), rounded to nearest even; m any value, its lowest bit set when anything nonzero lies below it. */
static inline uint32_t soft_pack(uint32_t sign, int exponent, uint32_t m) {
    int shift;
    if (m == 0) {
        return sign;
    }
    if (m >> 31 != 0) {
        m = m >> 1 | (m & 1u);
        exponent++;
    }
    shift = helper_zeros(m) - 1; /* the leading one goes to bit 30 */
    m <<= shift;
    exponent -= shift;
    if (exponent >= 255) {
        return sign | SOFT_INFINITY;
    }
    if (exponent <= 0) {
        const int down = 1 - exponent;
        m = down > 31 ? 1u : m >> down | (m << (32 - down) != 0);
        return sign | soft_rounded(m);
    }
    return sign | ((((uint32_t)exponent - 1) << 23) + soft_rounded(m));
}

#endif
