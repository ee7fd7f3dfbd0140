/* The definition of a context. */
#ifndef RUV_CONTEXT_H
#define RUV_CONTEXT_H

#include "classifier.h"
#include "esp_err.h"
#include "ruv_temporal_ext.h"

struct ruv_temporal_ctx {
    node_classifier *classifier;
    void *owned;   /* freed with the context; NULL: the caller's memory */
    size_t memory; /* bytes */
};

/* The cache type that Kconfig selects. */
aether_dtype ruv_cache_dtype(void);

#endif
