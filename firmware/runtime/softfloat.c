/* binary32 by integers alone. */
#include "softfloat.h"

/* Add, subtract, multiply, divide: nearest even, subnormals kept. */

static inline uint32_t add(uint32_t a, uint32_t b) {
    uint32_t ea, eb, ma, mb, distance;
    if ((a & ~SOFT_SIGN) < (b & ~SOFT_SIGN)) {
        const uint32_t t = a;
        a = b;
        b = t;
    }
    ea = soft_exponent(a);
    eb = soft_exponent(b);
    ma = a & SOFT_FRACTION;
    mb = b & SOFT_FRACTION;
    if (ea == 255u) {
        if (ma != 0) {
            return a | SOFT_QUIET;
        }
        return eb == 255u && ((a ^ b) & SOFT_SIGN) != 0 ? SOFT_NAN : a;
    }
    if (ea != 0) {
        ma |= SOFT_HIDDEN;
    } else {
        ea = 1u;
    }
    if (eb != 0) {
        mb |= SOFT_HIDDEN;
    } else {
        eb = 1u;
    }
    ma <<= 6; /* room for the rounding bits below, one bit for the carry above */
    mb <<= 6;
    distance = ea - eb;
    if (distance > 31u) {
        mb = mb != 0;
    } else if (distance > 0) {
        mb = mb >> distance | (mb << (32u - distance) != 0);
    }
    if (((a ^ b) & SOFT_SIGN) == 0) {
        ma += mb;
    } else {
        ma -= mb;
        if (ma == 0) {
            return 0; /* x - x is +0 */
        }
    }
    return soft_pack(a & SOFT_SIGN, (int)ea + 1, ma);
}

/* The significand of a finite nonzero value with its leading one at bit 23; a subnormal's exponent goes below 1. */
static inline uint32_t normalised(uint32_t bits, int *exponent) {
    const uint32_t fraction = bits & SOFT_FRACTION;
    int shift;
    *exponent = (int)soft_exponent(bits);
    if (*exponent != 0) {
        return fraction | SOFT_HIDDEN;
    }
    shift = helper_zeros(fraction) - 8;
    *exponent = 1 - shift;
    return fraction << shift;
}

static inline int is_nan(uint32_t bits) {
    return (bits & ~SOFT_SIGN) > SOFT_INFINITY;
}

static inline int is_infinite(uint32_t bits) {
    return (bits & ~SOFT_SIGN) == SOFT_INFINITY;
}

static inline int is_zero(uint32_t bits) {
    return (bits & ~SOFT_SIGN) == 0;
}

static inline uint32_t multiply(uint32_t a, uint32_t b) {
    const uint32_t sign = (a ^ b) & SOFT_SIGN;
    helper_wide product;
    uint32_t ma, mb;
    int ea, eb;
    if (is_nan(a) || is_nan(b)) {
        return (is_nan(a) ? a : b) | SOFT_QUIET;
    }
    if (is_infinite(a) || is_infinite(b)) {
        return is_zero(a) || is_zero(b) ? SOFT_NAN : sign | SOFT_INFINITY;
    }
    if (is_zero(a) || is_zero(b)) {
        return sign;
    }
    ma = normalised(a, &ea);
    mb = normalised(b, &eb);
    product = helper_multiply(ma << 7, mb << 8);
    return soft_pack(sign, ea + eb - 126, product.part.high | (product.part.low != 0));
}

/* 31 bits of ma / mb, mb <= ma < 2 mb < 2^25, the lowest one set when anything is left. */
#if defined(__XTENSA_CALL0_ABI__) /* an LX106, which does not divide */
static inline uint32_t quotient_of(uint32_t ma, uint32_t mb) {
    uint32_t quotient = 0;
    int bit;
    for (bit = 0; bit < 31; bit++) {
        quotient <<= 1;
        if (ma >= mb) {
            ma -= mb;
            quotient |= 1u;
        }
        ma <<= 1;
    }
    return quotient | (ma != 0);
}
#else
static inline uint32_t quotient_of(uint32_t ma, uint32_t mb) {
    uint32_t quotient = 1, rest = ma - mb;
    int digit;
    for (digit = 0; digit < 3; digit++) { /* eight bits of it; what is left stays below 2^24 */
        const uint32_t dividend = rest << 8, part = dividend / mb;
        quotient = quotient << 8 | part;
        rest = dividend - part * mb;
    }
    return quotient << 6 | (rest != 0);
}
#endif

static inline uint32_t divide(uint32_t a, uint32_t b) {
    const uint32_t sign = (a ^ b) & SOFT_SIGN, biased_a = a >> 23 & 0xFFu, biased_b = b >> 23 & 0xFFu;
    uint32_t ma, mb;
    int ea, eb;
    if (biased_a - 1u < 254u && biased_b - 1u < 254u) { /* both normal: nearly always */
        ma = (a & 0x7FFFFFu) | 0x800000u;
        mb = (b & 0x7FFFFFu) | 0x800000u;
        ea = (int)biased_a;
        eb = (int)biased_b;
    } else if (is_nan(a) || is_nan(b)) {
        return (is_nan(a) ? a : b) | SOFT_QUIET;
    } else if (is_infinite(a)) {
        return is_infinite(b) ? SOFT_NAN : sign | SOFT_INFINITY;
    } else if (is_infinite(b)) {
        return sign;
    } else if (is_zero(b)) {
        return is_zero(a) ? SOFT_NAN : sign | SOFT_INFINITY;
    } else if (is_zero(a)) {
        return sign;
    } else {
        ma = normalised(a, &ea);
        mb = normalised(b, &eb);
    }
    if (ma < mb) {
        ma <<= 1;
        ea--;
    }
    ea += 127 - eb;
    ma = quotient_of(ma, mb); /* its leading one is bit 30 */
    return ea > 0 && ea < 255 ? sign | ((((uint32_t)ea - 1) << 23) + soft_rounded(ma)) : soft_pack(sign, ea, ma);
}

float HELPER(__addsf3)(float a, float b) {
    return soft_float(add(soft_bits(a), soft_bits(b)));
}

float HELPER(__subsf3)(float a, float b) {
    return soft_float(add(soft_bits(a), soft_bits(b) ^ SOFT_SIGN));
}

float HELPER(__mulsf3)(float a, float b) {
    return soft_float(multiply(soft_bits(a), soft_bits(b)));
}

float HELPER(__divsf3)(float a, float b) {
    return soft_float(divide(soft_bits(a), soft_bits(b)));
}

/* Integers to binary32 and back. */

float HELPER(__floatunsisf)(uint32_t x) {
    return soft_float(soft_pack(0, 157, x));
}

float HELPER(__floatsisf)(int32_t x) {
    const uint32_t sign = (uint32_t)x & SOFT_SIGN;
    return soft_float(soft_pack(sign, 157, sign != 0 ? 0u - (uint32_t)x : (uint32_t)x));
}

static uint32_t from_wide(uint32_t sign, uint64_t x) {
    helper_wide w;
    uint32_t m;
    int shift;
    w.all = x;
    if (w.part.high == 0) {
        return soft_pack(sign, 157, w.part.low);
    }
    shift = helper_zeros(w.part.high); /* the upper 32 bits from the leading one on, everything below into the lowest */
    m = shift == 0 ? w.part.high : w.part.high << shift | w.part.low >> (32 - shift);
    return soft_pack(sign, 189 - shift, m | (w.part.low << shift != 0));
}

float HELPER(__floatundisf)(uint64_t x) {
    return soft_float(from_wide(0, x));
}

float HELPER(__floatdisf)(int64_t x) {
    return soft_float(from_wide(x < 0 ? SOFT_SIGN : 0u, x < 0 ? 0u - (uint64_t)x : (uint64_t)x));
}

static uint32_t whole(uint32_t bits, int power) {
    const uint32_t m = (bits & SOFT_FRACTION) | SOFT_HIDDEN;
    return power >= 23 ? m << (power - 23) : m >> (23 - power);
}

uint32_t HELPER(__fixunssfsi)(float x) {
    const uint32_t bits = soft_bits(x);
    const int power = (int)soft_exponent(bits) - 127;
    if ((bits & SOFT_SIGN) != 0 || power < 0) {
        return 0;
    }
    return power > 31 ? 0xFFFFFFFFu : whole(bits, power);
}

int32_t HELPER(__fixsfsi)(float x) {
    const uint32_t bits = soft_bits(x);
    const int negative = (bits & SOFT_SIGN) != 0;
    const int power = (int)soft_exponent(bits) - 127;
    if (power < 0) {
        return 0;
    }
    if (power > 30) {
        return negative ? INT32_MIN : INT32_MAX;
    }
    return negative ? -(int32_t)whole(bits, power) : (int32_t)whole(bits, power);
}

/* Comparisons, as comparisons of integers. */

static int unordered(uint32_t a, uint32_t b) {
    return (a & ~SOFT_SIGN) > SOFT_INFINITY || (b & ~SOFT_SIGN) > SOFT_INFINITY;
}

/* Sign and magnitude as an integer: both zeros become 0. */
static int32_t rank(uint32_t bits) {
    const int32_t magnitude = (int32_t)(bits & ~SOFT_SIGN);
    return (bits & SOFT_SIGN) != 0 ? -magnitude : magnitude;
}

static int compare(float a, float b, int when_unordered) {
    const uint32_t x = soft_bits(a), y = soft_bits(b);
    if (unordered(x, y)) {
        return when_unordered;
    }
    return rank(x) < rank(y) ? -1 : rank(x) > rank(y);
}

int HELPER(__eqsf2)(float a, float b) {
    return compare(a, b, 1);
}

int HELPER(__nesf2)(float a, float b) {
    return compare(a, b, 1);
}

int HELPER(__ltsf2)(float a, float b) {
    return compare(a, b, 1);
}

int HELPER(__lesf2)(float a, float b) {
    return compare(a, b, 1);
}

int HELPER(__gtsf2)(float a, float b) {
    return compare(a, b, -1);
}

int HELPER(__gesf2)(float a, float b) {
    return compare(a, b, -1);
}

int HELPER(__unordsf2)(float a, float b) {
    return unordered(soft_bits(a), soft_bits(b));
}
