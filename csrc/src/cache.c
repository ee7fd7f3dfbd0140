/* Making, checking and stepping a cache. A staged token overwrites only rows that no later query can see, so a token that is not
   committed leaves no trace. */
#include "aether/cache.h"

#include "bits.h"
#include "cache_layout.h"
#include "fpenv.h"
#include "pyramid.h"
#include "sizes.h"

/* `head` as a cache of this capacity sees it. */
static aether_status effective(const aether_head *head, uint64_t capacity, aether_dtype dtype, aether_head *own) {
    if (head == NULL || !aether_is_dtype(dtype)) {
        return AETHER_E_ARGUMENT;
    }
    if (head->config.backend != AETHER_SPARSE || !head->config.causal) {
        return AETHER_E_NO_STREAMING;
    }
    if (capacity == 0) {
        return AETHER_E_CONFIG;
    }
    *own = aether_head_within(head, capacity);
    return AETHER_OK;
}

aether_status aether_cache_size(const aether_head *head, uint64_t capacity, aether_dtype dtype, size_t *bytes) {
    aether_cache_layout at;
    aether_head own;
    aether_status status = bytes != NULL ? effective(head, capacity, dtype, &own) : AETHER_E_ARGUMENT;
    if (status == AETHER_OK) {
        status = aether_cache_lay_out(&own, dtype, &at);
    }
    if (status == AETHER_OK) {
        *bytes = at.total;
    }
    return status;
}

aether_status aether_cache_init(aether_cache *cache, const aether_head *head, uint64_t capacity, aether_dtype dtype,
                                aether_policy policy, void *memory, size_t bytes) {
    aether_cache_layout at;
    aether_head own;
    aether_status status;
    if (cache == NULL || memory == NULL || (policy != AETHER_ON_FULL_ERROR && policy != AETHER_ON_FULL_RING)) {
        return AETHER_E_ARGUMENT;
    }
    status = effective(head, capacity, dtype, &own);
    if (status == AETHER_OK) {
        status = aether_cache_lay_out(&own, dtype, &at);
    }
    if (status == AETHER_OK) {
        status = aether_enough(memory, bytes, at.total, sizeof(float));
    }
    if (status != AETHER_OK) {
        return status;
    }
    aether_cache_assemble(cache, &own, head->config.history, capacity, dtype, policy, &at, memory);
    aether_cache_reset(cache);
    return AETHER_OK;
}

void aether_cache_assemble(aether_cache *cache, const aether_head *own, uint64_t history, uint64_t capacity,
                           aether_dtype dtype, aether_policy policy, const aether_cache_layout *at, void *memory) {
    cache->head = *own;
    cache->history = history;
    cache->capacity = capacity;
    cache->length = 0;
    cache->dtype = dtype;
    cache->policy = policy;
    cache->n_rows = at->n_rows;
    cache->n_globals = own->config.n_globals;
    cache->n_blocks = at->n_blocks;
    cache->memory = memory;
    cache->memory_bytes = at->total;
    cache->at = *at;
    (void)aether_cache_lay_out_scratch(own, sizeof(void *), &cache->scratch);
}

void aether_cache_reset(aether_cache *cache) {
    memset(cache->memory, 0, cache->memory_bytes);
    cache->length = 0;
}

static int same_globals(const aether_config *a, const aether_config *b) {
    size_t g;
    for (g = 0; g < a->n_globals && a->globals != b->globals; g++) {
        if (a->globals[g] != b->globals[g]) {
            return 0;
        }
    }
    return 1;
}

int aether_cache_fits(const aether_cache *cache, const aether_head *head) {
    const aether_config *a = &cache->head.config, *b = &head->config;
    return a->backend == b->backend && a->pattern == b->pattern && a->q_heads == b->q_heads && a->kv_heads == b->kv_heads &&
           a->head_dim == b->head_dim && a->window == b->window && a->block_size == b->block_size &&
           cache->history == b->history && a->causal == b->causal && a->use_log_stride == b->use_log_stride &&
           a->use_landmarks == b->use_landmarks && a->n_globals == b->n_globals && same_globals(a, b);
}

/* Ends a block: its mean, the sum divided by its length. Where the length is a power of two, multiplying rounds the same. */
static void end_block(const float *sums, uint64_t size, size_t n, float *mean) {
    const float divisor = (float)size;
    const float factor = 1.0f / divisor;
    size_t c;
    if ((size & (size - 1)) == 0) {
        for (c = 0; c < n; c++) {
            mean[c] = sums[c] * factor;
        }
        return;
    }
    for (c = 0; c < n; c++) {
        mean[c] = sums[c] / divisor;
    }
}

/* 1 when the staged token is the last of its block. */
static int is_last_of_block(const aether_cache *cache) {
    const uint64_t size = cache->head.config.block_size, length = cache->length;
    if (size <= UINT32_MAX && length <= UINT32_MAX) {
        return (uint32_t)length % (uint32_t)size == size - 1;
    }
    return length % size == size - 1;
}

/* sum = a + b; 0 when one is not finite. Where the sum of the sums is finite all are. */
static AETHER_NOINLINE int add_rows(const float *a, const float *b, size_t n, float *sum) {
    const float *const end = sum + n, *const end_4 = sum + (n & ~(size_t)3);
    const float *const all = sum;
    float total = 0.0f;
    for (; sum != end_4; sum += 4, a += 4, b += 4) {
        const float s0 = a[0] + b[0], s1 = a[1] + b[1], s2 = a[2] + b[2], s3 = a[3] + b[3];
        sum[0] = s0, sum[1] = s1, sum[2] = s2, sum[3] = s3;
        total = total + s0 + s1 + s2 + s3;
    }
    for (; sum != end; sum++, a++, b++) {
        *sum = *a + *b;
        total = total + *sum;
    }
    return aether_all_finite(&total, 1) || aether_all_finite(all, n);
}

/* Under the reference pattern block sums are kept as tokens arrive. */
static int has_block_sums(const aether_cache *cache) {
    return cache->at.n_blocks > 0 && !aether_is_pyramid(&cache->head.config);
}

/* One array of the staged token, keys (part 0) or values (part 1), to row `slot` of the ring, and to row `global` of the list of
   global tokens when it is less than their number. */
static aether_status stage_row(aether_cache *cache, const float *x, size_t part, size_t slot, size_t global) {
    const aether_cache_layout *at = &cache->at;
    const size_t bytes = aether_row_bytes(cache);
    unsigned char *row = cache->memory + (part == 0 ? at->rows_k : at->rows_v) + slot * bytes;
    if (has_block_sums(cache) && !add_rows(aether_block_sums(cache, 0) + part * at->row, x, at->row,
                                      aether_block_sums(cache, 1) + part * at->row)) {
        return AETHER_E_OVERFLOW;
    }
    if (cache->dtype == AETHER_BINARY32) {
        memcpy(row, x, bytes);
    } else if (cache->head.kernels->narrow(x, (uint16_t *)(void *)row, NULL, at->row)) {
        return AETHER_E_OVERFLOW;
    }
    if (global < cache->n_globals) {
        memcpy(cache->memory + (part == 0 ? at->globals_k : at->globals_v) + global * bytes, row, bytes);
    }
    return AETHER_OK;
}

/* The means of the block that the staged token ends. */
static void stage_means(const aether_cache *cache) {
    const aether_cache_layout *at = &cache->at;
    const uint64_t size = cache->head.config.block_size;
    const size_t block = aether_ring(cache->length / size, at->n_blocks) * at->row;
    const float *sums = aether_block_sums(cache, 1);
    end_block(sums, size, at->row, aether_floats_at(cache, at->mean_k) + block);
    end_block(sums + at->row, size, at->row, aether_floats_at(cache, at->mean_v) + block);
}

aether_status aether_cache_stage_finite(aether_cache *cache, const float *k, const float *v) {
    const size_t slot = aether_ring(cache->length, cache->at.n_rows);
    const size_t global = aether_global_index(&cache->head.config, cache->length);
    aether_status status = aether_counter_ends(cache, 1) ? AETHER_E_CACHE_FULL : stage_row(cache, k, 0, slot, global);
    if (status == AETHER_OK) {
        status = stage_row(cache, v, 1, slot, global);
    }
    if (status == AETHER_OK && has_block_sums(cache) && is_last_of_block(cache)) {
        stage_means(cache);
    }
    if (status == AETHER_OK && aether_is_pyramid(&cache->head.config)) {
        status = aether_cache_stage_run(cache);
    }
    return status;
}

static AETHER_NOINLINE aether_status stage_here(aether_cache *cache, const float *k, const float *v) {
    const aether_kernels *kernels = cache->head.kernels;
    if (cache->policy == AETHER_ON_FULL_ERROR && cache->length >= cache->capacity) {
        return AETHER_E_CACHE_FULL;
    }
    if (!kernels->all_finite(k, cache->at.row) || !kernels->all_finite(v, cache->at.row)) {
        return AETHER_E_NOT_FINITE;
    }
    return aether_cache_stage_finite(cache, k, v);
}

aether_status aether_cache_stage(aether_cache *cache, const float *k, const float *v) {
    aether_status status;
    aether_fpenv env;
    if (cache == NULL || k == NULL || v == NULL) {
        return AETHER_E_ARGUMENT;
    }
    if (!aether_aligned(k, sizeof(float)) || !aether_aligned(v, sizeof(float))) {
        return AETHER_E_ALIGNMENT;
    }
    env = aether_fpenv_enter();
    status = stage_here(cache, k, v);
    aether_fpenv_leave(env);
    return status;
}

void aether_cache_commit(aether_cache *cache) {
    if (has_block_sums(cache) && is_last_of_block(cache)) {
        memset(aether_block_sums(cache, 1), 0, 2 * cache->at.row * sizeof(float));
    }
    cache->length++;
    if (aether_is_pyramid(&cache->head.config)) {
        aether_cache_commit_runs(cache);
    }
}
