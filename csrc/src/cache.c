/* A query sees few rows, so a cache keeps few: the farthest visible distance plus one, the global tokens, and as many block
   means. A staged token overwrites only rows that no query from now on can see, so not committing it undoes it. */
#include "aether/cache.h"

#include "bits.h"
#include "cache_layout.h"
#include "candidates.h"
#include "fpenv.h"
#include "sizes.h"

aether_status aether_cache_lay_out(const aether_head *head, aether_dtype dtype, aether_cache_layout *at) {
    const aether_config *config = &head->config;
    const uint64_t history = config->history; /* effective: never 0 here */
    const size_t element = dtype == AETHER_BINARY16 ? sizeof(uint16_t) : sizeof(float);
    uint64_t distance = config->window < history - 1 ? config->window : history - 1;
    uint64_t blocks = 0;
    aether_bytes bytes = {0, 0};
    if (config->use_log_stride) {
        const uint64_t stride = aether_power_below(history - 1);
        distance = stride > distance ? stride : distance;
    }
    if (aether_pattern_has_landmarks(config)) {
        const uint64_t last = history / config->block_size - 1; /* distance of the oldest whole block from the newest */
        blocks = 1 + (last == 0 ? 0 : config->use_log_stride ? aether_power_below(last) : 1);
    }
    at->n_rows = aether_count(distance + 1);
    at->n_blocks = aether_count(blocks);
    at->row = aether_mul(config->kv_heads, config->head_dim);
    at->staged = aether_take(&bytes, aether_mul(2, at->row), sizeof(float));
    at->sums = aether_take(&bytes, aether_mul(2, at->row), sizeof(float));
    at->mean_k = aether_take(&bytes, aether_mul(at->n_blocks, at->row), sizeof(float));
    at->mean_v = aether_take(&bytes, aether_mul(at->n_blocks, at->row), sizeof(float));
    at->rows_k = aether_take(&bytes, aether_mul(at->n_rows, at->row), element);
    at->rows_v = aether_take(&bytes, aether_mul(at->n_rows, at->row), element);
    at->globals_k = aether_take(&bytes, aether_mul(config->n_globals, at->row), element);
    at->globals_v = aether_take(&bytes, aether_mul(config->n_globals, at->row), element);
    return aether_taken(&bytes, &at->total);
}

aether_status aether_cache_lay_out_scratch(const aether_head *own, size_t pointer_bytes, aether_attending *at) {
    const aether_config *config = &own->config;
    const size_t most = aether_candidates_max(config, UINT64_MAX);
    const size_t floats = aether_gather_floats(most, config->q_heads / config->kv_heads, config->head_dim);
    aether_bytes bytes = {0, 0};
    at->singles = aether_take(&bytes, aether_pattern_max_singles(config), sizeof(uint64_t));
    at->blocks = aether_take(&bytes, aether_pattern_max_blocks(config), sizeof(uint64_t));
    at->keys = aether_take(&bytes, most, pointer_bytes);
    at->values = aether_take(&bytes, most, pointer_bytes);
    at->floats = aether_take(&bytes, floats != 0 ? floats : SIZE_MAX, sizeof(float));
    at->out = aether_take(&bytes, aether_mul(config->q_heads, config->head_dim), sizeof(float));
    at->total = 0;
    return aether_taken(&bytes, &at->total);
}

/* `head` as a cache of this capacity sees it. */
static aether_status effective(const aether_head *head, uint64_t capacity, aether_dtype dtype, aether_head *own) {
    if (head == NULL || (dtype != AETHER_BINARY32 && dtype != AETHER_BINARY16)) {
        return AETHER_E_ARGUMENT;
    }
    if (head->config.backend != AETHER_SPARSE || !head->config.causal) {
        return AETHER_E_NO_STREAMING;
    }
    if (capacity == 0) {
        return AETHER_E_CONFIG;
    }
    *own = *head;
    if (own->config.history == 0 || own->config.history > capacity) {
        own->config.history = capacity;
    }
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
    if (status != AETHER_OK) {
        return status;
    }
    if (bytes < at.total) {
        return AETHER_E_MEMORY;
    }
    if (!aether_aligned(memory, sizeof(float))) {
        return AETHER_E_ALIGNMENT;
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
    (void)aether_cache_lay_out_scratch(own, sizeof(void *), &cache->attending);
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
    return a->backend == b->backend && a->q_heads == b->q_heads && a->kv_heads == b->kv_heads &&
           a->head_dim == b->head_dim && a->window == b->window && a->block_size == b->block_size &&
           cache->history == b->history && a->causal == b->causal && a->use_log_stride == b->use_log_stride &&
           a->use_landmarks == b->use_landmarks && a->n_globals == b->n_globals && same_globals(a, b);
}

static float *floats_at(const aether_cache *cache, size_t offset) {
    return (float *)(void *)(cache->memory + offset);
}

/* Bytes of a stored row. */
static size_t row_bytes(const aether_cache *cache) {
    return cache->at.row * (cache->dtype == AETHER_BINARY16 ? sizeof(uint16_t) : sizeof(float));
}

/* token % n: 64-bit division costs a 32-bit processor a hundred instructions, and few tokens need it. */
static size_t ring(uint64_t token, size_t n) {
    return token <= UINT32_MAX ? (uint32_t)token % n : (size_t)(token % n);
}

/* Index of a global token in the list; n_globals when it is none. */
static size_t global_index(const aether_config *config, uint64_t token) {
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

/* One array (keys or values) of the staged token; `part` is 0 or 1. */
static aether_status stage_row(aether_cache *cache, const float *x, size_t part) {
    const aether_kernels *kernels = cache->head.kernels;
    const aether_cache_layout *at = &cache->at;
    const size_t bytes = row_bytes(cache);
    const size_t global = global_index(&cache->head.config, cache->length);
    unsigned char *slot = cache->memory + (part == 0 ? at->rows_k : at->rows_v) + ring(cache->length, at->n_rows) * bytes;
    size_t c;

    if (at->n_blocks > 0) {
        const float *sums = floats_at(cache, at->sums) + part * at->row;
        float *staged = floats_at(cache, at->staged) + part * at->row;
        for (c = 0; c + 4 <= at->row; c += 4) {
            staged[c] = sums[c] + x[c];
            staged[c + 1] = sums[c + 1] + x[c + 1];
            staged[c + 2] = sums[c + 2] + x[c + 2];
            staged[c + 3] = sums[c + 3] + x[c + 3];
        }
        for (; c < at->row; c++) {
            staged[c] = sums[c] + x[c];
        }
        if (!kernels->all_finite(staged, at->row)) {
            return AETHER_E_OVERFLOW;
        }
        if (is_last_of_block(cache)) {
            const uint64_t size = cache->head.config.block_size;
            const size_t block = ring(cache->length / size, at->n_blocks);
            end_block(staged, size, at->row, floats_at(cache, part == 0 ? at->mean_k : at->mean_v) + block * at->row);
        }
    }
    if (cache->dtype == AETHER_BINARY32) {
        memcpy(slot, x, bytes);
    } else if (kernels->narrow(x, (uint16_t *)(void *)slot, at->row)) {
        return AETHER_E_OVERFLOW;
    }
    if (global < cache->n_globals) {
        memcpy(cache->memory + (part == 0 ? at->globals_k : at->globals_v) + global * bytes, slot, bytes);
    }
    return AETHER_OK;
}

aether_status aether_cache_stage_finite(aether_cache *cache, const float *k, const float *v) {
    const aether_status status = stage_row(cache, k, 0);
    return status == AETHER_OK ? stage_row(cache, v, 1) : status;
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
    const aether_cache_layout *at = &cache->at;
    if (at->n_blocks > 0) {
        float *sums = floats_at(cache, at->sums);
        if (is_last_of_block(cache)) {
            memset(sums, 0, 2 * at->row * sizeof(float));
        } else {
            memcpy(sums, floats_at(cache, at->staged), 2 * at->row * sizeof(float));
        }
    }
    cache->length++;
}

aether_status aether_cache_scratch(const aether_cache *cache, size_t tokens, size_t *bytes) {
    aether_attending at;
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

void aether_cache_look(const aether_cache *cache, unsigned char *scratch, aether_row *row) {
    row->singles = (uint64_t *)(void *)(scratch + cache->attending.singles);
    row->blocks = (uint64_t *)(void *)(scratch + cache->attending.blocks);
    aether_pattern_row(&cache->head.config, cache->length + 1, cache->length, row);
}

/* Where the keys and values of a single token stand. */
static void point_at(const aether_cache *cache, uint64_t token, const void **key, const void **value) {
    const aether_cache_layout *at = &cache->at;
    const int stored = cache->length - token < at->n_rows;
    const size_t index = stored ? ring(token, at->n_rows) : global_index(&cache->head.config, token);
    const size_t offset = index * row_bytes(cache);
    *key = cache->memory + (stored ? at->rows_k : at->globals_k) + offset;
    *value = cache->memory + (stored ? at->rows_v : at->globals_v) + offset;
}

/* Pointers to all that is seen, tokens and then blocks; the number of tokens. */
static size_t point(const aether_cache *cache, const aether_row *row, const void **keys, const void **values) {
    const aether_cache_layout *at = &cache->at;
    const size_t bytes = row_bytes(cache), run = (size_t)(row->hi - row->lo + 1);
    const size_t slot = ring(row->lo, at->n_rows), apart = at->rows_v - at->rows_k;
    const unsigned char *key = cache->memory + at->rows_k + slot * bytes;
    size_t n = 0, j, end = run < at->n_rows - slot ? run : at->n_rows - slot;
    for (j = 0; j < row->n_below; j++, n++) {
        point_at(cache, row->singles[j], &keys[n], &values[n]);
    }
    for (j = 0; j < run; end = run, key = cache->memory + at->rows_k) { /* up to the end of the ring, and on from its front */
        for (; j < end; j++, n++, key += bytes) {
            keys[n] = key;
            values[n] = key + apart;
        }
    }
    for (j = 0; j < row->n_blocks; j++) {
        const size_t offset = ring(row->blocks[j], at->n_blocks) * at->row * sizeof(float);
        keys[n + j] = cache->memory + at->mean_k + offset;
        values[n + j] = cache->memory + at->mean_v + offset;
    }
    return n;
}

void aether_cache_attend_row(const aether_cache *cache, const aether_row *row, const float *q, float *out,
                             unsigned char *scratch) {
    const aether_config *config = &cache->head.config;
    const void **keys = (const void **)(void *)(scratch + cache->attending.keys);
    const void **values = (const void **)(void *)(scratch + cache->attending.values);
    aether_gather job;
    size_t h, j;
    job.keys = keys;
    job.values = values;
    job.n_stored = point(cache, row, keys, values);
    job.n = job.n_stored + row->n_blocks;
    job.stored = cache->dtype;
    job.group = config->q_heads / config->kv_heads;
    job.dim = config->head_dim;
    job.scale = cache->head.scale;
    job.scores = (float *)(void *)(scratch + cache->attending.floats);
    for (h = 0; h < config->kv_heads; h++) {
        job.q = q + h * job.group * job.dim;
        job.out = out + h * job.group * job.dim;
        cache->head.kernels->gather(&job);
        for (j = 0; j < job.n && h + 1 < config->kv_heads; j++) { /* the same rows of the next head */
            const size_t element = j < job.n_stored && cache->dtype == AETHER_BINARY16 ? sizeof(uint16_t) : sizeof(float);
            keys[j] = (const unsigned char *)keys[j] + job.dim * element;
            values[j] = (const unsigned char *)values[j] + job.dim * element;
        }
    }
}

static AETHER_NOINLINE aether_status attend_here(const aether_cache *cache, const float *q, float *out,
                                                 unsigned char *scratch) {
    const size_t n_out = (size_t)cache->head.config.q_heads * cache->head.config.head_dim;
    float *result = (float *)(void *)(scratch + cache->attending.out);
    aether_row row;
    if (!cache->head.kernels->all_finite(q, n_out)) {
        return AETHER_E_NOT_FINITE;
    }
    aether_cache_look(cache, scratch, &row);
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
    if (cache->attending.total == 0) {
        return AETHER_E_TOO_LARGE;
    }
    if (bytes < cache->attending.total) {
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
