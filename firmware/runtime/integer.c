/* Integer helpers: division where the processor has none, and 64-bit arithmetic on 32-bit processors. Division by zero gives
   all ones, with the dividend as the remainder, as RISC-V does; no program may depend on it. */
#include "helper.h"

static uint32_t divide(uint32_t n, uint32_t d, uint32_t *rest) {
    uint32_t quotient = 0, remainder = 0;
    int bit;
    for (bit = 0; bit < 32; bit++) {
        remainder = remainder << 1 | n >> 31;
        n <<= 1;
        quotient <<= 1;
        if (remainder >= d) {
            remainder -= d;
            quotient |= 1u;
        }
    }
    *rest = remainder;
    return quotient;
}

static uint32_t magnitude(int32_t x) {
    return x < 0 ? 0u - (uint32_t)x : (uint32_t)x;
}

uint32_t HELPER(__udivsi3)(uint32_t n, uint32_t d) {
    uint32_t rest;
    return divide(n, d, &rest);
}

uint32_t HELPER(__umodsi3)(uint32_t n, uint32_t d) {
    uint32_t rest;
    (void)divide(n, d, &rest);
    return rest;
}

int32_t HELPER(__divsi3)(int32_t n, int32_t d) {
    uint32_t rest;
    const uint32_t quotient = divide(magnitude(n), magnitude(d), &rest);
    return (int32_t)((n ^ d) < 0 ? 0u - quotient : quotient);
}

int32_t HELPER(__modsi3)(int32_t n, int32_t d) {
    uint32_t rest;
    (void)divide(magnitude(n), magnitude(d), &rest);
    return (int32_t)(n < 0 ? 0u - rest : rest);
}

uint64_t HELPER(__muldi3)(uint64_t a, uint64_t b) {
    helper_wide x, y, product;
    x.all = a;
    y.all = b;
    product = helper_multiply(x.part.low, y.part.low);
    product.part.high += x.part.low * y.part.high + x.part.high * y.part.low;
    return product.all;
}

uint64_t HELPER(__ashldi3)(uint64_t x, int count) {
    helper_wide w;
    w.all = x;
    if (count >= 32) {
        w.part.high = w.part.low << (count - 32);
        w.part.low = 0;
    } else if (count > 0) {
        w.part.high = w.part.high << count | w.part.low >> (32 - count);
        w.part.low <<= count;
    }
    return w.all;
}

uint64_t HELPER(__lshrdi3)(uint64_t x, int count) {
    helper_wide w;
    w.all = x;
    if (count >= 32) {
        w.part.low = w.part.high >> (count - 32);
        w.part.high = 0;
    } else if (count > 0) {
        w.part.low = w.part.low >> count | w.part.high << (32 - count);
        w.part.high >>= count;
    }
    return w.all;
}

int64_t HELPER(__ashrdi3)(int64_t x, int count) {
    helper_wide w;
    uint32_t sign;
    w.all = (uint64_t)x;
    sign = 0u - (w.part.high >> 31);
    if (count >= 32) {
        w.part.low = w.part.high >> (count - 32);
        if (count > 32) {
            w.part.low |= sign << (64 - count);
        }
        w.part.high = sign;
    } else if (count > 0) {
        w.part.low = w.part.low >> count | w.part.high << (32 - count);
        w.part.high = w.part.high >> count | sign << (32 - count);
    }
    return (int64_t)w.all;
}

static int below(const helper_wide *a, const helper_wide *b) {
    return a->part.high != b->part.high ? a->part.high < b->part.high : a->part.low < b->part.low;
}

static uint64_t divide_wide(uint64_t n, uint64_t d, uint64_t *rest) {
    helper_wide number, divisor, remainder;
    int bit;
    number.all = n;
    divisor.all = d;
    remainder.all = 0;
    if ((number.part.high | divisor.part.high) == 0 && divisor.part.low != 0) {
        *rest = number.part.low % divisor.part.low;
        return number.part.low / divisor.part.low;
    }
    for (bit = 0; bit < 64; bit++) {
        const uint32_t carry = remainder.part.high >> 31;
        remainder.part.high = remainder.part.high << 1 | remainder.part.low >> 31;
        remainder.part.low = remainder.part.low << 1 | number.part.high >> 31;
        number.part.high = number.part.high << 1 | number.part.low >> 31;
        number.part.low <<= 1;
        if (carry != 0 || !below(&remainder, &divisor)) {
            remainder.part.high -= divisor.part.high + (remainder.part.low < divisor.part.low);
            remainder.part.low -= divisor.part.low;
            number.part.low |= 1u;
        }
    }
    *rest = remainder.all;
    return number.all;
}

static uint64_t magnitude_wide(int64_t x) {
    return x < 0 ? 0u - (uint64_t)x : (uint64_t)x;
}

uint64_t HELPER(__udivdi3)(uint64_t n, uint64_t d) {
    uint64_t rest;
    return divide_wide(n, d, &rest);
}

uint64_t HELPER(__umoddi3)(uint64_t n, uint64_t d) {
    uint64_t rest;
    (void)divide_wide(n, d, &rest);
    return rest;
}

int64_t HELPER(__divdi3)(int64_t n, int64_t d) {
    uint64_t rest;
    const uint64_t quotient = divide_wide(magnitude_wide(n), magnitude_wide(d), &rest);
    return (int64_t)((n ^ d) < 0 ? 0u - quotient : quotient);
}

int64_t HELPER(__moddi3)(int64_t n, int64_t d) {
    uint64_t rest;
    (void)divide_wide(magnitude_wide(n), magnitude_wide(d), &rest);
    return (int64_t)(n < 0 ? 0u - rest : rest);
}
