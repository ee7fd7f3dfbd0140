/* What a context is. */
#ifndef RUV_CONTEXT_H
#define RUV_CONTEXT_H

#include "classifier.h"
#include "esp_err.h"
#include "ruv_temporal_ext.h"

struct ruv_temporal_ctx {
    node_classifier *classifier;
    void *owned;   /* to be freed with it; NULL: the caller's memory */
    size_t memory; /* bytes */
};

/* The cache that Kconfig chose. */
aether_dtype ruv_cache_dtype(void);

#endif
