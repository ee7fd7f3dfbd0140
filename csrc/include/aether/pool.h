/* Many streams of one model in one piece of memory (docs/spec/model.md). Each has an id, and gives the bits of a stream of its own
   (stream.h). Frames of different streams go through the model together, which shares the reading of its weights. One caller at a
   time; no allocation. */
#ifndef AETHER_POOL_H
#define AETHER_POOL_H

#include "stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Private: where the parts of a pool's memory begin, in bytes; [together] is the number of rows that are worked on at once. */
typedef struct aether_pool_layout {
    size_t streams, stream_bytes;   /* state of the first; bytes from one to the next */
    size_t entries, buckets, slots; /* [most], [n_buckets], [most] */
    size_t input, x, h, fresh, q, a, k, v, hidden, logits, embeddings; /* [together] rows each */
    size_t seen, candidates, candidate_bytes;                          /* what the query of each row sees */
    size_t attend;
    size_t total;
} aether_pool_layout;

/* Initialise with aether_pool_init. Read only. */
typedef struct aether_pool {
    uint32_t most;       /* streams it can hold */
    uint32_t count;      /* streams it holds */
    size_t memory_bytes;
    /* Private: do not read or write. */
    aether_stream stream; /* the one that is worked on; its state lies in the pool's memory */
    unsigned char *memory;
    aether_pool_layout at;
    uint32_t mask, newest, oldest, unused;
    uint64_t group; /* counts groups of rows */
} aether_pool;

/* Bytes of memory for `most` streams, 1 to 2^31, of this context (>= 1) and dtype. AETHER_E_CONFIG, AETHER_E_TOO_LARGE, the codes of
   aether_stream_size. */
aether_status aether_pool_size(const aether_model *model, uint64_t context, aether_dtype dtype, uint32_t most, size_t *bytes);

/* Makes an empty pool in `memory` (8-byte aligned, the caller's). The model must outlive it. The codes of aether_pool_size,
   AETHER_E_MEMORY. */
aether_status aether_pool_init(aether_pool *pool, const aether_model *model, uint64_t context, aether_dtype dtype, uint32_t most,
                               void *memory, size_t bytes);

/* What a push did with each of its rows. */
typedef struct aether_pushed {
    float *logits;          /* [n][n_classes] */
    float *embeddings;      /* [n][embed_dim]; may be NULL */
    aether_status *results; /* [n]: AETHER_OK, or AETHER_E_OVERFLOW or AETHER_E_CACHE_FULL (as of aether_stream_push): that stream is as
                               before the row, and the row's outputs are NaN */
    uint64_t *evicted;      /* [n]: ids of streams that gave up their places, least recently used first */
    size_t n_evicted;
} aether_pushed;

/* Takes n <= `most` frames [n][input_dim], row r for the stream ids[r], as n calls of aether_stream_push would, in order. A stream that
   is not there is made. Where all places are taken, the least recently used one goes that is not among `ids`.
   Nothing is changed on an error: AETHER_E_SHAPE (n > most; embeddings of a model without), AETHER_E_NOT_FINITE. */
aether_status aether_pool_push(aether_pool *pool, const uint64_t *ids, size_t n, const float *frames, aether_pushed *pushed);

/* The stream `id`, for the reading functions of stream.h, until the next call that takes the pool; NULL when there is none. */
const aether_stream *aether_pool_at(aether_pool *pool, uint64_t id);

/* Forgets a stream; its place is free. AETHER_E_ARGUMENT: there is no such stream. */
aether_status aether_pool_drop(aether_pool *pool, uint64_t id);

/* Puts a saved state of aether_stream_save in the place of the stream `id`, which is made where it is not there and counts as the one
   used last. Nothing is changed on an error: AETHER_E_CACHE_FULL (no free place), the codes of aether_stream_load. */
aether_status aether_pool_load(aether_pool *pool, uint64_t id, const void *bytes, size_t size, aether_detail *detail);

/* Ids of the `count` streams, least recently used first. */
void aether_pool_ids(const aether_pool *pool, uint64_t *ids);

#ifdef __cplusplus
}
#endif
#endif
