/* AVX-512 F, BW, DQ and VL. */
#include "variants.h"

#if defined(AETHER_VARIANTS_X86)

#include "lane.h"

#include <immintrin.h>

LANE_TARGET("avx512f,avx512bw,avx512dq,avx512vl")

#include "lane_avx512.h"

#include "lane_kernels.h"

LANE_TABLES(avx512);

LANE_TARGET_END

#else
typedef int aether_no_avx512; /* ISO C wants a declaration */
#endif
