/* Many tokens at once: bulk append, prefill (the same as so many steps), and a step of many caches. */
#include "aether/cache.h"

#include "bits.h"
#include "cache_layout.h"
#include "fpenv.h"
#include "pyramid.h"
#include "sizes.h"

/* Codes that appending these rows would meet, found without writing: values beyond binary16, block sums that overflow. */
static aether_status foresee(const aether_cache *cache, const aether_cache_layout *at, const float *x, size_t tokens,
                             size_t part) {
    const uint64_t size = cache->head.config.block_size;
    const float *sums = aether_block_sums(cache, 0) + part * at->row;
    size_t c, t;
    if (cache->dtype != AETHER_BINARY32) {
        for (t = 0; t < tokens * at->row; t++) {
            uint16_t half;
            if (aether_narrow(x[t], &half) != AETHER_OK) {
                return AETHER_E_OVERFLOW;
            }
        }
    }
    if (aether_is_pyramid(&cache->head.config)) {
        return aether_cache_foresee_runs(cache, x, tokens, part == 0 ? at->rows_k : at->rows_v) ? AETHER_OK : AETHER_E_OVERFLOW;
    }
    for (c = 0; c < at->row && at->n_blocks > 0; c++) {
        float sum = sums[c];
        for (t = 0; t < tokens; t++) {
            sum = sum + x[t * at->row + c];
            if (!aether_all_finite(&sum, 1)) {
                return AETHER_E_OVERFLOW;
            }
            if ((cache->length + t) % size == size - 1) {
                sum = 0.0f;
            }
        }
    }
    return AETHER_OK;
}

static AETHER_NOINLINE aether_status append_here(aether_cache *cache, const float *k, const float *v, size_t tokens) {
    const aether_cache_layout at = cache->at;
    aether_status status = AETHER_OK;
    size_t t;
    if (aether_counter_ends(cache, tokens) ||
        (cache->policy == AETHER_ON_FULL_ERROR && tokens > cache->capacity - cache->length)) {
        return AETHER_E_CACHE_FULL;
    }
    if (!cache->head.kernels->all_finite(k, tokens * at.row) || !cache->head.kernels->all_finite(v, tokens * at.row)) {
        return AETHER_E_NOT_FINITE;
    }
    status = foresee(cache, &at, k, tokens, 0);
    if (status == AETHER_OK) {
        status = foresee(cache, &at, v, tokens, 1);
    }
    for (t = 0; t < tokens && status == AETHER_OK; t++) {
        status = aether_cache_stage(cache, k + t * at.row, v + t * at.row);
        if (status == AETHER_OK) {
            aether_cache_commit(cache);
        }
    }
    return status;
}

aether_status aether_cache_append(aether_cache *cache, const float *k, const float *v, size_t tokens) {
    aether_status status;
    aether_fpenv env;
    if (cache == NULL || (tokens > 0 && (k == NULL || v == NULL))) {
        return AETHER_E_ARGUMENT;
    }
    if (!aether_aligned(k, sizeof(float)) || !aether_aligned(v, sizeof(float))) {
        return AETHER_E_ALIGNMENT;
    }
    if (tokens == 0) {
        return AETHER_OK;
    }
    env = aether_fpenv_enter();
    status = append_here(cache, k, v, tokens);
    aether_fpenv_leave(env);
    return status;
}

/* Steps one after the other; what the cache was before lies in `saved` until all have worked. */
static aether_status steps(aether_cache *cache, const aether_head *head, const float *q, const float *k, const float *v,
                           size_t tokens, float *out, unsigned char *scratch, size_t bytes) {
    const size_t n_q = (size_t)head->config.q_heads * head->config.head_dim;
    const size_t n_kv = (size_t)head->config.kv_heads * head->config.head_dim;
    const uint64_t length = cache->length;
    unsigned char *saved = scratch + bytes - cache->memory_bytes;
    aether_status status = AETHER_OK;
    size_t t;
    memcpy(saved, cache->memory, cache->memory_bytes);
    for (t = 0; t < tokens && status == AETHER_OK; t++) {
        status = aether_cache_step(cache, head, q + t * n_q, k + t * n_kv, v + t * n_kv, out + t * n_q, scratch,
                                   bytes - cache->memory_bytes);
    }
    if (status != AETHER_OK) {
        memcpy(cache->memory, saved, cache->memory_bytes);
        cache->length = length;
    }
    return status;
}

aether_status aether_cache_prefill(aether_cache *cache, const aether_head *head, const float *q, const float *k,
                                   const float *v, size_t tokens, float *out, void *scratch, size_t bytes) {
    size_t need;
    aether_status status;
    if (cache == NULL || head == NULL || (tokens > 0 && (q == NULL || k == NULL || v == NULL || out == NULL))) {
        return AETHER_E_ARGUMENT;
    }
    if (!aether_cache_fits(cache, head)) {
        return AETHER_E_CACHE_MISMATCH;
    }
    if (tokens == 0) {
        return AETHER_OK;
    }
    if (cache->policy == AETHER_ON_FULL_ERROR && tokens > cache->capacity - cache->length) {
        return AETHER_E_CACHE_FULL;
    }
    status = aether_cache_scratch(cache, tokens, &need);
    if (status != AETHER_OK) {
        return status;
    }
    if (scratch == NULL || bytes < need) {
        return scratch == NULL ? AETHER_E_ARGUMENT : AETHER_E_MEMORY;
    }
    if (tokens == 1) {
        return aether_cache_step(cache, head, q, k, v, out, scratch, bytes);
    }
    if (cache->length > 0) {
        return steps(cache, head, q, k, v, tokens, out, scratch, need);
    }
    status = aether_attention_forward(&cache->head, q, k, v, tokens, cache->dtype, out, scratch, bytes);
    return status == AETHER_OK ? aether_cache_append(cache, k, v, tokens) : status;
}

static AETHER_NOINLINE aether_status step_many_here(aether_cache *const *caches, size_t n, const float *q, const float *k,
                                                    const float *v, float *out, unsigned char *scratch) {
    const aether_config *config = &caches[0]->head.config;
    const aether_kernels *kernels = caches[0]->head.kernels;
    const size_t n_q = (size_t)config->q_heads * config->head_dim, n_kv = (size_t)config->kv_heads * config->head_dim;
    aether_status status = AETHER_OK;
    aether_row row;
    size_t i;
    if (!kernels->all_finite(q, n * n_q) || !kernels->all_finite(k, n * n_kv) || !kernels->all_finite(v, n * n_kv)) {
        return AETHER_E_NOT_FINITE;
    }
    for (i = 0; i < n && status == AETHER_OK; i++) {
        aether_cache *cache = caches[i];
        status = cache->policy == AETHER_ON_FULL_ERROR && cache->length >= cache->capacity
                     ? AETHER_E_CACHE_FULL
                     : aether_cache_stage_finite(cache, k + i * n_kv, v + i * n_kv);
        if (status == AETHER_OK) {
            if (i == 0 || cache->length != caches[i - 1]->length || cache->capacity != caches[i - 1]->capacity) {
                aether_cache_candidates(cache, scratch, &row);
            }
            aether_cache_attend_row(cache, &row, q + i * n_q, out + i * n_q, scratch);
        }
    }
    if (status == AETHER_OK && !kernels->all_finite(out, n * n_q)) {
        status = AETHER_E_OVERFLOW;
    }
    for (i = 0; i < n && status == AETHER_OK; i++) {
        aether_cache_commit(caches[i]);
    }
    return status;
}

aether_status aether_cache_step_many(aether_cache *const *caches, size_t n, const aether_head *head, const float *q, const float *k,
                                     const float *v, float *out, void *scratch, size_t bytes) {
    aether_status status;
    aether_fpenv env;
    size_t i;
    if (head == NULL || (n > 0 && (caches == NULL || q == NULL || k == NULL || v == NULL || out == NULL || scratch == NULL))) {
        return AETHER_E_ARGUMENT;
    }
    if (!aether_aligned(q, sizeof(float)) || !aether_aligned(k, sizeof(float)) || !aether_aligned(v, sizeof(float)) ||
        !aether_aligned(out, sizeof(float)) || !aether_aligned(scratch, 8)) {
        return AETHER_E_ALIGNMENT;
    }
    for (i = 0; i < n; i++) {
        if (!aether_cache_fits(caches[i], head)) {
            return AETHER_E_CACHE_MISMATCH;
        }
        if (caches[i]->scratch.total == 0) {
            return AETHER_E_TOO_LARGE;
        }
        if (bytes < caches[i]->scratch.total) {
            return AETHER_E_MEMORY;
        }
    }
    if (n == 0) {
        return AETHER_OK;
    }
    env = aether_fpenv_enter();
    status = step_many_here(caches, n, q, k, v, out, scratch);
    aether_fpenv_leave(env);
    return status;
}
