/* Where the parts of a cache's memory begin. Rows are [kv_heads][head_dim]. */
#ifndef AETHER_CACHE_LAYOUT_H
#define AETHER_CACHE_LAYOUT_H

#include "aether/cache.h"

typedef struct aether_cache_layout {
    size_t n_rows, n_blocks;   /* physical token rows and block means */
    size_t row;                /* elements a row */
    size_t staged;             /* binary32 [2][row]: block sums with the staged token */
    size_t sums;               /* binary32 [2][row]: block sums of the committed tokens */
    size_t mean_k, mean_v;     /* binary32 [n_blocks][row] */
    size_t rows_k, rows_v;     /* [n_rows][row] of the cache's type, token t in row t % n_rows */
    size_t globals_k, globals_v; /* [n_globals][row] of the cache's type */
    size_t total;
} aether_cache_layout;

/* `head` with the effective history. */
aether_status aether_cache_lay_out(const aether_head *head, aether_dtype dtype, aether_cache_layout *at);

/* The layout of a cache that exists: cannot fail. */
aether_cache_layout aether_cache_layout_of(const aether_cache *cache);

/* Scratch of one step of a head with the effective history, where pointers have pointer_bytes bytes. */
aether_status aether_cache_step_scratch(const aether_head *own, size_t pointer_bytes, size_t *bytes);

/* 1 when the cache was made for a head of this shape and pattern. */
int aether_cache_fits(const aether_cache *cache, const aether_head *head);

#endif
