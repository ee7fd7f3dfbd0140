/* Four lanes: AArch64. No fused multiply-add. */
#ifndef AETHER_LANE_NEON_H
#define AETHER_LANE_NEON_H

#include "lane.h"

#include <arm_neon.h>

#include "../bits.h"

#define LANES 4
#define LANE_KEYS 4 /* keys, or dims, worked on together with four heads: 32 registers */
#define LANE_ROWS 6 /* rows of a linear layer together with two vectors of columns */

typedef float32x4_t lane;

LANE_INLINE lane v_zero(void) {
    return vdupq_n_f32(0.0f);
}
LANE_INLINE lane v_set1(float x) {
    return vdupq_n_f32(x);
}
LANE_INLINE lane v_load(const float *p) {
    return vld1q_f32(p);
}
LANE_INLINE void v_store(float *p, lane a) {
    vst1q_f32(p, a);
}
LANE_INLINE lane v_add(lane a, lane b) {
    return vaddq_f32(a, b);
}
LANE_INLINE lane v_sub(lane a, lane b) {
    return vsubq_f32(a, b);
}
LANE_INLINE lane v_mul(lane a, lane b) {
    return vmulq_f32(a, b);
}
LANE_INLINE lane v_div(lane a, lane b) {
    return vdivq_f32(a, b);
}
LANE_INLINE lane v_max(lane a, lane b) {
    return vmaxq_f32(a, b);
}

/* The first n < LANES elements, +0 in the other lanes. */
LANE_INLINE lane v_load_part(const float *p, size_t n) {
    float x[LANES] = {0};
    memcpy(x, p, n * sizeof *p);
    return vld1q_f32(x);
}

LANE_INLINE void v_store_part(float *p, lane a, size_t n) {
    float x[LANES];
    vst1q_f32(x, a);
    memcpy(p, x, n * sizeof *p);
}

/* Lane l of a where bit l of `lanes` is set, else of b. */
LANE_INLINE lane v_choose(uint32_t lanes, lane a, lane b) {
    static const uint32_t bits[LANES] = {1, 2, 4, 8};
    return vbslq_f32(vtstq_u32(vdupq_n_u32(lanes), vld1q_u32(bits)), a, b);
}

/* +0 where x < limit, else y. */
LANE_INLINE lane v_zero_below(lane x, lane limit, lane y) {
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(y), vcltq_f32(x, limit)));
}

/* The bits of y plus (the bits of z shifted left by 23). */
LANE_INLINE lane v_shift_add(lane y, lane z) {
    const uint32x4_t power = vshlq_n_u32(vreinterpretq_u32_f32(z), 23);
    return vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(y), power));
}

/* Finite exactly where a and b are. */
LANE_INLINE lane v_worst(lane a, lane b) {
    const uint32x4_t value = vdupq_n_u32(0x7FFFFFFF);
    const uint32x4_t x = vandq_u32(vreinterpretq_u32_f32(a), value), y = vandq_u32(vreinterpretq_u32_f32(b), value);
    return vreinterpretq_f32_u32(vmaxq_u32(x, y));
}

LANE_INLINE int v_all_finite(lane a) {
    const uint32x4_t magnitude = vandq_u32(vreinterpretq_u32_f32(a), vdupq_n_u32(0x7FFFFFFF));
    return vmaxvq_u32(magnitude) < 0x7F800000;
}

LANE_INLINE lane v_load_half(const uint16_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

LANE_INLINE lane v_load_half_part(const uint16_t *p, size_t n) {
    uint16_t x[LANES] = {0};
    memcpy(x, p, n * sizeof *p);
    return v_load_half(x);
}

/* LANES values to halves, to nearest even; 0 when one does not fit. */
LANE_INLINE int v_store_half(uint16_t *p, lane a) {
    const uint16x4_t half = vreinterpret_u16_f16(vcvt_f16_f32(a));
    vst1_u16(p, half);
    return vmaxv_u16(vand_u16(half, vdup_n_u16(0x7FFF))) < 0x7C00;
}

LANE_INLINE void v_transpose(lane x[LANES]) {
    const float32x4_t a = vtrn1q_f32(x[0], x[1]), b = vtrn2q_f32(x[0], x[1]);
    const float32x4_t c = vtrn1q_f32(x[2], x[3]), d = vtrn2q_f32(x[2], x[3]);
    x[0] = vcombine_f32(vget_low_f32(a), vget_low_f32(c));
    x[1] = vcombine_f32(vget_low_f32(b), vget_low_f32(d));
    x[2] = vcombine_f32(vget_high_f32(a), vget_high_f32(c));
    x[3] = vcombine_f32(vget_high_f32(b), vget_high_f32(d));
}

#endif
