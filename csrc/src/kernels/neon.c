/* AArch64; no flag needed. */
#include "variants.h"

#if defined(AETHER_VARIANTS_NEON)

#include "lane_neon.h"

#include "lane_kernels.h"

LANE_TABLES(neon);

#else
typedef int aether_no_neon; /* ISO C wants a declaration */
#endif
