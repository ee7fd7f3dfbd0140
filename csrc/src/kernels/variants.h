/* The tables of the variants. Which exist is a matter of the target; AETHER_PORTABLE_ONLY (chips) leaves those with vectors out. */
#ifndef AETHER_VARIANTS_H
#define AETHER_VARIANTS_H

#include "aether/kernels.h"

#if !defined(AETHER_PORTABLE_ONLY)
#if defined(__x86_64__) || (defined(_M_X64) && !defined(_M_ARM64EC))
#define AETHER_VARIANTS_X86 1
#elif defined(__aarch64__) || defined(_M_ARM64)
#define AETHER_VARIANTS_NEON 1
#endif
#endif

/* Everywhere: for processors without vectors. */
extern const aether_kernels aether_kernels_scalar;

/* Forward row by row through the gather of the head's own kernels: what portable and scalar share. */
size_t aether_portable_plan_bytes(const struct aether_head *head, size_t tokens, aether_dtype dtype);
void aether_portable_prepare(struct aether_plan *plan, void *memory);
size_t aether_portable_rows_bytes(const struct aether_head *head, size_t tokens);
void aether_portable_rows(const struct aether_plan *plan, const float *q, size_t first, size_t count, float *out,
                          void *scratch);

#if defined(AETHER_VARIANTS_X86)
extern const aether_kernels aether_kernels_sse2, aether_kernels_avx2, aether_kernels_avx512;
#elif defined(AETHER_VARIANTS_NEON)
extern const aether_kernels aether_kernels_neon;
#endif

#endif
