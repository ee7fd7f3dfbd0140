/* AVX2 with F16C. */
#include "variants.h"

#if defined(AETHER_VARIANTS_X86)

#include "lane.h"

#include <immintrin.h>

LANE_TARGET("avx2,f16c")

#include "lane_avx2.h"

#include "lane_kernels.h"

LANE_TABLES(avx2);

LANE_TARGET_END

#else
typedef int aether_no_avx2; /* ISO C wants a declaration */
#endif
