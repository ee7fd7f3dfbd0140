/* The two types of stored numbers. */
#ifndef AETHER_DTYPE_H
#define AETHER_DTYPE_H

#include "aether/numeric.h"

static inline int aether_is_dtype(aether_dtype dtype) {
    return dtype == AETHER_BINARY32 || dtype == AETHER_BINARY16;
}

/* Bytes of one number. */
static inline size_t aether_element(aether_dtype dtype) {
    return dtype == AETHER_BINARY16 ? sizeof(uint16_t) : sizeof(float);
}

#endif
