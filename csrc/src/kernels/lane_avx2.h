/* Eight lanes: AVX2 and F16C. No fused multiply-add. */
#ifndef AETHER_LANE_AVX2_H
#define AETHER_LANE_AVX2_H

#include "lane.h"

#include <immintrin.h>

#include "../bits.h"

#define LANES 8
#define LANE_KEYS 2 /* keys, or dims, worked on together with four heads: 16 registers */
#define LANE_ROWS 4 /* rows of a linear layer together with two vectors of columns */

typedef __m256 lane;

LANE_INLINE lane v_zero(void) {
    return _mm256_setzero_ps();
}
LANE_INLINE lane v_set1(float x) {
    return _mm256_set1_ps(x);
}
LANE_INLINE lane v_load(const float *p) {
    return _mm256_loadu_ps(p);
}
LANE_INLINE void v_store(float *p, lane a) {
    _mm256_storeu_ps(p, a);
}
LANE_INLINE lane v_add(lane a, lane b) {
    return _mm256_add_ps(a, b);
}
LANE_INLINE lane v_sub(lane a, lane b) {
    return _mm256_sub_ps(a, b);
}
LANE_INLINE lane v_mul(lane a, lane b) {
    return _mm256_mul_ps(a, b);
}
LANE_INLINE lane v_div(lane a, lane b) {
    return _mm256_div_ps(a, b);
}
LANE_INLINE lane v_max(lane a, lane b) {
    return _mm256_max_ps(a, b);
}

LANE_INLINE __m256i v_first(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* The first n < LANES elements, +0 in the other lanes. */
LANE_INLINE lane v_load_part(const float *p, size_t n) {
    return _mm256_maskload_ps(p, v_first(n));
}
LANE_INLINE void v_store_part(float *p, lane a, size_t n) {
    _mm256_maskstore_ps(p, v_first(n), a);
}

/* Lane l of a where bit l of `lanes` is set, else of b. */
LANE_INLINE lane v_choose(uint32_t lanes, lane a, lane b) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i on = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)lanes), bit), bit);
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(on));
}

/* +0 where x < limit, else y. */
LANE_INLINE lane v_zero_below(lane x, lane limit, lane y) {
    return _mm256_andnot_ps(_mm256_cmp_ps(x, limit, _CMP_LT_OQ), y);
}

/* The bits of y plus (the bits of z shifted left by 23). */
LANE_INLINE lane v_shift_add(lane y, lane z) {
    const __m256i power = _mm256_slli_epi32(_mm256_castps_si256(z), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(y), power));
}

/* Finite exactly where a and b are. */
LANE_INLINE lane v_worst(lane a, lane b) {
    const __m256i sign = _mm256_set1_epi32(INT32_MIN);
    const __m256i x = _mm256_andnot_si256(sign, _mm256_castps_si256(a)), y = _mm256_andnot_si256(sign, _mm256_castps_si256(b));
    return _mm256_castsi256_ps(_mm256_max_epi32(x, y));
}

LANE_INLINE int v_all_finite(lane a) {
    const __m256i magnitude = _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32(0x7FFFFFFF));
    const __m256i beyond = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7F7FFFFF));
    return _mm256_testz_si256(beyond, beyond);
}

LANE_INLINE lane v_load_half(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

LANE_INLINE lane v_load_half_part(const uint16_t *p, size_t n) {
    uint16_t x[LANES] = {0};
    memcpy(x, p, n * sizeof *p);
    return v_load_half(x);
}

/* LANES values to halves, to nearest even; 0 when one does not fit. */
LANE_INLINE int v_store_half(uint16_t *p, lane a) {
    const __m128i half = _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT);
    const __m128i magnitude = _mm_and_si128(half, _mm_set1_epi16(0x7FFF));
    _mm_storeu_si128((__m128i *)p, half);
    return _mm_movemask_epi8(_mm_cmpgt_epi16(magnitude, _mm_set1_epi16(0x7BFF))) == 0;
}

LANE_INLINE void v_transpose(lane x[LANES]) {
    lane a[LANES], b[LANES];
    LANE_UNROLL
    for (int i = 0; i < 4; ++i) {
        a[2 * i] = _mm256_unpacklo_ps(x[2 * i], x[2 * i + 1]);
        a[2 * i + 1] = _mm256_unpackhi_ps(x[2 * i], x[2 * i + 1]);
    }
    LANE_UNROLL
    for (int i = 0; i < 2; ++i) {
        b[4 * i] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0x44);
        b[4 * i + 1] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0xEE);
        b[4 * i + 2] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0x44);
        b[4 * i + 3] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0xEE);
    }
    LANE_UNROLL
    for (int i = 0; i < 4; ++i) {
        x[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        x[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
}

#endif
