/* Four lanes: the x86-64 baseline. */
#ifndef AETHER_LANE_SSE2_H
#define AETHER_LANE_SSE2_H

#include "lane.h"

#include <emmintrin.h>

#include "../bits.h"

#define LANES 4
#define LANE_KEYS 2 /* keys, or dims, worked on together with four heads: 16 registers */
#define LANE_ROWS 4 /* rows of a linear layer together with two vectors of columns */

typedef __m128 lane;

LANE_INLINE lane v_zero(void) {
    return _mm_setzero_ps();
}
LANE_INLINE lane v_set1(float x) {
    return _mm_set1_ps(x);
}
LANE_INLINE lane v_load(const float *p) {
    return _mm_loadu_ps(p);
}
LANE_INLINE void v_store(float *p, lane a) {
    _mm_storeu_ps(p, a);
}
LANE_INLINE lane v_add(lane a, lane b) {
    return _mm_add_ps(a, b);
}
LANE_INLINE lane v_sub(lane a, lane b) {
    return _mm_sub_ps(a, b);
}
LANE_INLINE lane v_mul(lane a, lane b) {
    return _mm_mul_ps(a, b);
}
LANE_INLINE lane v_div(lane a, lane b) {
    return _mm_div_ps(a, b);
}
LANE_INLINE lane v_max(lane a, lane b) {
    return _mm_max_ps(a, b);
}

/* The first n < LANES elements, +0 in the other lanes. */
LANE_INLINE lane v_load_part(const float *p, size_t n) {
    float x[LANES] = {0};
    memcpy(x, p, n * sizeof *p);
    return _mm_loadu_ps(x);
}

LANE_INLINE void v_store_part(float *p, lane a, size_t n) {
    float x[LANES];
    _mm_storeu_ps(x, a);
    memcpy(p, x, n * sizeof *p);
}

/* Lane l of a where bit l of `lanes` is set, else of b. */
LANE_INLINE lane v_choose(uint32_t lanes, lane a, lane b) {
    const __m128i bit = _mm_setr_epi32(1, 2, 4, 8);
    const __m128i on = _mm_cmpeq_epi32(_mm_and_si128(_mm_set1_epi32((int)lanes), bit), bit);
    const __m128 m = _mm_castsi128_ps(on);
    return _mm_or_ps(_mm_and_ps(m, a), _mm_andnot_ps(m, b));
}

/* +0 where x < limit, else y. */
LANE_INLINE lane v_zero_below(lane x, lane limit, lane y) {
    return _mm_andnot_ps(_mm_cmplt_ps(x, limit), y);
}

/* The bits of y plus (the bits of z shifted left by 23). */
LANE_INLINE lane v_shift_add(lane y, lane z) {
    return _mm_castsi128_ps(_mm_add_epi32(_mm_castps_si128(y), _mm_slli_epi32(_mm_castps_si128(z), 23)));
}

/* Finite exactly where a and b are. */
LANE_INLINE lane v_worst(lane a, lane b) {
    const __m128i magnitude = _mm_and_si128(_mm_castps_si128(b), _mm_set1_epi32(0x7FFFFFFF));
    return _mm_or_ps(a, _mm_castsi128_ps(_mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x7F7FFFFF))));
}

LANE_INLINE int v_all_finite(lane a) {
    const __m128i magnitude = _mm_and_si128(_mm_castps_si128(a), _mm_set1_epi32(0x7FFFFFFF));
    return _mm_movemask_epi8(_mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x7F7FFFFF))) == 0;
}

/* Four halves, zero-extended to 32 bits. */
LANE_INLINE lane v_widen_bits(__m128i half) {
    const __m128i sign = _mm_slli_epi32(_mm_and_si128(half, _mm_set1_epi32(0x8000)), 16);
    const __m128i rest = _mm_and_si128(half, _mm_set1_epi32(0x7FFF));
    /* Exact, subnormals too: only the exponent's bias is wrong, and 2^112 makes up for it. */
    const __m128 value = _mm_mul_ps(_mm_castsi128_ps(_mm_slli_epi32(rest, 13)), _mm_set1_ps(5.19229685853482763e33f));
    const __m128i special = _mm_and_si128(_mm_cmpgt_epi32(rest, _mm_set1_epi32(0x7BFF)), _mm_set1_epi32(0x7F800000));
    return _mm_castsi128_ps(_mm_or_si128(_mm_or_si128(_mm_castps_si128(value), special), sign));
}

LANE_INLINE lane v_load_half(const uint16_t *p) {
    return v_widen_bits(_mm_unpacklo_epi16(_mm_loadl_epi64((const __m128i *)p), _mm_setzero_si128()));
}

LANE_INLINE lane v_load_half_part(const uint16_t *p, size_t n) {
    uint16_t x[LANES] = {0};
    memcpy(x, p, n * sizeof *p);
    return v_load_half(x);
}

/* LANES values to halves, to nearest even; 0 when one does not fit. */
LANE_INLINE int v_store_half(uint16_t *p, lane a) {
    const __m128i bits = _mm_castps_si128(a);
    const __m128i sign = _mm_and_si128(_mm_srli_epi32(bits, 16), _mm_set1_epi32(0x8000));
    const __m128i magnitude = _mm_and_si128(bits, _mm_set1_epi32(0x7FFFFFFF));
    /* Normal in binary16: the bias moves by 112, and half of the last place (less one when that is even) rounds. */
    const __m128i odd = _mm_and_si128(_mm_srli_epi32(magnitude, 13), _mm_set1_epi32(1));
    const __m128i rounded = _mm_add_epi32(_mm_add_epi32(magnitude, _mm_set1_epi32(0xFFF)), odd);
    const __m128i normal = _mm_sub_epi32(_mm_srli_epi32(rounded, 13), _mm_set1_epi32(112 << 10));
    /* Subnormal in binary16: adding 1/2, whose last place is 2^-24, rounds in hardware. */
    const __m128 half = _mm_set1_ps(0.5f);
    const __m128i small =
        _mm_sub_epi32(_mm_castps_si128(_mm_add_ps(_mm_castsi128_ps(magnitude), half)), _mm_castps_si128(half));
    const __m128i is_small = _mm_cmplt_epi32(magnitude, _mm_set1_epi32(113 << 23));
    const __m128i value = _mm_or_si128(_mm_and_si128(is_small, small), _mm_andnot_si128(is_small, normal));
    /* 65520 is the first magnitude that rounds beyond 65504. */
    const int fits = _mm_movemask_epi8(_mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x477FEFFF))) == 0;
    const __m128i word = _mm_or_si128(value, sign);
    /* packs saturates signed words: sign-extend the 16 bits first. */
    const __m128i extended = _mm_srai_epi32(_mm_slli_epi32(word, 16), 16);
    _mm_storel_epi64((__m128i *)p, _mm_packs_epi32(extended, extended));
    return fits;
}

LANE_INLINE void v_transpose(lane x[LANES]) {
    _MM_TRANSPOSE4_PS(x[0], x[1], x[2], x[3]);
}

#endif
