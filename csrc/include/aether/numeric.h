/* The contract's own arithmetic (docs/spec/numerics.md). */
#ifndef AETHER_NUMERIC_H
#define AETHER_NUMERIC_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Types of weights and of the rows of a cache. The integers are of the blobs that hold a model in integers (docs/spec/integers.md). */
typedef enum aether_dtype { AETHER_BINARY32 = 0, AETHER_BINARY16 = 1, AETHER_INT8 = 2, AETHER_INT32 = 3 } aether_dtype;

/* 1 for what a caller can ask keys and values to be kept as. */
static inline int aether_is_dtype(aether_dtype dtype) {
    return dtype == AETHER_BINARY32 || dtype == AETHER_BINARY16;
}

/* Bytes of one number. */
static inline size_t aether_element(aether_dtype dtype) {
    return dtype == AETHER_BINARY16 ? sizeof(uint16_t) : dtype == AETHER_INT8 ? sizeof(int8_t) : sizeof(float);
}

/* exp(x) for x <= 0 and minus infinity, at most 1 ulp from the true value; +0 where the result would be subnormal.
   NaN gives NaN; x > 0 is outside the contract (no trap, no meaning). */
float aether_exp(float x);

/* Correctly rounded square root of x >= 0 (also of plus infinity; of -0 it is -0). NaN for anything else. Integer arithmetic. */
float aether_sqrt(float x);

/* binary16 bits to binary32: exact. Infinity and NaN keep their class. */
float aether_widen(uint16_t half);

/* Finite binary32 to binary16 bits, round to nearest even. AETHER_E_OVERFLOW (and *half unchanged) when the rounded magnitude
   exceeds 65504 or x is not finite. */
aether_status aether_narrow(float x, uint16_t *half);

/* 1 when all n values are finite, else 0. */
int aether_all_finite(const float *x, size_t n);

#ifdef __cplusplus
}
#endif
#endif
