/* Where the rows of a cache stand. */
#ifndef AETHER_CACHE_ROWS_H
#define AETHER_CACHE_ROWS_H

#include "cache_layout.h"
#include "dtype.h"

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

#endif
