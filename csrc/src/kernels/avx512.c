/* AVX-512 F, BW, DQ and VL; -mavx512f -mavx512bw -mavx512dq -mavx512vl (MSVC: /arch:AVX512). */
#include "variants.h"

#if defined(AETHER_VARIANTS_X86)

#include "lane_avx512.h"

#include "lane_kernels.h"

LANE_TABLE(avx512);

#else
typedef int aether_no_avx512; /* ISO C wants a declaration */
#endif
