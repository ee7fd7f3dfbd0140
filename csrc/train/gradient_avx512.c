/* AVX-512, with the fused multiply-add that is part of it: no golden vector binds this file. */
#include "panel.h"

#if defined(AETHER_GRADIENT_X86)

#include "../src/kernels/lane.h"

#include <immintrin.h>

LANE_TARGET("avx512f,avx512bw,avx512dq,avx512vl")

#include "../src/kernels/lane_avx512.h"

#define LANE_MLA(a, b, c) _mm512_fmadd_ps((a), (b), (c))

#include "lane_gradient.h"

GRADIENT_KERNEL(avx512);

LANE_TARGET_END

#else
typedef int aether_no_avx512; /* ISO C wants a declaration */
#endif
