/* The tables of the variants. Which exist is a matter of the target; AETHER_PORTABLE_ONLY (chips) leaves those with vectors out. */
#ifndef AETHER_VARIANTS_H
#define AETHER_VARIANTS_H

#include "../sequence.h"

#if !defined(AETHER_PORTABLE_ONLY)
#if defined(__x86_64__) || (defined(_M_X64) && !defined(_M_ARM64EC))
#define AETHER_VARIANTS_X86 1
#elif defined(__aarch64__) || defined(_M_ARM64)
#define AETHER_VARIANTS_NEON 1
#endif
#endif

/* Everywhere: for processors without vectors. */
extern const aether_kernels aether_kernels_scalar;

/* What portable defines, for the rare input that another variant leaves to it. */
int aether_portable_linear(const float *x, size_t rows, size_t in, const void *w, aether_dtype wtype,
                           const float *bias, size_t out, float *y);
void aether_portable_attend_query(const aether_query *job);

#if defined(AETHER_VARIANTS_X86)
extern const aether_kernels aether_kernels_sse2, aether_kernels_avx2, aether_kernels_avx512;
extern const aether_sequence_kernels aether_sequence_sse2, aether_sequence_avx2, aether_sequence_avx512;
#elif defined(AETHER_VARIANTS_NEON)
extern const aether_kernels aether_kernels_neon;
extern const aether_sequence_kernels aether_sequence_neon;
#endif

#endif
