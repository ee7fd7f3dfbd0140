/* Every floating-point operation rounds on its own (docs/spec/numerics.md): a*b+c is never contracted into one operation, also
   when the compiler is called without -ffp-contract=off. GCC does not contract under -std=c99, and has no STDC pragma. */
#ifndef AETHER_CONTRACT_H
#define AETHER_CONTRACT_H

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__) && !defined(__STRICT_ANSI__)
#pragma GCC optimize("fp-contract=off")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

#endif
