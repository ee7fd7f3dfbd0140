/* the x86-64 baseline; no flag needed. */
#include "variants.h"

#if defined(AETHER_VARIANTS_X86)

#include "lane_sse2.h"

#include "lane_kernels.h"

LANE_TABLES(sse2);

#else
typedef int aether_no_sse2; /* ISO C wants a declaration */
#endif
