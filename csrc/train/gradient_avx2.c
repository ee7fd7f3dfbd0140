/* AVX2, without fused multiply-add: processors that run the core's variant of this name need not have it. */
#include "panel.h"

#if defined(AETHER_GRADIENT_X86)

#include "../src/kernels/lane.h"

#include <immintrin.h>

LANE_TARGET("avx2,f16c")

#include "../src/kernels/lane_avx2.h"

#include "lane_gradient.h"

GRADIENT_KERNEL(avx2);

LANE_TARGET_END

#else
typedef int aether_no_avx2; /* ISO C wants a declaration */
#endif
