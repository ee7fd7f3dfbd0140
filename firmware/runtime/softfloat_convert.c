/* Integers to binary32 and back. */
#include "softfloat.h"

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
