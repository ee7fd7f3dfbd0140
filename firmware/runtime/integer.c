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

/* Quotient and remainder of both kinds by `divide`, an unsigned division with remainder. */
#define DIVISIONS(whole, natural, divide, unsigned_quotient, unsigned_rest, signed_quotient, signed_rest) \
    natural HELPER(unsigned_quotient)(natural n, natural d) {                                             \
        natural rest;                                                                                     \
        return divide(n, d, &rest);                                                                       \
    }                                                                                                     \
    natural HELPER(unsigned_rest)(natural n, natural d) {                                                 \
        natural rest;                                                                                     \
        (void)divide(n, d, &rest);                                                                        \
        return rest;                                                                                      \
    }                                                                                                     \
    whole HELPER(signed_quotient)(whole n, whole d) {                                                     \
        const natural from = n < 0 ? 0u - (natural)n : (natural)n, by = d < 0 ? 0u - (natural)d : (natural)d; \
        natural rest;                                                                                     \
        const natural quotient = divide(from, by, &rest);                                                 \
        return (whole)((n ^ d) < 0 ? 0u - quotient : quotient);                                           \
    }                                                                                                     \
    whole HELPER(signed_rest)(whole n, whole d) {                                                         \
        const natural from = n < 0 ? 0u - (natural)n : (natural)n, by = d < 0 ? 0u - (natural)d : (natural)d; \
        natural rest;                                                                                     \
        (void)divide(from, by, &rest);                                                                    \
        return (whole)(n < 0 ? 0u - rest : rest);                                                         \
    }

DIVISIONS(int32_t, uint32_t, divide, __udivsi3, __umodsi3, __divsi3, __modsi3)

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

DIVISIONS(int64_t, uint64_t, divide_wide, __udivdi3, __umoddi3, __divdi3, __moddi3)
