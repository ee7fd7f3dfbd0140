/* The tables of the variants. Which exist is a matter of the target; AETHER_PORTABLE_ONLY (chips) leaves all out. */
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

#if defined(AETHER_VARIANTS_X86)
extern const aether_kernels aether_kernels_sse2, aether_kernels_avx2, aether_kernels_avx512;
#elif defined(AETHER_VARIANTS_NEON)
extern const aether_kernels aether_kernels_neon;
#endif

#endif
