/* A model fed frame by frame, without end (docs/spec/model.md). One caller at a time; no allocation. */
#ifndef AETHER_STREAM_H
#define AETHER_STREAM_H

#include "cache.h"
#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Private: where the parts of a stream's memory begin, in bytes; w is the model's width. */
typedef struct aether_stream_layout {
    size_t cache, cache_bytes;    /* memory of layer 0; bytes of each layer's */
    size_t cache_payload;         /* bytes of a saved one */
    size_t stem, conv, pool;      /* rows: [stem_taps][w], [n_layers][taps][w], [pool_frames][w] */
    size_t logits, embedding;     /* the newest */
    size_t sums, shown, shown_embedding; /* of a model in integers: sums of pooled rows, the newest outputs as binary32 */
    size_t state;                 /* bytes of all of the above */
    size_t input, x, h, q, a, k, v, hidden, new_logits, new_embedding, wide, attend;
    size_t total;
} aether_stream_layout;

/* Initialise with aether_stream_init. Read only. */
typedef struct aether_stream {
    const aether_model *model;
    uint64_t context;    /* frames of history that a query may see */
    uint64_t length;     /* frames so far */
    aether_dtype dtype;  /* of the caches; AETHER_INT8 in a model in integers */
    size_t memory_bytes; /* state and scratch */
    /* Private: do not read or write. */
    unsigned char *memory;
    aether_stream_layout at;
    aether_cache cache; /* of the layer that is worked on; its memory lies in the stream's */
} aether_stream;

/* Bytes of memory (state and scratch of aether_model_memory together). context >= 1. AETHER_E_CONFIG,
   AETHER_E_TOO_LARGE. */
aether_status aether_stream_size(const aether_model *model, uint64_t context, aether_dtype dtype, size_t *bytes);

/* Makes an empty stream in `memory` (8-byte aligned, the caller's). The model must outlive it. The codes of
   aether_stream_size, AETHER_E_MEMORY. */
aether_status aether_stream_init(aether_stream *stream, const aether_model *model, uint64_t context,
                                 aether_dtype dtype, void *memory, size_t bytes);

void aether_stream_reset(aether_stream *stream);

/* Takes one frame [input_dim]; on any error the stream is as before. AETHER_E_NOT_FINITE, AETHER_E_OVERFLOW,
   AETHER_E_CACHE_FULL (after 2^62 - 1 frames). */
aether_status aether_stream_push(aether_stream *stream, const float *frame);

/* The newest scores, in the stream's memory until the next push: logits [n_classes], embedding [embed_dim].
   NULL before the first frame, and for the embedding of a model without one. */
const float *aether_stream_logits(const aether_stream *stream);
const float *aether_stream_embedding(const aether_stream *stream);

/* Saved state of a whole stream (docs/spec/state.md); load into a stream initialised for the same blob, context and dtype;
   on any error it is as before. save: AETHER_E_MEMORY. load: AETHER_E_STATE, AETHER_E_CACHE_MISMATCH. */
size_t aether_stream_saved_size(const aether_stream *stream);
aether_status aether_stream_save(const aether_stream *stream, void *bytes, size_t size);
aether_status aether_stream_load(aether_stream *stream, const void *bytes, size_t size, aether_detail *detail);

#ifdef __cplusplus
}
#endif
#endif
