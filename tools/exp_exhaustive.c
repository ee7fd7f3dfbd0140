/* Evaluates aether_exp for every binary32 argument of its domain (exp_exhaustive [STEP]: for every STEP-th) and prints the largest
   error, in units of the last place of the exact value, and its argument. Exit status 1: the error exceeds 1 ulp, an argument below
   the cut does not give +0, or the cut is not where the exact result becomes subnormal.

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
    const long double exact = expl((long double)x);
    int exponent;
    (void)frexpl(exact, &exponent); /* exact = f * 2^exponent, f in [1/2, 1) */
    return fabsl((long double)y - exact) / ldexpl(1.0L, exponent - 24);
}

/* The same in binary64, with an error below 1e-6 ulp: selects the arguments for the slow computation. */
static double quick_error_of(float x, float y) {
    const double exact = exp((double)x);
    int exponent;
    (void)frexp(exact, &exponent);
    return fabs((double)y - exact) / ldexp(1.0, exponent - 24);
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
    printf("%llu arguments\n", (unsigned long long)tried);
    printf("largest error %.6Lf ulp at %.9g (%08lX)\n", worst, (double)worst_at, (unsigned long)to_bits(worst_at));
    printf("below the cut: %llu results other than +0; the cut is where results become subnormal: %s\n", (unsigned long long)not_zero,
           cut_right ? "yes" : "NO");
    return worst > 1.0L || not_zero != 0 || !cut_right;
}
