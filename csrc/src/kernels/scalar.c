/* The loops for processors without vectors: several outputs at a time, each held in a register, so that what they share is
   loaded once. Eight or twelve sums, their operands and a product fit the sixteen registers of a small FPU. The order inside one
   output is that of portable.c. Sums have names of their own, because a compiler that saves bytes would keep an array in memory. */
#include "scalar_gather.h"

#define GATHER gather
#include "rows.h"

#define NAME(x) x##_single
#define WEIGHT float
#define INPUT(x) (x)
#define WIDE(w) (w)
#include "scalar_linear.h"

#define NAME(x) x##_half
#define WEIGHT int16_t
#define INPUT(x) ((x) * HALF_SCALE)
#define WIDE(w) HALF(w)
#include "scalar_linear.h"

static void linear(const float *x, size_t rows, size_t in, const void *w, aether_dtype wtype, const float *bias,
                   size_t out, float *y) {
    if (wtype == AETHER_BINARY32) {
        linear_single(x, rows, in, w, bias, out, y);
    } else if (scalar_can_scale(x, rows * in)) {
        linear_half(x, rows, in, w, bias, out, y);
    } else {
        aether_portable_linear(x, rows, in, w, wtype, bias, out, y);
    }
}

/* A sum of finite values may overflow, but once one term is not finite no sum is: only then does it need another look. */
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
    return (aether_bits(sum) & 0x7FFFFFFFu) < 0x7F800000u || aether_all_finite(x, n);
}

static void widen(const uint16_t *half, float *x, size_t n) {
    for (; n > 0; n--) {
        *x++ = aether_widen(*half++);
    }
}

static int narrow(const float *x, uint16_t *half, size_t n) {
    for (; n > 0; n--, x++, half++) {
        const uint32_t bits = aether_bits(*x), magnitude = bits & 0x7FFFFFFFu;
        if (magnitude - 0x38800000u < 0x477FF000u - 0x38800000u) { /* normal in binary16, and so after rounding */
            const uint32_t rounded = (magnitude + 0xFFFu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
            *half = (uint16_t)((bits >> 16 & 0x8000u) | rounded);
        } else if (aether_narrow(*x, half) != AETHER_OK) {
            return 1;
        }
    }
    return 0;
}

const aether_kernels aether_kernels_scalar = {
    "scalar", linear, all_finite, widen, narrow, gather, plan_bytes, prepare, rows_bytes, rows,
};
