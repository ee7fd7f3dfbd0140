/* AVX2 with F16C; -mavx2 -mf16c (MSVC: /arch:AVX2). */
#include "variants.h"

#if defined(AETHER_VARIANTS_X86)

#include "lane_avx2.h"

#include "lane_kernels.h"

LANE_TABLE(avx2);

#else
typedef int aether_no_avx2; /* ISO C wants a declaration */
#endif
