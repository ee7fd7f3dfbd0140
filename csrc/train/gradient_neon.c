/* NEON, with the fused multiply-add that is part of AArch64. */
#include "panel.h"

#if defined(AETHER_GRADIENT_NEON)

#include "../src/kernels/lane_neon.h"

#define LANE_MLA(a, b, c) vfmaq_f32((c), (a), (b))

#include "lane_gradient.h"

GRADIENT_KERNEL(neon);

#else
typedef int aether_no_neon; /* ISO C wants a declaration */
#endif
