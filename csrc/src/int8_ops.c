/* The operations of docs/spec/integers.md on one row. The order of a sum is free: integers add exactly. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-schedule-insns") /* it spills what the loops hold in registers */
#endif

#include "int8.h"

#include "bits.h"

int aether_int8_whole(float x, int exponent, int32_t *u) {
    const uint32_t bits = aether_bits(x);
    const int biased = (int)(bits >> 23 & 0xFF);
    const uint32_t significand = (bits & 0x7FFFFFu) | (biased != 0 ? 0x800000u : 0u);
    const int drop = 150 + exponent - (biased != 0 ? biased : 1);
    uint32_t whole, rest, half;
    if (drop <= 0) {
        return 0; /* at least 2^23 units */
    }
    if (drop >= 25) {
        *u = 0;
        return 1;
    }
    whole = significand >> drop;
    rest = significand & ((1u << drop) - 1);
    half = 1u << (drop - 1);
    whole += rest > half || (rest == half && (whole & 1) != 0);
    if (whole > AETHER_INT8_RESIDUAL) {
        return 0;
    }
    *u = bits >> 31 != 0 ? -(int32_t)whole : (int32_t)whole;
    return 1;
}

int aether_int8_eps(float x, uint32_t *eps) {
    const uint32_t bits = aether_bits(x), significand = (bits & 0x7FFFFFu) | 0x800000u, exponent = bits >> 23;
    if (exponent < 127 || exponent > 151 || (exponent == 151 && significand != 0x800000u)) {
        return 0;
    }
    *eps = exponent == 151 ? 1u << 24 : significand >> (150 - exponent);
    return exponent == 151 || *eps << (150 - exponent) == significand;
}

float aether_int8_real(int32_t n, int exponent) {
    const uint32_t magnitude = (uint32_t)(n < 0 ? -n : n);
    const unsigned bits = aether_int8_bits(magnitude);
    if (n == 0) {
        return 0.0f;
    }
    return aether_from_bits((n < 0 ? 0x80000000u : 0u) | (uint32_t)(126 + (int)bits + exponent) << 23 |
                            ((magnitude << (24 - bits)) & 0x7FFFFFu));
}

/* floor(sqrt(n)) of a number of 31 or 32 bits. */
static uint32_t root_of(uint32_t n) {
    uint32_t root = 0, bit = 1u << 30;
    for (; bit != 0; bit >>= 2) {
        const uint32_t next = root + bit;
        root >>= 1;
        if (n >= next) {
            n -= next;
            root += bit;
        }
    }
    return root;
}

void aether_int8_unit(const int16_t *x, size_t n, uint32_t extra, int32_t *y) {
    uint64_t sum = extra;
    unsigned bits, half;
    uint32_t high, normal;
    int32_t r, round;
    size_t c;
    for (c = 0; c < n; c++) {
        sum += (uint32_t)(x[c] * x[c]);
    }
    if (sum == 0) {
        memset(y, 0, n * sizeof *y);
        return;
    }
    high = (uint32_t)(sum >> 32);
    bits = high != 0 ? 32 + aether_int8_bits(high) : aether_int8_bits((uint32_t)sum);
    bits += bits & 1;
    half = bits / 2;
    normal = (uint32_t)(bits <= 32 ? sum << (32 - bits) : sum >> (bits - 32));
    r = (int32_t)(0x80000000u / root_of(normal));
    if (half <= 7) {
        for (c = 0; c < n; c++) {
            y[c] = x[c] * r * (1 << (7 - half));
        }
        return;
    }
    round = (int32_t)(1u << (half - 7) >> 1);
    for (c = 0; c < n; c++) {
        y[c] = (x[c] * r + round) >> (half - 7);
    }
}

/* Either output may be NULL: `wide` takes numbers as they are, `clamped` those within -most ... most. */
static inline void multiply(const int16_t *x, size_t in, const int8_t *w, size_t out, const int32_t *bias, const int32_t *multiplier,
                            int32_t most, int32_t *wide, int16_t *clamped) {
    const int16_t *const end = x + in, *const pairs = x + (in & ~(size_t)1);
    const int32_t *m = multiplier;
    size_t left = out;
    for (; left >= 8; left -= 8, w += 8, m += 8) { /* eight columns: as many sums as a chip has registers for */
        const int8_t *p = w;
        const int16_t *at = x;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
        if (bias != NULL) {
            s0 = bias[0], s1 = bias[1], s2 = bias[2], s3 = bias[3], s4 = bias[4], s5 = bias[5], s6 = bias[6], s7 = bias[7];
            bias += 8;
        }
        for (; at != pairs; at += 2) {
            const int32_t a = at[0], b = at[1];
            s0 += a * p[0], s1 += a * p[1], s2 += a * p[2], s3 += a * p[3], s4 += a * p[4], s5 += a * p[5], s6 += a * p[6], s7 += a * p[7];
            p += out;
            s0 += b * p[0], s1 += b * p[1], s2 += b * p[2], s3 += b * p[3], s4 += b * p[4], s5 += b * p[5], s6 += b * p[6], s7 += b * p[7];
            p += out;
        }
        if (at != end) {
            const int32_t a = *at;
            s0 += a * p[0], s1 += a * p[1], s2 += a * p[2], s3 += a * p[3], s4 += a * p[4], s5 += a * p[5], s6 += a * p[6], s7 += a * p[7];
        }
        s0 = aether_int8_narrow(s0, m[0]), s1 = aether_int8_narrow(s1, m[1]), s2 = aether_int8_narrow(s2, m[2]), s3 = aether_int8_narrow(s3, m[3]);
        s4 = aether_int8_narrow(s4, m[4]), s5 = aether_int8_narrow(s5, m[5]), s6 = aether_int8_narrow(s6, m[6]), s7 = aether_int8_narrow(s7, m[7]);
        if (wide != NULL) {
            wide[0] = s0, wide[1] = s1, wide[2] = s2, wide[3] = s3, wide[4] = s4, wide[5] = s5, wide[6] = s6, wide[7] = s7;
            wide += 8;
        } else {
            clamped[0] = (int16_t)aether_int8_clamp(s0, most), clamped[1] = (int16_t)aether_int8_clamp(s1, most);
            clamped[2] = (int16_t)aether_int8_clamp(s2, most), clamped[3] = (int16_t)aether_int8_clamp(s3, most);
            clamped[4] = (int16_t)aether_int8_clamp(s4, most), clamped[5] = (int16_t)aether_int8_clamp(s5, most);
            clamped[6] = (int16_t)aether_int8_clamp(s6, most), clamped[7] = (int16_t)aether_int8_clamp(s7, most);
            clamped += 8;
        }
    }
    for (; left > 0; left--, w++, m++) {
        const int8_t *p = w;
        const int16_t *at = x;
        int32_t s = bias != NULL ? *bias++ : 0;
        for (; at != end; at++, p += out) {
            s += *at * *p;
        }
        s = aether_int8_narrow(s, *m);
        if (wide != NULL) {
            *wide++ = s;
        } else {
            *clamped++ = (int16_t)aether_int8_clamp(s, most);
        }
    }
}

void aether_int8_linear(const int16_t *x, size_t in, const int8_t *w, size_t out, const int32_t *bias, const int32_t *multiplier,
                        int32_t *y) {
    multiply(x, in, w, out, bias, multiplier, 0, y, NULL);
}

void aether_int8_linear_clamped(const int16_t *x, size_t in, const int8_t *w, size_t out, const int32_t *bias, const int32_t *multiplier,
                                int32_t most, int16_t *y) {
    multiply(x, in, w, out, bias, multiplier, most, NULL, y);
}

void aether_int8_filter(const int16_t *rows, size_t newest, size_t taps, size_t w, const int32_t *bias, const int32_t *weight,
                        const int32_t *multiplier, int32_t *y) {
    size_t at = newest, j, c;
    memcpy(y, bias, w * sizeof *y);
    for (j = 0; j < taps; j++, weight += w) {
        const int16_t *row = rows + at * w;
        for (c = 0; c < w; c++) {
            y[c] += row[c] * weight[c];
        }
        at = at > 0 ? at - 1 : taps - 1;
    }
    for (c = 0; c < w; c++) {
        y[c] = aether_int8_narrow(y[c], multiplier[c]);
    }
}
