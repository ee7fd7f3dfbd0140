/* The loops for processors without vectors: several outputs at a time, each held in a register, so that what they share is
   loaded once. Eight or twelve sums, their operands and a product fit the sixteen registers of a small FPU. The order inside one
   output is that of portable.c. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__XTENSA__)
/* GCC's scheduling before register allocation moves loads so far ahead that the sums no longer fit the registers and are spilled. */
#pragma GCC optimize("no-schedule-insns")
#endif

#include "scalar_linear.h"
#include "scalar_query.h"

/* 1 when all n values, whose sum is given, are finite. A sum of finite values may overflow, but once one term is not finite no sum
   is: only then are they looked at one by one. */
static int finite_sum(float sum, const float *x, size_t n) {
    return (aether_bits(sum) & 0x7FFFFFFFu) < 0x7F800000u || aether_all_finite(x, n);
}

static int linear(const float *x, size_t rows, size_t in, const void *w, aether_dtype wtype, const float *bias,
                  size_t out, float *y) {
    if (wtype == AETHER_BINARY32) {
        return finite_sum(linear_rows(x, rows, in, w, bias, out, y, 0), y, rows * out);
    }
    if (scalar_can_scale(x, rows * in)) {
        return finite_sum(linear_rows(x, rows, in, w, bias, out, y, 1), y, rows * out);
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

/* One value. Returns bits whose bit 28 says that its exponent is the greatest, that of infinity and NaN. */
INLINE uint32_t widen_one(uint16_t half, float *x, uint32_t mask, uint32_t one) {
    const uint32_t bits = ((uint32_t)(int32_t)(int16_t)half << 13) & mask;
    *x = aether_from_bits(bits) * HALF_SCALE;
    return bits + one;
}

static void widen(const uint16_t *half, float *x, size_t n) {
    const float *const first = x, *const end = x + n, *const end_4 = x + (n & ~(size_t)3);
    const uint32_t mask = kept(HALF_MASK), one = kept(0x00800000u);
    uint32_t most = 0;
    size_t i;
    for (; x != end_4; x += 4, half += 4) {
        UNROLL
        for (i = 0; i < 4; i++) {
            most |= widen_one(half[i], x + i, mask, one);
        }
    }
    for (; x != end; x++, half++) {
        most |= widen_one(*half, x, mask, one);
    }
    while ((most & 0x10000000u) != 0 && x != first) {
        *--x = aether_widen(*--half);
    }
}

/* Constants of narrow. */
typedef struct narrowing {
    uint32_t below_half, bias, normal, mask;
} narrowing;

/* A value that is normal in binary16, and still is when rounded; 1 for any other, which is to be done again. Exponent and fraction
   of the result stand in `code` from bit 14 on. */
INLINE int narrow_normal(float x, uint16_t *half, float *rounded, const narrowing *by) {
    const uint32_t bits = aether_bits(x);
    const uint32_t nearest = bits + by->below_half + (bits >> 13 & 1u);
    const uint32_t code = (nearest << 1) + by->bias;
    *half = (uint16_t)(code >> 14 | nearest >> 31 << 15);
    *rounded = aether_from_bits(nearest & by->mask);
    return code - 0x01000000u >= by->normal;
}

/* Any value; 1 when it does not fit. */
static int narrow_any(float x, uint16_t *half, float *rounded) {
    const int failed = aether_narrow(x, half) != AETHER_OK;
    if (!failed) {
        *rounded = aether_widen(*half);
    }
    return failed;
}

static int narrow(const float *x, uint16_t *half, float *rounded, size_t n) {
    const float *const first = x, *const end = x + n, *const end_2 = x + (n & ~(size_t)1);
    const size_t step = rounded != NULL;
    const narrowing by = {kept(0xFFFu), kept(0u - 0x70000000u), kept(0x1E000000u), kept(~(uint32_t)0x1FFFu)};
    float nowhere, *wide = rounded != NULL ? rounded : &nowhere;
    int rare = 0, failed = 0;
    for (; x != end_2; x += 2, half += 2, wide += 2 * step) {
        if (narrow_normal(x[0], half, wide, &by)) {
            rare = 1;
        }
        if (narrow_normal(x[1], half + 1, wide + step, &by)) {
            rare = 1;
        }
    }
    if (x != end) {
        if (narrow_normal(*x, half, wide, &by)) {
            rare = 1;
        }
        x++, half++, wide += step;
    }
    while (rare && !failed && x != first) {
        x--, half--, wide -= step;
        failed = narrow_any(*x, half, wide);
    }
    return failed;
}

const aether_kernels aether_kernels_scalar = {
    "scalar", linear, all_finite, widen, narrow, attend_query,
};
