/* Models in integers (docs/spec/integers.md): the operations on one row, and the check of a blob. */
#ifndef AETHER_INT8_H
#define AETHER_INT8_H

#include "bits.h"
#include "model_layout.h"

/* The largest magnitudes: of the residual stream, of an activation, of a key or value, of a logit before its unit. */
#define AETHER_INT8_RESIDUAL 32767
#define AETHER_INT8_ACTIVATION 2047
#define AETHER_INT8_STORED 127
#define AETHER_INT8_LOGIT 0xFFFFFF
#define AETHER_INT8_ONE_BITS 22 /* 2^22 is 1 in a vector made by aether_int8_unit */

static inline int32_t aether_int8_clamp(int32_t v, int32_t most) {
    return v > most ? most : v < -most ? -most : v;
}

/* The high word of a product: one instruction, unless a compiler widens the factors elsewhere and multiplies 64 bits. */
static inline int32_t aether_int8_high(int32_t a, int32_t b) {
#if defined(__GNUC__)
    __asm__("" : "+r"(a), "+r"(b));
#endif
    return (int32_t)(((int64_t)a * b) >> 32);
}

/* a * multiplier / 2^29, rounded. |a| < 2^27. */
static inline int32_t aether_int8_narrow(int32_t a, int32_t multiplier) {
    return (aether_int8_high(a * 16, multiplier) + 1) >> 1;
}

/* How many bits s has; 0 for 0. */
static inline unsigned aether_int8_bits(uint32_t s) {
    unsigned bits = 0, step;
    for (step = 16; step > 0; step /= 2) {
        if (s >> step != 0) {
            s >>= step;
            bits += step;
        }
    }
    return bits + (s != 0);
}

/* 2^(15 + bits) / s, where `bits` is the number of bits of s > 0. */
static inline uint32_t aether_int8_reciprocal(uint32_t s, unsigned bits) {
    return 0x80000000u / (bits <= 16 ? s << (16 - bits) : s >> (bits - 16));
}

/* -24 to 24: the exponent of a unit, which is a power of two. */
static inline int aether_int8_exponent(float unit) {
    const aether_word word = {unit};
    return (int)(word.bits >> 23) - 127;
}

/* x / 2^exponent, rounded, a half to the even integer. 0 when |*u| would be more than 32767. x is finite. */
int aether_int8_whole(float x, int exponent, int32_t *u);

/* x as an integer. 0 when x is not a whole number from 1 to 2^24. */
int aether_int8_eps(float x, uint32_t *eps);

/* n * 2^exponent, |n| < 2^24: exact. */
float aether_int8_real(int32_t n, int exponent);

/* x over the root of `extra` + the sum of its squares, times 2^22. */
void aether_int8_unit(const int16_t *x, size_t n, uint32_t extra, int32_t *y);

/* y[o] = bias[o] (or 0) + the sum of x[i]*w[i][o], narrowed by multiplier[o]. */
void aether_int8_linear(const int16_t *x, size_t in, const int8_t *w, size_t out, const int32_t *bias, const int32_t *multiplier,
                        int32_t *y);

/* The same, clamped to -most ... most. */
void aether_int8_linear_clamped(const int16_t *x, size_t in, const int8_t *w, size_t out, const int32_t *bias, const int32_t *multiplier,
                                int32_t most, int16_t *y);

/* y[c] = bias[c] + the sum of rows[(newest - j) mod taps][c]*weight[j][c], narrowed by multiplier[c]. rows [taps][w]. */
void aether_int8_filter(const int16_t *rows, size_t newest, size_t taps, size_t w, const int32_t *bias, const int32_t *weight,
                        const int32_t *multiplier, int32_t *y);

/* Checks a model in integers: no sum can overflow after this. */
aether_status aether_int8_check(const aether_model *m, aether_detail *detail);

#endif
