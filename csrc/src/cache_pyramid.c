/* The means of a pyramid in a cache (docs/spec/pattern.md): a block becomes a run when it leaves the window. */
#include "bits.h"
#include "cache_layout.h"
#include "fpenv.h"
#include "pyramid.h"

/* sum = sum + row. */
static void add_row(float *sum, const float *row, size_t n) {
    float *const end = sum + n, *const end_4 = sum + (n & ~(size_t)3);
    for (; sum != end_4; sum += 4, row += 4) {
        const float s0 = sum[0] + row[0], s1 = sum[1] + row[1], s2 = sum[2] + row[2], s3 = sum[3] + row[3];
        sum[0] = s0, sum[1] = s1, sum[2] = s2, sum[3] = s3;
    }
    for (; sum != end; sum++, row++) {
        *sum = *sum + *row;
    }
}

/* The same of bytes, which cannot overflow. */
static void whole_mean_of_block(const aether_cache *cache, size_t rows, uint64_t begin, int8_t *mean) {
    const aether_cache_layout *at = &cache->at;
    const int8_t *ring = (const int8_t *)cache->memory + rows;
    const size_t size = (size_t)cache->head.config.block_size, first = aether_ring(begin, at->n_rows);
    unsigned bits = 0;
    size_t t, c;
    while ((size_t)1 << bits < size) {
        bits++;
    }
    for (c = 0; c < at->row; c++) {
        size_t slot = first;
        int32_t sum = 0;
        for (t = 0; t < size; t++) {
            sum += ring[slot * at->row + c];
            slot = slot + 1 < at->n_rows ? slot + 1 : 0;
        }
        mean[c] = (int8_t)aether_pyramid_mean(sum, bits);
    }
}

/* mean = the sum of the stored rows of tokens begin .. begin+size-1, divided by their number. 0 when a sum overflowed. */
static int mean_of_block(const aether_cache *cache, size_t rows, uint64_t begin, float *mean) {
    const aether_cache_layout *at = &cache->at;
    const size_t size = (size_t)cache->head.config.block_size;
    const float factor = 1.0f / (float)size; /* exact: a power of two */
    size_t slot = aether_ring(begin, at->n_rows), left, c;
    for (c = 0; c < at->row; c++) {
        mean[c] = 0.0f;
    }
    for (left = size; left > 0; left--) {
        const void *row = cache->memory + rows + slot * aether_row_bytes(cache);
        if (cache->dtype == AETHER_BINARY32) {
            add_row(mean, row, at->row);
        } else {
            for (c = 0; c < at->row; c++) {
                mean[c] = mean[c] + aether_widen(((const uint16_t *)row)[c]);
            }
        }
        slot = slot + 1 < at->n_rows ? slot + 1 : 0;
    }
    if (!aether_all_finite(mean, at->row)) {
        return 0;
    }
    for (c = 0; c < at->row; c++) {
        mean[c] = mean[c] * factor;
    }
    return 1;
}

static void *mean_at(const aether_cache *cache, size_t means, unsigned level, uint64_t index) {
    return cache->memory + means + aether_mean_row(cache, level, index) * aether_mean_bytes(cache);
}

/* Run `index` of a level, of one array, from its halves. */
static void join_at(const aether_cache *cache, size_t means, unsigned level, uint64_t index) {
    const void *left = mean_at(cache, means, level - 1, 2 * index), *right = mean_at(cache, means, level - 1, 2 * index + 1);
    void *mean = mean_at(cache, means, level, index);
    size_t c;
    if (cache->dtype != AETHER_INT8) {
        aether_pyramid_join(left, right, cache->at.row, mean);
        return;
    }
    for (c = 0; c < cache->at.row; c++) {
        ((int8_t *)mean)[c] = (int8_t)aether_pyramid_mean(((const int8_t *)left)[c] + ((const int8_t *)right)[c], 1);
    }
}

/* In one array the block that left the window, and the longer runs that appear with it. 0 when a sum overflowed. */
static int make_runs(const aether_cache *cache, size_t rows, size_t means, uint64_t before) {
    const aether_config *config = &cache->head.config;
    uint64_t run = before - 1;
    unsigned level;
    if (cache->dtype == AETHER_INT8) {
        whole_mean_of_block(cache, rows, run * config->block_size, mean_at(cache, means, 0, run));
    } else if (!mean_of_block(cache, rows, run * config->block_size, mean_at(cache, means, 0, run))) {
        return 0;
    }
    for (level = 1; level < cache->at.levels && aether_pyramid_at_once(config, level); level++) {
        if (aether_pyramid_appears(config, level, before, &run)) {
            join_at(cache, means, level, run);
        }
    }
    return 1;
}

aether_status aether_cache_stage_run(aether_cache *cache) {
    const aether_config *config = &cache->head.config;
    const uint64_t before = aether_pyramid_before(config, cache->length);
    if (cache->at.levels == 0 || !aether_pyramid_leaves(config, cache->length)) {
        return AETHER_OK;
    }
    if (!make_runs(cache, cache->at.rows_k, cache->at.mean_k, before) ||
        !make_runs(cache, cache->at.rows_v, cache->at.mean_v, before)) {
        return AETHER_E_OVERFLOW;
    }
    return AETHER_OK;
}

/* The longest first: a new run may stand where one of the halves stood of a longer one. */
static AETHER_NOINLINE void join_runs(const aether_cache *cache) {
    const aether_config *config = &cache->head.config;
    const uint64_t before = aether_pyramid_before(config, cache->length);
    unsigned level;
    uint64_t run;
    for (level = cache->at.levels; level > 1 && !aether_pyramid_at_once(config, level - 1); level--) {
        if (aether_pyramid_appears(config, level - 1, before, &run)) {
            join_at(cache, cache->at.mean_k, level - 1, run);
            join_at(cache, cache->at.mean_v, level - 1, run);
        }
    }
}

void aether_cache_commit_runs(aether_cache *cache) {
    if (aether_pyramid_leaves(&cache->head.config, cache->length)) {
        const aether_fpenv env = aether_fpenv_enter();
        join_runs(cache);
        aether_fpenv_leave(env);
    }
}

int aether_cache_foresee_runs(const aether_cache *cache, const float *x, size_t tokens, size_t rows) {
    const aether_config *config = &cache->head.config;
    const aether_cache_layout *at = &cache->at;
    const uint64_t length = cache->length, size = config->block_size;
    const uint64_t last = aether_pyramid_before(config, length + tokens - 1);
    uint64_t block = length > 0 ? aether_pyramid_before(config, length - 1) : 0;
    if (cache->dtype != AETHER_BINARY32) {
        return 1; /* 65536 rows of 65504 at most */
    }
    for (; block < last; block++) {
        size_t c;
        for (c = 0; c < at->row; c++) {
            float sum = 0.0f;
            uint64_t t;
            for (t = block * size; t < (block + 1) * size; t++) {
                sum = sum + (t < length ? aether_floats_at(cache, rows)[aether_ring(t, at->n_rows) * at->row + c]
                                        : x[(size_t)(t - length) * at->row + c]);
            }
            if (!aether_all_finite(&sum, 1)) {
                return 0;
            }
        }
    }
    return 1;
}

/* Row `slot` of a ring of n rows holds the newest of `count` items that belongs there; 0 when there is none yet. */
static int newest_in(uint64_t count, size_t n, size_t slot, uint64_t *item) {
    uint64_t back;
    if (count <= slot) {
        return 0;
    }
    back = (count - 1 - slot) % n;
    *item = count - 1 - back;
    return 1;
}

void aether_cache_clear_dead_rows(const aether_cache *cache, unsigned char *payload) {
    const aether_config *config = &cache->head.config;
    const aether_cache_layout *at = &cache->at;
    const size_t bytes = aether_row_bytes(cache), mean = aether_mean_bytes(cache);
    const uint64_t made = cache->length > 0 ? aether_pyramid_before(config, cache->length - 1) : 0;
    const uint64_t next = aether_pyramid_before(config, cache->length);
    uint64_t item;
    unsigned level;
    size_t slot;
    for (slot = 0; slot < at->n_rows; slot++) {
        if (!newest_in(cache->length, at->n_rows, slot, &item) || item < made * config->block_size) {
            memset(payload + (at->rows_k - at->sums) + slot * bytes, 0, bytes);
            memset(payload + (at->rows_v - at->sums) + slot * bytes, 0, bytes);
        }
    }
    for (level = 0; level < at->levels; level++) {
        const size_t first = at->level_rows[level], n = at->level_rows[level + 1] - first;
        const uint64_t there = aether_pyramid_at_once(config, level) ? made : next;
        uint64_t from, to;
        aether_pyramid_span(config, level, 0, &from, &to);
        for (slot = 0; slot < n; slot++) {
            if (!newest_in(there > from ? (there - from) >> level : 0, n, slot, &item) ||
                !aether_pyramid_lives(config, level, item, made, next)) {
                memset(payload + (at->mean_k - at->sums) + (first + slot) * mean, 0, mean);
                memset(payload + (at->mean_v - at->sums) + (first + slot) * mean, 0, mean);
            }
        }
    }
}
