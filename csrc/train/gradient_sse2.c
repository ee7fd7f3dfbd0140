/* SSE2: part of every x86-64 processor. */
#include "panel.h"

#if defined(AETHER_GRADIENT_X86)

#include "../src/kernels/lane_sse2.h"

#include "lane_gradient.h"

GRADIENT_KERNEL(sse2);

#else
typedef int aether_no_sse2; /* ISO C wants a declaration */
#endif
