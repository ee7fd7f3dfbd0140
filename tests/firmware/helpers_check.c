/* The helpers of firmware/runtime, compiled under other names (HELPER), beside this computer's own arithmetic:
   helpers_check CASES. NaN results compare as NaN. Prints the first wrong results and the totals; the exit code is 1 when any is wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler_calls.h"
#include "softfloat.h"

static unsigned long wrong, checks;

static void expect(const char *name, uint64_t a, uint64_t b, uint64_t got, uint64_t expected) {
    checks++;
    if (got != expected && wrong++ < 20) {
        printf("%s(%llX, %llX): %llX, expected %llX\n", name, (unsigned long long)a, (unsigned long long)b,
               (unsigned long long)got, (unsigned long long)expected);
    }
}

static void expect_float(const char *name, uint64_t a, uint64_t b, float got, float expected) {
    if (expected != expected) {
        expect(name, a, b, got != got, 1);
    } else {
        expect(name, a, b, soft_bits(got), soft_bits(expected));
    }
}

static uint64_t random_state = 88172645463325252u;

static uint64_t random_bits(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * 0x2545F4914F6CDD1Du;
}

static const uint32_t EDGES[] = {0,          0x80000000, 1,          0x80000001, 0x007FFFFF, 0x00800000, 0x807FFFFF,
                                 0x00800001, 0x3F800000, 0xBF800000, 0x3F7FFFFF, 0x3F800001, 0x7F7FFFFF, 0xFF7FFFFF,
                                 0x7F800000, 0xFF800000, 0x7FC00000, 0x33000000, 0x4B000000, 0x4EFFFFFF, 0x4F000000,
                                 0x4F7FFFFF, 0xCF000000, 0x5F000000, 2,          3,          0x7FFFFFFF, 0xFFFFFFFF};
#define N_EDGES (sizeof EDGES / sizeof EDGES[0])

static void check_arithmetic(uint32_t a, uint32_t b) {
    const volatile float x = soft_float(a), y = soft_float(b);
    expect_float("__addsf3", a, b, helper___addsf3(x, y), x + y);
    expect_float("__subsf3", a, b, helper___subsf3(x, y), x - y);
    expect_float("__mulsf3", a, b, helper___mulsf3(x, y), x * y);
    expect_float("__divsf3", a, b, helper___divsf3(x, y), x / y);
    expect("__eqsf2", a, b, helper___eqsf2(x, y) == 0, x == y);
    expect("__nesf2", a, b, helper___nesf2(x, y) != 0, x != y);
    expect("__ltsf2", a, b, helper___ltsf2(x, y) < 0, x < y);
    expect("__lesf2", a, b, helper___lesf2(x, y) <= 0, x <= y);
    expect("__gtsf2", a, b, helper___gtsf2(x, y) > 0, x > y);
    expect("__gesf2", a, b, helper___gesf2(x, y) >= 0, x >= y);
    expect("__unordsf2", a, b, helper___unordsf2(x, y) != 0, x != x || y != y);
}

static void check_conversion(uint32_t a, uint64_t wide) {
    const float x = soft_float(a);
    expect_float("__floatsisf", a, 0, helper___floatsisf((int32_t)a), (float)(int32_t)a);
    expect_float("__floatunsisf", a, 0, helper___floatunsisf(a), (float)a);
    expect_float("__floatundisf", wide, 0, helper___floatundisf(wide), (float)wide);
    expect_float("__floatdisf", wide, 0, helper___floatdisf((int64_t)wide), (float)(int64_t)wide);
    if (x >= -2147483648.0f && x < 2147483648.0f) {
        expect("__fixsfsi", a, 0, (uint32_t)helper___fixsfsi(x), (uint32_t)(int32_t)x);
    }
    if (x > -1.0f && x < 4294967296.0f) {
        expect("__fixunssfsi", a, 0, helper___fixunssfsi(x), (uint32_t)x);
    }
}

static void check_division(uint32_t a, uint32_t b) {
    if (b == 0) {
        return;
    }
    expect("__udivsi3", a, b, helper___udivsi3(a, b), a / b);
    expect("__umodsi3", a, b, helper___umodsi3(a, b), a % b);
    if (a != 0x80000000u || b != 0xFFFFFFFFu) {
        expect("__divsi3", a, b, (uint32_t)helper___divsi3((int32_t)a, (int32_t)b), (uint32_t)((int32_t)a / (int32_t)b));
        expect("__modsi3", a, b, (uint32_t)helper___modsi3((int32_t)a, (int32_t)b), (uint32_t)((int32_t)a % (int32_t)b));
    }
}

static void check_wide(uint64_t a, uint64_t b) {
    const int count = (int)(b & 63);
    expect("__muldi3", a, b, helper___muldi3(a, b), a * b);
    expect("__ashldi3", a, b & 63, helper___ashldi3(a, count), a << count);
    expect("__lshrdi3", a, b & 63, helper___lshrdi3(a, count), a >> count);
    expect("__ashrdi3", a, b & 63, (uint64_t)helper___ashrdi3((int64_t)a, count), (uint64_t)((int64_t)a >> count));
    if (b == 0) {
        return;
    }
    expect("__udivdi3", a, b, helper___udivdi3(a, b), a / b);
    expect("__umoddi3", a, b, helper___umoddi3(a, b), a % b);
    if (a != 0x8000000000000000u || b != 0xFFFFFFFFFFFFFFFFu) {
        expect("__divdi3", a, b, (uint64_t)helper___divdi3((int64_t)a, (int64_t)b), (uint64_t)((int64_t)a / (int64_t)b));
        expect("__moddi3", a, b, (uint64_t)helper___moddi3((int64_t)a, (int64_t)b), (uint64_t)((int64_t)a % (int64_t)b));
    }
}

/* Every offset and length up to 40, both ways of overlap. */
static void check_memory(void) {
    unsigned char from[64], ours[64], theirs[64];
    size_t to, at, bytes, i;
    for (i = 0; i < sizeof from; i++) {
        from[i] = (unsigned char)random_bits();
    }
    for (to = 0; to < 12; to++) {
        for (at = 0; at < 12; at++) {
            for (bytes = 0; bytes <= 40; bytes++) {
                const unsigned place = (unsigned)(to << 16 | at << 8);
                memset(ours, 0x11, sizeof ours);
                memset(theirs, 0x11, sizeof theirs);
                expect("memcpy result", place, bytes, helper_memcpy(ours + to, from + at, bytes) == ours + to, 1);
                memcpy(theirs + to, from + at, bytes);
                expect("memcpy", place, bytes, memcmp(ours, theirs, sizeof ours) == 0, 1);
                memcpy(ours, from, sizeof ours);
                memcpy(theirs, from, sizeof theirs);
                expect("memmove result", place, bytes, helper_memmove(ours + to, ours + at, bytes) == ours + to, 1);
                memmove(theirs + to, theirs + at, bytes);
                expect("memmove", place, bytes, memcmp(ours, theirs, sizeof ours) == 0, 1);
                expect("memset result", place, bytes, helper_memset(ours + to, (int)(at * 29), bytes) == ours + to, 1);
                memset(theirs + to, (int)(at * 29), bytes);
                expect("memset", place, bytes, memcmp(ours, theirs, sizeof ours) == 0, 1);
                ours[to + bytes / 2] = (unsigned char)random_bits();
                expect("memcmp", place, bytes, (unsigned)(helper_memcmp(ours + to, theirs + to, bytes) > 0),
                       (unsigned)(memcmp(ours + to, theirs + to, bytes) > 0));
                expect("memcmp", place, bytes, (unsigned)(helper_memcmp(ours + to, theirs + to, bytes) < 0),
                       (unsigned)(memcmp(ours + to, theirs + to, bytes) < 0));
            }
        }
    }
}

static void check_strings(void) {
    static const char *const words[] = {"", "a", "ab", "abc", "abd", "b", "\x80", "portable", "portable2"};
    size_t i, j;
    for (i = 0; i < sizeof words / sizeof words[0]; i++) {
        for (j = 0; j < sizeof words / sizeof words[0]; j++) {
            const int got = helper_strcmp(words[i], words[j]), expected = strcmp(words[i], words[j]);
            expect("strcmp", i, j, (unsigned)((got > 0) - (got < 0) + 1), (unsigned)((expected > 0) - (expected < 0) + 1));
        }
    }
}

/* Operands as they meet each other: near in exponent, nearly equal, subnormal, next to an edge, short. */
static void random_operands(unsigned long i, uint32_t *a, uint32_t *b) {
    const uint64_t both = random_bits();
    *a = (uint32_t)both;
    *b = (uint32_t)(both >> 32);
    switch (i % 8) {
    case 0:
        *b = (*b & 0x807FFFFFu) | (*a & 0x7F800000u);
        break;
    case 1:
        *b = *a ^ ((uint32_t)random_bits() & 0x80000003u);
        break;
    case 2:
        *a &= 0x807FFFFFu;
        break;
    case 3:
        *b &= 0x81FFFFFFu;
        break;
    case 4:
        *a = (*a & 0x807FFFFFu) | (uint32_t)(50 + random_bits() % 30) << 23;
        *b = (*b & 0x807FFFFFu) | (uint32_t)(40 + random_bits() % 60) << 23;
        break;
    case 5:
        *b = EDGES[random_bits() % N_EDGES];
        break;
    case 6:
        *a >>= random_bits() & 31;
        *b >>= random_bits() & 31;
        break;
    default:
        break;
    }
}

int main(int argc, char **argv) {
    const unsigned long cases = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    unsigned long i, j;
    for (i = 0; i < N_EDGES; i++) {
        for (j = 0; j < N_EDGES; j++) {
            check_arithmetic(EDGES[i], EDGES[j]);
            check_conversion(EDGES[i], (uint64_t)EDGES[i] << 32 | EDGES[j]);
            check_division(EDGES[i], EDGES[j]);
            check_wide((uint64_t)EDGES[i] << 32 | EDGES[j], EDGES[j]);
            check_wide(EDGES[i], (uint64_t)EDGES[j] << 32 | EDGES[i]);
        }
    }
    for (i = 0; i < cases; i++) {
        const uint64_t x = random_bits(), y = random_bits();
        uint32_t a, b;
        random_operands(i, &a, &b);
        check_arithmetic(a, b);
        check_conversion(a, x >> (y & 63));
        check_division(a, b);
        check_wide(x >> (b & 63), y >> (a & 63));
    }
    check_memory();
    check_strings();
    printf("%lu random cases, %lu checks, %lu wrong\n", cases, checks, wrong);
    return wrong != 0;
}
