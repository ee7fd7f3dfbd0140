/* The loops for processors without vectors: several outputs at a time, each held in a register, so that what they share is
   loaded once. Eight or twelve sums, their operands and a product fit the sixteen registers of a small FPU. The order inside one
   output is that of portable.c. Sums have names of their own, because a compiler that saves bytes would keep an array in memory. */
#include "scalar_query.h"

/* 1 when all n values are finite. A sum of finite values may overflow, but once one term is not finite no sum is: only then do they
   need another look. */
static int finite_sum(float sum, const float *x, size_t n) {
    return (aether_bits(sum) & 0x7FFFFFFFu) < 0x7F800000u || aether_all_finite(x, n);
}

#define NAME(x) x##_single
#define WEIGHT float
#define INPUT(x) (x)
#define WIDE(w) (w)
#define INPUTS_A_TURN 8
#include "scalar_linear.h"

#define NAME(x) x##_half
#define WEIGHT int16_t
#define INPUT(x) ((x) * HALF_SCALE)
#define WIDE(w) HALF(w)
#define INPUTS_A_TURN 2 /* code is larger here, and turns matter less */
#include "scalar_linear.h"

static int linear(const float *x, size_t rows, size_t in, const void *w, aether_dtype wtype, const float *bias,
                  size_t out, float *y) {
    if (wtype == AETHER_BINARY32) {
        return linear_single(x, rows, in, w, bias, out, y);
    }
    if (scalar_can_scale(x, rows * in)) {
        return linear_half(x, rows, in, w, bias, out, y);
    }
    return aether_portable_linear(x, rows, in, w, wtype, bias, out, y);
}

static int all_finite(const float *x, size_t n) {
    const float *const end_8 = x + (n & ~(size_t)7), *const end = x + n;
    const float *at = x;
    float sum = 0.0f;
    for (; at != end_8; at += 8) {
        sum = sum + at[0] + at[1] + at[2] + at[3] + at[4] + at[5] + at[6] + at[7];
    }
    for (; at != end; at++) {
        sum = sum + *at;
    }
    return finite_sum(sum, x, n);
}

/* One value; the greatest exponent, that of infinity and NaN, overflows into bit 28 of `most`. */
#define WIDEN(i)                                                                \
    do {                                                                        \
        const uint32_t bits = ((uint32_t)(int32_t)(int16_t)half[i] << 13) & mask; \
        x[i] = aether_from_bits(bits) * HALF_SCALE;                             \
        most |= bits + one;                                                     \
    } while (0)

static void widen(const uint16_t *half, float *x, size_t n) {
    const float *const first = x, *const end = x + n, *const end_4 = x + (n & ~(size_t)3);
    uint32_t mask = HALF_MASK, one = 0x00800000u, most = 0;
    KEEP(mask);
    KEEP(one);
    for (; x != end_4; x += 4, half += 4) {
        WIDEN(0);
        WIDEN(1);
        WIDEN(2);
        WIDEN(3);
    }
    for (; x != end; x++, half++) {
        WIDEN(0);
    }
    while ((most & 0x10000000u) != 0 && x != first) {
        *--x = aether_widen(*--half);
    }
}

/* Any value. */
static int narrow_one(float x, uint16_t *half, float *rounded) {
    const int failed = aether_narrow(x, half) != AETHER_OK;
    if (!failed) {
        *rounded = aether_widen(*half);
    }
    return failed;
}

/* A value that is normal in binary16, and still is when rounded; others are done again. Exponent and fraction of the result stand in
   `code` from bit 14 on. */
#define NARROW(i)                                                              \
    do {                                                                       \
        const uint32_t bits = aether_bits(x[i]);                               \
        const uint32_t nearest = bits + below_half + (bits >> 13 & 1u);        \
        const uint32_t code = (nearest << 1) + bias;                           \
        half[i] = (uint16_t)(code >> 14 | nearest >> 31 << 15);                \
        wide[(i) * step] = aether_from_bits(nearest & mask);                   \
        if (code - 0x01000000u >= normal) {                                    \
            rare = 1;                                                          \
        }                                                                      \
    } while (0)

static int narrow(const float *x, uint16_t *half, float *rounded, size_t n) {
    const float *const first = x, *const end = x + n, *const end_2 = x + (n & ~(size_t)1);
    const size_t step = rounded != NULL;
    uint32_t below_half = 0xFFFu, bias = 0u - 0x70000000u, normal = 0x1E000000u, mask = ~(uint32_t)0x1FFFu;
    float nowhere, *wide = rounded != NULL ? rounded : &nowhere;
    int rare = 0, failed = 0;
    KEEP(below_half);
    KEEP(bias);
    KEEP(normal);
    KEEP(mask);
    for (; x != end_2; x += 2, half += 2, wide += 2 * step) {
        NARROW(0);
        NARROW(1);
    }
    if (x != end) {
        NARROW(0);
        x++, half++, wide += step;
    }
    while (rare && !failed && x != first) {
        x--, half--, wide -= step;
        failed = narrow_one(*x, half, wide);
    }
    return failed;
}

const aether_kernels aether_kernels_scalar = {
    "scalar", linear, all_finite, widen, narrow, attend_query,
};
