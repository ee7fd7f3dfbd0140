/* What a caller may ask of a cache, and the type its rows then have. */
#ifndef AETHER_ROWS_TYPE_H
#define AETHER_ROWS_TYPE_H

#include "aether/numeric.h"

static inline int aether_is_cache_type(aether_dtype dtype) {
    return dtype == AETHER_BINARY32 || dtype == AETHER_BINARY16 || dtype == AETHER_BINARY16_WIDENED;
}

static inline aether_dtype aether_rows_type(aether_dtype dtype) {
    return dtype == AETHER_BINARY32 ? AETHER_BINARY32 : AETHER_BINARY16;
}

#endif
