/* Where the parts of a stream's memory begin. */
#ifndef AETHER_STREAM_LAYOUT_H
#define AETHER_STREAM_LAYOUT_H

#include "aether/stream.h"

typedef struct aether_stream_layout {
    size_t cache, cache_bytes;    /* memory of layer 0; bytes of each layer's */
    size_t cache_payload;         /* bytes of a saved one */
    size_t cache_rows, cache_blocks;
    size_t stem, conv, pool;      /* rows: [stem_taps][w], [n_layers][taps][w], [pool_frames][w] */
    size_t logits, embedding;     /* the newest answer */
    size_t state;                 /* bytes of all of the above */
    size_t room, x, h, y, q, a, k, v, hidden, new_logits, new_embedding, attend, attend_bytes;
    size_t total;
} aether_stream_layout;

/* On a machine whose pointers have pointer_bytes bytes: only scratch depends on it. */
aether_status aether_stream_lay_out(const aether_model *m, uint64_t capacity, aether_dtype dtype, size_t pointer_bytes,
                                    aether_stream_layout *at);

static inline float *aether_stream_floats(const aether_stream *s, size_t offset) {
    return (float *)(void *)(s->memory + offset);
}

/* The cache of a layer, put together anew: what lies in memory holds no pointers, so its size is the same everywhere. */
aether_cache aether_stream_cache(const aether_stream *s, const aether_stream_layout *at, size_t layer);

#endif
