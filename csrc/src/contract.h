/* Every floating-point operation rounds on its own (docs/spec/numerics.md): a*b+c is never contracted into one operation, also
   when the compiler is called without -ffp-contract=off. GCC does not contract under -std=c99, unless it is told to (then
   __GCC_IEC_559 is 0, where there is one), and has no STDC pragma. Options that change bits in other ways are errors where the compiler
   tells of them; Clang does not tell of all. The self-test of a node and the golden vectors find the rest. */
#ifndef AETHER_CONTRACT_H
#define AETHER_CONTRACT_H

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) || defined(__ASSOCIATIVE_MATH__) || \
    defined(__RECIPROCAL_MATH__) || defined(__NO_SIGNED_ZEROS__)
#error "expected the arithmetic of IEEE 754, found an option that changes bits; leave out -ffast-math and -fno-signed-zeros"
#endif

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__) && (!defined(__STRICT_ANSI__) || (defined(__GCC_IEC_559) && __GCC_IEC_559 == 0))
#pragma GCC optimize("fp-contract=off")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

#endif
