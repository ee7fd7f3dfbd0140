/* The key/value cache of one causal sparse head: the rows that a later query can still see, and the block means.
   A cache of capacity C gives the rows of forward with history min(history, C), bit for bit. */
#ifndef AETHER_CACHE_H
#define AETHER_CACHE_H

#include "attention.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum aether_policy {
    AETHER_ON_FULL_ERROR = 0, /* a step beyond `capacity` tokens is AETHER_E_CACHE_FULL */
    AETHER_ON_FULL_RING = 1   /* a query sees the last `capacity` tokens, and the global ones; it ends before 2^62 tokens */
} aether_policy;

/* Private: where the parts of a cache's memory begin, in bytes. Rows are [kv_heads][head_dim]. */
typedef struct aether_cache_layout {
    size_t n_rows, n_blocks;     /* physical token rows and block means */
    size_t row;                  /* elements a row */
    size_t staged;               /* binary32 [2][row]: block sums with the staged token; at odd lengths without it */
    size_t sums;                 /* binary32 [2][row]: block sums of the committed tokens; at odd lengths with the staged one */
    size_t mean_k, mean_v;       /* binary32 [n_blocks][row] */
    size_t rows_k, rows_v;       /* [n_rows][row] of the cache's type, token t in row t % n_rows */
    size_t globals_k, globals_v; /* [n_globals][row] of the cache's type */
    unsigned levels;             /* of means in a pyramid; then n_blocks counts the rows of all of them, */
    uint16_t level_rows[64];     /* those of level l from level_rows[l] to level_rows[l + 1] */
    size_t total;
} aether_cache_layout;

/* Private: where the parts of the scratch of aether_cache_attend begin, in bytes. */
typedef struct aether_attend_layout {
    size_t singles, blocks, levels; /* of aether_row */
    size_t sizes;           /* of the means of a pyramid */
    size_t keys, values;    /* pointers to rows */
    size_t floats;          /* of the kernel */
    size_t out;             /* the result until it is known to be finite */
    size_t total;           /* 0: larger than any memory */
} aether_attend_layout;

/* Initialise with aether_cache_init. One caller at a time. */
typedef struct aether_cache {
    /* Private: do not read or write. */
    aether_head head; /* with the effective history: min(history, capacity) */
    uint64_t history; /* as configured */
    uint64_t capacity;
    uint64_t length;  /* tokens so far */
    aether_dtype dtype;
    aether_policy policy;
    size_t n_rows, n_globals, n_blocks; /* physical rows: tokens of the ring, global tokens, block means */
    unsigned char *memory;
    size_t memory_bytes;
    aether_cache_layout at;
    aether_attend_layout scratch;
} aether_cache;

/* Bytes of memory for a cache. capacity > 0. AETHER_E_CONFIG, AETHER_E_NO_STREAMING (dense or non-causal), AETHER_E_TOO_LARGE. */
aether_status aether_cache_size(const aether_head *head, uint64_t capacity, aether_dtype dtype, size_t *bytes);

/* Makes an empty cache in `memory` (4-byte aligned, the caller's, must outlive the cache; contents are overwritten). The head is
   copied, its global list is not. The codes of aether_cache_size, AETHER_E_MEMORY. */
aether_status aether_cache_init(aether_cache *cache, const aether_head *head, uint64_t capacity, aether_dtype dtype,
                                aether_policy policy, void *memory, size_t bytes);

void aether_cache_reset(aether_cache *cache);

/* Bytes of scratch for step and prefill of up to `tokens` tokens (step: 1), 8-byte aligned. AETHER_E_TOO_LARGE. */
aether_status aether_cache_scratch(const aether_cache *cache, size_t tokens, size_t *bytes);

/* Appends one token (k, v: [kv_heads][head_dim]) and attends with q [q_heads][head_dim] -> out, same shape. On any error cache
   and out are as before. AETHER_E_CACHE_MISMATCH when `head` is not the one of the cache (shape, pattern),
   AETHER_E_NOT_FINITE, AETHER_E_OVERFLOW (also a key or value beyond binary16), AETHER_E_CACHE_FULL, AETHER_E_MEMORY. */
aether_status aether_cache_step(aether_cache *cache, const aether_head *head, const float *q, const float *k,
                                const float *v, float *out, void *scratch, size_t bytes);

/* The same as `tokens` steps; arrays as in attention.h. On any error the cache is as before; out may have been written.
   The codes of aether_cache_step, AETHER_E_TOO_LARGE. */
aether_status aether_cache_prefill(aether_cache *cache, const aether_head *head, const float *q, const float *k,
                                   const float *v, size_t tokens, float *out, void *scratch, size_t bytes);

/* One step of each of n caches, which are different ones: q [n][q_heads][head_dim], k, v [n][kv_heads][head_dim] -> out, shape of q. On
   any error all caches are as before; out may have been written. `bytes` of scratch are enough for each. The codes of
   aether_cache_step. */
aether_status aether_cache_step_many(aether_cache *const *caches, size_t n, const aether_head *head, const float *q, const float *k,
                                     const float *v, float *out, void *scratch, size_t bytes);

/* Bulk append without attending. On any error the cache is as before. AETHER_E_CACHE_FULL, AETHER_E_NOT_FINITE,
   AETHER_E_OVERFLOW. */
aether_status aether_cache_append(aether_cache *cache, const float *k, const float *v, size_t tokens);

/* The parts of a step, for callers that must advance several caches together or none (stream.h): stage writes token `length`
   where no visible row lies, attend computes with it, commit makes it part of the cache. Nothing else may come between.
   stage: AETHER_E_CACHE_FULL, AETHER_E_NOT_FINITE, AETHER_E_OVERFLOW. attend: AETHER_E_NOT_FINITE, AETHER_E_OVERFLOW (out
   untouched), AETHER_E_MEMORY, AETHER_E_TOO_LARGE. */
aether_status aether_cache_stage(aether_cache *cache, const float *k, const float *v);
aether_status aether_cache_attend(const aether_cache *cache, const float *q, float *out, void *scratch, size_t bytes);
void aether_cache_commit(aether_cache *cache);

/* Saved state: a self-describing byte string (docs/spec/state.md) with a CRC. save: AETHER_E_MEMORY when size is too small. */
size_t aether_cache_saved_size(const aether_cache *cache);
aether_status aether_cache_save(const aether_cache *cache, void *bytes, size_t size);

/* Reads what a saved state says about itself, without memory; checks length and CRC. `globals_offset` is where its n_globals u32
   stand. AETHER_E_STATE. */
typedef struct aether_saved {
    aether_config config; /* globals NULL; n_globals set; history as configured (before the capacity's) */
    uint64_t capacity, length;
    aether_dtype dtype;
    aether_policy policy;
    size_t globals_offset;
} aether_saved;
aether_status aether_cache_peek(const void *bytes, size_t size, aether_saved *saved, aether_detail *detail);

/* Restores into a cache made by aether_cache_init for the same head, capacity, policy and dtype; on any error the cache is as
   before. AETHER_E_STATE, AETHER_E_CACHE_MISMATCH. */
aether_status aether_cache_load(aether_cache *cache, const void *bytes, size_t size, aether_detail *detail);

#ifdef __cplusplus
}
#endif
#endif
