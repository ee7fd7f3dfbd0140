/* What the parts of a stream share. */
#ifndef AETHER_STREAM_LAYOUT_H
#define AETHER_STREAM_LAYOUT_H

#include "aether/stream.h"

/* On a machine whose pointers have pointer_bytes bytes: only scratch depends on it. `cache` may be NULL. */
aether_status aether_stream_lay_out(const aether_model *m, uint64_t context, aether_dtype dtype, size_t pointer_bytes,
                                    aether_stream_layout *at, aether_cache_layout *cache);

static inline float *aether_stream_floats(const aether_stream *s, size_t offset) {
    return (float *)(void *)(s->memory + offset);
}

/* The cache of a layer. What lies in memory holds no pointers, so its size is the same everywhere. */
static inline aether_cache *aether_stream_layer(aether_stream *s, size_t layer) {
    s->cache.memory = s->memory + s->at.cache + layer * s->at.cache_bytes;
    s->cache.length = s->length;
    return &s->cache;
}

/* The same as a copy. */
aether_cache aether_stream_cache(const aether_stream *s, size_t layer);

#endif
