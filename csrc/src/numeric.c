#include "aether/numeric.h"

#include "bits.h"
#include "exp.h"
#include "fpenv.h"

static AETHER_NOINLINE float exp_here(float x) {
    return aether_exp_inline(x);
}

float aether_exp(float x) {
    const aether_fpenv env = aether_fpenv_enter();
    const float y = exp_here(x);
    aether_fpenv_leave(env);
    return y;
}

/* Digit by digit on the significand; the remainder decides the rounding (a root is never half way). */
float aether_sqrt(float x) {
    uint32_t bits = aether_bits(x);
    uint32_t exponent = bits >> 23;
    uint32_t significand = bits & 0x7FFFFFu;
    uint64_t rest, root = 0, bit;
    if (bits == 0 || bits == 0x7F800000u) {
        return x;
    }
    if (bits == 0x80000000u) {
        return x; /* IEEE: the root of -0 is -0 */
    }
    if (bits > 0x7F800000u) {
        return aether_from_bits(0x7FC00000u);
    }
    if (exponent == 0) {
        exponent = 1;
        while ((significand & 0x800000u) == 0) {
            significand <<= 1;
            exponent--; /* wraps below zero; only its parity and the sum below matter */
        }
    }
    significand |= 0x800000u;
    /* x = significand * 2^(exponent-150); an even power of two comes out, and 25 bits of root */
    exponent += 256; /* positive again, parity kept */
    if ((exponent & 1u) != 0) {
        rest = (uint64_t)significand << 25;
    } else {
        rest = (uint64_t)significand << 26;
        exponent--;
    }
    for (bit = (uint64_t)1 << 24; bit != 0; bit >>= 1) {
        const uint64_t trial = (root + root + bit) * bit;
        if (trial <= rest) {
            rest -= trial;
            root += bit;
        }
    }
    root = (root >> 1) + (root & 1u);
    /* the rounded root has 24 bits (a carry cannot happen: the root of the largest significand is below 2^24 - 0.5) */
    return aether_from_bits((uint32_t)((((exponent - 256 - 127) / 2) + 127) << 23) + (uint32_t)(root & 0x7FFFFFu));
}

float aether_widen(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 31u;
    uint32_t fraction = half & 0x3FFu;
    if (exponent == 31u) {
        return aether_from_bits(sign | 0x7F800000u | fraction << 13);
    }
    if (exponent == 0) {
        if (fraction == 0) {
            return aether_from_bits(sign);
        }
        exponent = 1;
        while ((fraction & 0x400u) == 0) {
            fraction <<= 1;
            exponent--;
        }
        fraction &= 0x3FFu;
    }
    return aether_from_bits(sign | (exponent + 112u) << 23 | fraction << 13);
}

aether_status aether_narrow(float x, uint16_t *half) {
    const uint32_t bits = aether_bits(x);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    uint32_t rounded;
    if (half == NULL) {
        return AETHER_E_ARGUMENT;
    }
    if (magnitude >= 0x477FF000u) { /* 65520 and above round beyond 65504 */
        return AETHER_E_OVERFLOW;
    }
    if (magnitude >= 0x38800000u) { /* normal */
        rounded = (magnitude + 0xFFFu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
    } else if (magnitude <= 0x33000000u) { /* at most half the smallest subnormal */
        rounded = 0;
    } else {
        const uint32_t shift = 126u - (magnitude >> 23); /* 14 to 24 */
        const uint32_t significand = (magnitude & 0x7FFFFFu) | 0x800000u;
        const uint32_t rest = significand & ((1u << shift) - 1u);
        const uint32_t middle = 1u << (shift - 1u);
        rounded = significand >> shift;
        if (rest > middle || (rest == middle && (rounded & 1u) != 0)) {
            rounded++;
        }
    }
    *half = (uint16_t)(sign | rounded);
    return AETHER_OK;
}

int aether_all_finite(const float *x, size_t n) {
    size_t i;
    for (i = 0; i < n; i++) {
        if ((aether_bits(x[i]) & 0x7F800000u) == 0x7F800000u) {
            return 0;
        }
    }
    return 1;
}
