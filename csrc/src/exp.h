/* exp of the contract, inline for the kernels (docs/spec/numerics.md, rule 7). */
#ifndef AETHER_EXP_H
#define AETHER_EXP_H

#include "bits.h"

#define AETHER_EXP_CUT (-87.3365402f)       /* C2AEAC4F: below, the result would be subnormal */
#define AETHER_EXP_LOG2E 1.44269504f        /* 3FB8AA3B */
#define AETHER_EXP_MAGIC 12582912.0f        /* 4B400000: adding it rounds to an integer */
#define AETHER_EXP_LN2_HIGH 0.693359375f    /* 3F318000: times any n here it is exact */
#define AETHER_EXP_LN2_LOW (-2.12194440e-4f) /* B95E8083 */
#define AETHER_EXP_P4 1.37805939e-3f        /* 3AB4A000 */
#define AETHER_EXP_P3 8.37312452e-3f        /* 3C092F6E */
#define AETHER_EXP_P2 4.16695364e-2f        /* 3D2AADAD */
#define AETHER_EXP_P1 1.66664720e-1f        /* 3E2AAA28 */
#define AETHER_EXP_P0 4.99999851e-1f        /* 3EFFFFFB */

/* exp(x) times 2^(magic - AETHER_EXP_MAGIC), an even power that the result has room for; x not below AETHER_EXP_CUT. */
static inline float aether_exp_scaled(float x, float magic) {
    float z, n, r, p, t, y;
    uint32_t power;
    z = x * AETHER_EXP_LOG2E + magic;
    power = aether_bits(z) << 23;
    n = z - magic;
    r = (x - n * AETHER_EXP_LN2_HIGH) - n * AETHER_EXP_LN2_LOW;
    p = AETHER_EXP_P4;
    p = p * r + AETHER_EXP_P3;
    p = p * r + AETHER_EXP_P2;
    p = p * r + AETHER_EXP_P1;
    p = p * r + AETHER_EXP_P0;
    t = p * (r * r);
    t = t + r;
    y = t + 1.0f;
    return aether_from_bits(aether_bits(y) + power);
}

static inline float aether_exp_inline(float x) {
    return x < AETHER_EXP_CUT ? 0.0f : aether_exp_scaled(x, AETHER_EXP_MAGIC);
}

#endif
