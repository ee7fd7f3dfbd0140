/* Attending with the rows of a cache: which rows the staged token sees, where they stand, and the step around it. */
#include "bits.h"
#include "cache_layout.h"
#include "candidates.h"
#include "fpenv.h"
#include "pyramid.h"
#include "sizes.h"

aether_status aether_cache_scratch(const aether_cache *cache, size_t tokens, size_t *bytes) {
    aether_attend_layout at;
    size_t whole;
    aether_status status;
    if (cache == NULL || bytes == NULL) {
        return AETHER_E_ARGUMENT;
    }
    status = aether_cache_lay_out_scratch(&cache->head, sizeof(void *), &at);
    if (status != AETHER_OK) {
        return status;
    }
    if (tokens > 1) { /* a prefill: a whole forward into an empty cache, or steps that must be undone together */
        aether_bytes need = {0, 0};
        status = aether_attention_workspace(&cache->head, tokens, cache->dtype, &whole);
        if (status != AETHER_OK) {
            return status;
        }
        aether_take(&need, at.total, 1);
        aether_take(&need, cache->memory_bytes, 1);
        status = aether_taken(&need, &at.total);
        at.total = whole > at.total ? whole : at.total;
    }
    *bytes = at.total;
    return status;
}

void aether_cache_candidates(const aether_cache *cache, unsigned char *scratch, aether_row *row) {
    row->singles = (uint64_t *)(void *)(scratch + cache->scratch.singles);
    row->blocks = (uint64_t *)(void *)(scratch + cache->scratch.blocks);
    row->levels = scratch + cache->scratch.levels;
    aether_pattern_row(&cache->head.config, cache->length + 1, cache->length, row);
}

/* Where the key and value rows of a single token stand. */
static void point_at(const aether_cache *cache, uint64_t token, const void **key, const void **value) {
    const aether_cache_layout *at = &cache->at;
    const int stored = cache->length - token < at->n_rows;
    const size_t index = stored ? aether_ring(token, at->n_rows) : aether_global_index(&cache->head.config, token);
    const size_t offset = index * aether_row_bytes(cache);
    *key = cache->memory + (stored ? at->rows_k : at->globals_k) + offset;
    *value = cache->memory + (stored ? at->rows_v : at->globals_v) + offset;
}

/* Pointers to rows that lie one behind the other. */
static AETHER_NOINLINE void point_straight(const unsigned char *row, size_t bytes, size_t count, const void **rows) {
    const void **const end = rows + count, **const end_4 = rows + (count & ~(size_t)3);
    for (; rows != end_4; rows += 4, row += bytes) {
        rows[0] = row, row += bytes;
        rows[1] = row, row += bytes;
        rows[2] = row, row += bytes;
        rows[3] = row;
    }
    for (; rows != end; row += bytes) {
        *rows++ = row;
    }
}

/* Pointers to `count` rows of a ring of n, from slot `slot` to its end and on from its front. */
static void point_run(const unsigned char *ring, size_t n, size_t bytes, size_t slot, size_t count, const void **rows) {
    const size_t straight = count < n - slot ? count : n - slot;
    point_straight(ring + slot * bytes, bytes, straight, rows);
    if (straight < count) {
        point_straight(ring, bytes, count - straight, rows + straight);
    }
}

/* Pointers to all that is seen, tokens and then blocks; the number of tokens. */
static size_t point(const aether_cache *cache, const aether_row *row, const void **keys, const void **values) {
    const aether_cache_layout *at = &cache->at;
    const size_t run = (size_t)(row->hi - row->lo + 1), block = at->row * sizeof(float);
    const int pyramid = aether_is_pyramid(&cache->head.config);
    const size_t slot = aether_ring(row->lo, at->n_rows), bytes = aether_row_bytes(cache);
    size_t n, j;
    for (n = 0; n < row->n_below; n++) {
        point_at(cache, row->singles[n], &keys[n], &values[n]);
    }
    point_run(cache->memory + at->rows_k, at->n_rows, bytes, slot, run, keys + n);
    point_run(cache->memory + at->rows_v, at->n_rows, bytes, slot, run, values + n);
    n += run;
    for (j = 0; j < row->n_blocks; j++) {
        const unsigned level = row->levels[j];
        const size_t offset = block * (pyramid ? aether_mean_row(cache, level, row->blocks[j] >> level)
                                                      : aether_ring(row->blocks[j], at->n_blocks));
        keys[n + j] = cache->memory + at->mean_k + offset;
        values[n + j] = cache->memory + at->mean_v + offset;
    }
    return n;
}

void aether_cache_attend_row(const aether_cache *cache, const aether_row *row, const float *q, float *out,
                             unsigned char *scratch) {
    const aether_config *config = &cache->head.config;
    const void **keys = (const void **)(void *)(scratch + cache->scratch.keys);
    const void **values = (const void **)(void *)(scratch + cache->scratch.values);
    aether_query job;
    size_t h, j;
    job.keys = keys;
    job.values = values;
    job.n_stored = point(cache, row, keys, values);
    job.n = job.n_stored + row->n_blocks;
    job.stored = cache->dtype;
    job.sizes = NULL;
    if (aether_is_pyramid(config)) {
        float *sizes = (float *)(void *)(scratch + cache->scratch.sizes);
        aether_candidates_weigh(config, row, sizes);
        job.sizes = sizes;
    }
    job.group = config->q_heads / config->kv_heads;
    job.dim = config->head_dim;
    job.scale = cache->head.scale;
    job.scores = (float *)(void *)(scratch + cache->scratch.floats);
    for (h = 0; h < config->kv_heads; h++) {
        job.q = q + h * job.group * job.dim;
        job.out = out + h * job.group * job.dim;
        cache->head.kernels->attend_query(&job);
        for (j = 0; j < job.n && h + 1 < config->kv_heads; j++) { /* the same rows of the next head */
            const size_t element = aether_element(j < job.n_stored ? job.stored : AETHER_BINARY32);
            keys[j] = (const unsigned char *)keys[j] + job.dim * element;
            values[j] = (const unsigned char *)values[j] + job.dim * element;
        }
    }
}

static AETHER_NOINLINE aether_status attend_here(const aether_cache *cache, const float *q, float *out,
                                                 unsigned char *scratch) {
    const size_t n_out = (size_t)cache->head.config.q_heads * cache->head.config.head_dim;
    float *result = (float *)(void *)(scratch + cache->scratch.out);
    aether_row row;
    if (!cache->head.kernels->all_finite(q, n_out)) {
        return AETHER_E_NOT_FINITE;
    }
    aether_cache_candidates(cache, scratch, &row);
    aether_cache_attend_row(cache, &row, q, result, scratch);
    if (!cache->head.kernels->all_finite(result, n_out)) {
        return AETHER_E_OVERFLOW;
    }
    memcpy(out, result, n_out * sizeof(float));
    return AETHER_OK;
}

aether_status aether_cache_attend(const aether_cache *cache, const float *q, float *out, void *scratch, size_t bytes) {
    aether_status status;
    aether_fpenv env;
    if (cache == NULL || q == NULL || out == NULL || scratch == NULL) {
        return AETHER_E_ARGUMENT;
    }
    if (cache->scratch.total == 0) {
        return AETHER_E_TOO_LARGE;
    }
    if (bytes < cache->scratch.total) {
        return AETHER_E_MEMORY;
    }
    if (!aether_aligned(scratch, 8) || !aether_aligned(q, sizeof(float)) || !aether_aligned(out, sizeof(float))) {
        return AETHER_E_ALIGNMENT;
    }
    env = aether_fpenv_enter();
    status = attend_here(cache, q, out, scratch);
    aether_fpenv_leave(env);
    return status;
}

aether_status aether_cache_step(aether_cache *cache, const aether_head *head, const float *q, const float *k,
                                const float *v, float *out, void *scratch, size_t bytes) {
    aether_status status;
    if (cache == NULL || head == NULL) {
        return AETHER_E_ARGUMENT;
    }
    if (!aether_cache_fits(cache, head)) {
        return AETHER_E_CACHE_MISMATCH;
    }
    status = aether_cache_stage(cache, k, v);
    if (status == AETHER_OK) {
        status = aether_cache_attend(cache, q, out, scratch, bytes);
    }
    if (status == AETHER_OK) {
        aether_cache_commit(cache);
    }
    return status;
}
