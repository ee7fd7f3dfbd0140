/* What the parts of the component share. */
#ifndef RUV_CONTEXT_H
#define RUV_CONTEXT_H

#include "classifier.h"
#include "esp_err.h"
#include "ruv_temporal_ext.h"

/* Behind ruv_temporal_ctx_t. */
struct ruv_temporal_ctx {
    node_classifier *classifier;
    void *owned;   /* freed with the context; NULL: the caller's memory */
    size_t memory; /* bytes */
};

/* A status of the core as a code of esp_err.h. */
esp_err_t ruv_error(aether_status status);

/* The cache type that Kconfig selects. */
aether_dtype ruv_cache_dtype(void);

#endif
