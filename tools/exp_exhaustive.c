/* Tries aether_exp on every binary32 argument of its domain (or every STEP-th: exp_exhaustive [STEP]) and prints the largest
   error in units of the last place of the true value, and where. Exit code 1 when it exceeds 1 ulp, when an argument below the cut
   does not give +0, or when the cut does not stand exactly where the true result becomes subnormal.

   cc -O2 -std=c99 -ffp-contract=off -Icsrc/include tools/exp_exhaustive.c csrc/src/numeric.c csrc/src/status.c -lm */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aether/numeric.h"

#define CUT 0xC2AEAC4Fu
#define MINUS_INFINITY 0xFF800000u

static float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t to_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* |y - e^x| in units of the last binary32 place of e^x. */
static long double error_of(float x, float y) {
    const long double truth = expl((long double)x);
    int exponent;
    (void)frexpl(truth, &exponent); /* truth = f * 2^exponent, f in [1/2, 1) */
    return fabsl((long double)y - truth) / ldexpl(1.0L, exponent - 24);
}

/* The same in binary64, wrong by less than 1e-6 ulp: tells which arguments are worth the long way. */
static double quick_error_of(float x, float y) {
    const double truth = exp((double)x);
    int exponent;
    (void)frexp(truth, &exponent);
    return fabs((double)y - truth) / ldexp(1.0, exponent - 24);
}

int main(int argc, char **argv) {
    const uint64_t step = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    const long double smallest_normal = ldexpl(1.0L, -126);
    long double worst = 0.0L;
    float worst_at = 0.0f;
    uint64_t bits, tried = 0, not_zero = 0;
    int cut_right;
    if (step == 0) {
        (void)fprintf(stderr, "usage: exp_exhaustive [STEP], STEP at least 1\n");
        return 2;
    }
    for (bits = 0x80000000u; bits <= CUT; bits += step) {
        const float x = from_bits((uint32_t)bits);
        const float y = aether_exp(x);
        tried++;
        if (quick_error_of(x, y) > (double)worst - 1e-6) {
            const long double error = error_of(x, y);
            if (error > worst) {
                worst = error;
                worst_at = x;
            }
        }
    }
    for (bits = CUT + 1u; bits <= MINUS_INFINITY; bits += step) {
        tried++;
        not_zero += to_bits(aether_exp(from_bits((uint32_t)bits))) != 0;
    }
    not_zero += to_bits(aether_exp(from_bits(MINUS_INFINITY))) != 0;
    cut_right = to_bits(aether_exp(0.0f)) == 0x3F800000u && expl((long double)from_bits(CUT)) >= smallest_normal &&
                expl((long double)from_bits(CUT + 1u)) < smallest_normal && aether_exp(from_bits(CUT)) >= FLT_MIN;
    printf("%llu arguments tried\n", (unsigned long long)tried);
    printf("largest error %.6Lf ulp at %.9g (%08lX)\n", worst, (double)worst_at, (unsigned long)to_bits(worst_at));
    printf("below the cut: %llu not +0; the cut stands where results become subnormal: %s\n", (unsigned long long)not_zero,
           cut_right ? "yes" : "NO");
    return worst > 1.0L || not_zero != 0 || !cut_right;
}
