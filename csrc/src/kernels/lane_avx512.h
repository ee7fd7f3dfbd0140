/* Sixteen lanes: AVX-512 F, BW, DQ and VL. No fused multiply-add. */
#ifndef AETHER_LANE_AVX512_H
#define AETHER_LANE_AVX512_H

#include "lane.h"

#include <immintrin.h>

#define LANES 16
#define LANE_KEYS 4 /* keys, or dims, worked on together with four heads: 32 registers */
#define LANE_ROWS 6 /* rows of a linear layer together with two vectors of columns */

typedef __m512 lane;

LANE_INLINE lane v_zero(void) {
    return _mm512_setzero_ps();
}
LANE_INLINE lane v_set1(float x) {
    return _mm512_set1_ps(x);
}
LANE_INLINE lane v_load(const float *p) {
    return _mm512_loadu_ps(p);
}
LANE_INLINE void v_store(float *p, lane a) {
    _mm512_storeu_ps(p, a);
}
LANE_INLINE lane v_add(lane a, lane b) {
    return _mm512_add_ps(a, b);
}
LANE_INLINE lane v_sub(lane a, lane b) {
    return _mm512_sub_ps(a, b);
}
LANE_INLINE lane v_mul(lane a, lane b) {
    return _mm512_mul_ps(a, b);
}
LANE_INLINE lane v_div(lane a, lane b) {
    return _mm512_div_ps(a, b);
}
LANE_INLINE lane v_max(lane a, lane b) {
    return _mm512_max_ps(a, b);
}

LANE_INLINE __mmask16 v_first(size_t n) {
    return (__mmask16)((1u << n) - 1u);
}

/* The first n < LANES elements, +0 in the other lanes. */
LANE_INLINE lane v_load_part(const float *p, size_t n) {
    return _mm512_maskz_loadu_ps(v_first(n), p);
}
LANE_INLINE void v_store_part(float *p, lane a, size_t n) {
    _mm512_mask_storeu_ps(p, v_first(n), a);
}

/* Lane l of a where bit l of `lanes` is set, else of b. */
LANE_INLINE lane v_choose(uint32_t lanes, lane a, lane b) {
    return _mm512_mask_mov_ps(b, (__mmask16)lanes, a);
}

/* +0 where x < limit, else y. */
LANE_INLINE lane v_zero_below(lane x, lane limit, lane y) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, limit, _CMP_NLT_UQ), y);
}

/* The bits of y plus (the bits of z shifted left by 23). */
LANE_INLINE lane v_shift_add(lane y, lane z) {
    const __m512i power = _mm512_slli_epi32(_mm512_castps_si512(z), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(y), power));
}

/* Finite exactly where a and b are. */
LANE_INLINE lane v_worst(lane a, lane b) {
    const __m512i sign = _mm512_set1_epi32(INT32_MIN);
    const __m512i x = _mm512_andnot_si512(sign, _mm512_castps_si512(a)), y = _mm512_andnot_si512(sign, _mm512_castps_si512(b));
    return _mm512_castsi512_ps(_mm512_max_epi32(x, y));
}

LANE_INLINE int v_all_finite(lane a) {
    const __m512i magnitude = _mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(0x7FFFFFFF));
    return _mm512_cmpgt_epi32_mask(magnitude, _mm512_set1_epi32(0x7F7FFFFF)) == 0;
}

LANE_INLINE lane v_load_half(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

LANE_INLINE lane v_load_half_part(const uint16_t *p, size_t n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(v_first(n), p));
}

/* LANES values to halves, to nearest even; 0 when one does not fit. */
LANE_INLINE int v_store_half(uint16_t *p, lane a) {
    const __m256i half = _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256i magnitude = _mm256_and_si256(half, _mm256_set1_epi16(0x7FFF));
    _mm256_storeu_si256((__m256i *)p, half);
    return _mm256_cmpgt_epi16_mask(magnitude, _mm256_set1_epi16(0x7BFF)) == 0;
}

LANE_INLINE void v_transpose(lane x[LANES]) {
    lane a[LANES], b[LANES];
    LANE_UNROLL
    for (int i = 0; i < 8; ++i) {
        a[2 * i] = _mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]);
        a[2 * i + 1] = _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]);
    }
    LANE_UNROLL
    for (int i = 0; i < 4; ++i) {
        b[4 * i] = _mm512_shuffle_ps(a[4 * i], a[4 * i + 2], 0x44);
        b[4 * i + 1] = _mm512_shuffle_ps(a[4 * i], a[4 * i + 2], 0xEE);
        b[4 * i + 2] = _mm512_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0x44);
        b[4 * i + 3] = _mm512_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0xEE);
    }
    LANE_UNROLL
    for (int i = 0; i < 4; ++i) {
        a[i] = _mm512_shuffle_f32x4(b[i], b[i + 4], 0x88);
        a[i + 4] = _mm512_shuffle_f32x4(b[i], b[i + 4], 0xDD);
        a[i + 8] = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0x88);
        a[i + 12] = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0xDD);
    }
    LANE_UNROLL
    for (int i = 0; i < 8; ++i) {
        x[i] = _mm512_shuffle_f32x4(a[i], a[i + 8], 0x88);
        x[i + 8] = _mm512_shuffle_f32x4(a[i], a[i + 8], 0xDD);
    }
}

#endif
