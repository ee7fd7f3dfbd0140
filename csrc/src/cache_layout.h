/* What a stream needs of its caches beside aether/cache.h: sizes, and the parts of a step without the checks around them. */
#ifndef AETHER_CACHE_LAYOUT_H
#define AETHER_CACHE_LAYOUT_H

#include "aether/cache.h"

/* `head` with the effective history. */
aether_status aether_cache_lay_out(const aether_head *head, aether_dtype dtype, aether_cache_layout *at);

/* Scratch of one attending of a head with the effective history, where pointers have pointer_bytes bytes. AETHER_E_TOO_LARGE. */
aether_status aether_cache_lay_out_scratch(const aether_head *own, size_t pointer_bytes, aether_attend_layout *at);

/* A cache in `memory`, which is left as it is: `head` as configured, the parts laid out for its effective history. */
void aether_cache_assemble(aether_cache *cache, const aether_head *own, uint64_t history, uint64_t capacity,
                           aether_dtype dtype, aether_policy policy, const aether_cache_layout *at, void *memory);

/* 1 when the cache was made for a head of this shape and pattern. */
int aether_cache_fits(const aether_cache *cache, const aether_head *head);

/* aether_cache_stage of k and v that are finite, of a cache that is not full. */
aether_status aether_cache_stage_finite(aether_cache *cache, const float *k, const float *v);

/* With the staged token a block may leave the window of a pyramid: makes its means, and those of the longer runs it completes, in rows
   that no query sees any more. AETHER_E_OVERFLOW. */
aether_status aether_cache_stage_run(aether_cache *cache);

/* 1 when appending `tokens` rows of keys or values, whose ring begins at byte `rows`, makes no sum of a pyramid overflow. */
int aether_cache_foresee_runs(const aether_cache *cache, const float *x, size_t tokens, size_t rows);

/* What the staged token sees; the same for all caches of one pattern and length. The lists lie in scratch. */
void aether_cache_candidates(const aether_cache *cache, unsigned char *scratch, aether_row *row);

/* aether_cache_attend with finite q, in the scratch of aether_cache_candidates; needs no `out` there. Leaves it to the caller to see
   whether out is finite. */
void aether_cache_attend_row(const aether_cache *cache, const aether_row *row, const float *q, float *out,
                             unsigned char *scratch);

#endif
