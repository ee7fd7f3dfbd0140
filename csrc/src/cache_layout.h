/* What a stream needs of its caches beside aether/cache.h: sizes, the parts of a step without the checks around them, where rows
   stand, and the payload of a saved state (docs/spec/state.md). */
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

/* With the staged token a block may leave the window of a pyramid: makes its mean, and those of longer runs that appear with it, in
   rows that no query sees any more. AETHER_E_OVERFLOW. */
aether_status aether_cache_stage_run(aether_cache *cache);

/* Makes the other runs that the next token will see, in place of their halves. */
void aether_cache_commit_runs(aether_cache *cache);

/* 1 when appending `tokens` rows of keys or values, whose ring begins at byte `rows`, makes no sum of a pyramid overflow. */
int aether_cache_foresee_runs(const aether_cache *cache, const float *x, size_t tokens, size_t rows);

/* What the staged token sees; the same for all caches of one pattern and length. The lists lie in scratch. */
void aether_cache_candidates(const aether_cache *cache, unsigned char *scratch, aether_row *row);

/* aether_cache_attend with finite q, in the scratch of aether_cache_candidates; needs no `out` there. Leaves it to the caller to see
   whether out is finite. */
void aether_cache_attend_row(const aether_cache *cache, const aether_row *row, const float *q, float *out,
                             unsigned char *scratch);

/* Tokens of a cache, and frames of a stream, are fewer than this: the next one is AETHER_E_CACHE_FULL, and a saved length of this or
   more is damage. Arithmetic on positions never wraps. */
#define AETHER_LENGTH_MAX ((uint64_t)1 << 62)

/* 1 when so many more tokens are too many for the counter. */
static inline int aether_counter_ends(const aether_cache *cache, uint64_t tokens) {
    return tokens > AETHER_LENGTH_MAX - 1 - cache->length;
}

/* Where the rows of a cache stand. */

static inline float *aether_floats_at(const aether_cache *cache, size_t offset) {
    return (float *)(void *)(cache->memory + offset);
}

/* Block sums [2][row] of the committed tokens, or with the staged one: the two places take turns, so that none is copied. */
static inline float *aether_block_sums(const aether_cache *cache, int staged) {
    return aether_floats_at(cache, (int)(cache->length & 1) == (staged != 0) ? cache->at.sums : cache->at.staged);
}

/* token % n: 64-bit division costs a 32-bit processor a hundred instructions, and few tokens need it. */
static inline size_t aether_ring(uint64_t token, size_t n) {
    return token <= UINT32_MAX ? (uint32_t)token % n : (size_t)(token % n);
}

/* Row in which a cache keeps the mean of run `index` of a level. */
static inline size_t aether_mean_row(const aether_cache *cache, unsigned level, uint64_t index) {
    const size_t first = cache->at.level_rows[level];
    return first + aether_ring(index, cache->at.level_rows[level + 1] - first);
}

/* Bytes of a mean. */
static inline size_t aether_mean_bytes(const aether_cache *cache) {
    return cache->at.row * (cache->dtype == AETHER_INT8 ? sizeof(int8_t) : sizeof(float));
}

/* Bytes of a stored row. */
static inline size_t aether_row_bytes(const aether_cache *cache) {
    return cache->at.row * aether_element(cache->dtype);
}

/* Index of a global token in the list; n_globals when it is none. */
static inline size_t aether_global_index(const aether_config *config, uint64_t token) {
    size_t low = 0, high = config->n_globals;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (config->globals[middle] < token) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < config->n_globals && config->globals[low] == token ? low : config->n_globals;
}

/* The payload of a saved cache, shared by cache and stream state. */

/* Writes zeros to the rows of a pyramid's payload that no later query sees and no later run is made of. */
void aether_cache_clear_dead_rows(const aether_cache *cache, unsigned char *payload);

size_t aether_cache_payload_bytes(const aether_cache *cache);
void aether_cache_payload_save(const aether_cache *cache, unsigned char *payload);

/* 1 when every number in a payload for this cache is finite. Any alignment. */
int aether_cache_payload_sound(const aether_cache *cache, const unsigned char *payload);

/* 1 when all binary32 numbers in these bytes are finite. Any alignment. */
int aether_payload_finite(const unsigned char *p, size_t bytes);

void aether_cache_payload_load(aether_cache *cache, const unsigned char *payload, uint64_t length);

#endif
