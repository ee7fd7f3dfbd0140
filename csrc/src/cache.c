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

aether_cache_layout aether_cache_layout_of(const aether_cache *cache) {
    aether_cache_layout at;
    (void)aether_cache_lay_out(&cache->head, cache->dtype, &at);
    return at;
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
    cache->head = own;
    cache->history = head->config.history;
    cache->capacity = capacity;
    cache->dtype = dtype;
    cache->policy = policy;
    cache->n_rows = at.n_rows;
    cache->n_globals = own.config.n_globals;
    cache->n_blocks = at.n_blocks;
    cache->memory = memory;
    cache->memory_bytes = at.total;
    aether_cache_reset(cache);
    return AETHER_OK;
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

/* Address of row `index` of the stored rows that begin at `offset`. */
static unsigned char *stored_at(const aether_cache *cache, const aether_cache_layout *at, size_t offset, size_t index) {
    return cache->memory + offset + index * at->row * (cache->dtype == AETHER_BINARY16 ? sizeof(uint16_t) : sizeof(float));
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

/* One array (keys or values) of the staged token; `part` is 0 or 1. */
static aether_status stage_row(aether_cache *cache, const aether_cache_layout *at, const float *x, size_t part) {
    const aether_kernels *kernels = cache->head.kernels;
    const size_t rows = part == 0 ? at->rows_k : at->rows_v;
    const size_t globals = part == 0 ? at->globals_k : at->globals_v;
    const size_t element = cache->dtype == AETHER_BINARY16 ? sizeof(uint16_t) : sizeof(float);
    const size_t global = global_index(&cache->head.config, cache->length);
    unsigned char *slot = stored_at(cache, at, rows, (size_t)(cache->length % at->n_rows));
    size_t c;

    if (at->n_blocks > 0) {
        const uint64_t size = cache->head.config.block_size;
        const float *sums = floats_at(cache, at->sums) + part * at->row;
        float *staged = floats_at(cache, at->staged) + part * at->row;
        for (c = 0; c < at->row; c++) {
            staged[c] = sums[c] + x[c];
        }
        if (!kernels->all_finite(staged, at->row)) {
            return AETHER_E_OVERFLOW;
        }
        if (cache->length % size == size - 1) {
            const size_t block = (size_t)(cache->length / size % at->n_blocks);
            float *mean = floats_at(cache, part == 0 ? at->mean_k : at->mean_v) + block * at->row;
            const float divisor = (float)size;
            for (c = 0; c < at->row; c++) {
                mean[c] = staged[c] / divisor;
            }
        }
    }
    if (cache->dtype == AETHER_BINARY32) {
        memcpy(slot, x, at->row * sizeof(float));
    } else if (kernels->narrow(x, (uint16_t *)(void *)slot, at->row)) {
        return AETHER_E_OVERFLOW;
    }
    if (global < cache->n_globals) {
        memcpy(stored_at(cache, at, globals, global), slot, at->row * element);
    }
    return AETHER_OK;
}

static AETHER_NOINLINE aether_status stage_here(aether_cache *cache, const float *k, const float *v) {
    const aether_cache_layout at = aether_cache_layout_of(cache);
    const aether_kernels *kernels = cache->head.kernels;
    aether_status status;
    if (cache->policy == AETHER_ON_FULL_ERROR && cache->length >= cache->capacity) {
        return AETHER_E_CACHE_FULL;
    }
    if (!kernels->all_finite(k, at.row) || !kernels->all_finite(v, at.row)) {
        return AETHER_E_NOT_FINITE;
    }
    status = stage_row(cache, &at, k, 0);
    return status == AETHER_OK ? stage_row(cache, &at, v, 1) : status;
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
    const aether_cache_layout at = aether_cache_layout_of(cache);
    const uint64_t size = cache->head.config.block_size;
    if (at.n_blocks > 0) {
        float *sums = floats_at(cache, at.sums);
        if (cache->length % size == size - 1) {
            memset(sums, 0, 2 * at.row * sizeof(float));
        } else {
            memcpy(sums, floats_at(cache, at.staged), 2 * at.row * sizeof(float));
        }
    }
    cache->length++;
}

/* Scratch of one attending: candidate lists, kernel scratch, outputs until they are known to be finite. */
typedef struct attending {
    size_t floats, out, total;
} attending;

static aether_status attending_of(const aether_head *own, size_t pointer_bytes, attending *at) {
    const aether_config *config = &own->config;
    const size_t most = aether_candidates_max(config, UINT64_MAX);
    const size_t floats = aether_gather_floats(most, config->q_heads / config->kv_heads, config->head_dim);
    aether_bytes bytes = {0, 0};
    aether_candidates_take(&bytes, config, UINT64_MAX, pointer_bytes);
    at->floats = aether_take(&bytes, floats != 0 ? floats : SIZE_MAX, sizeof(float));
    at->out = aether_take(&bytes, aether_mul(config->q_heads, config->head_dim), sizeof(float));
    return aether_taken(&bytes, &at->total);
}

aether_status aether_cache_step_scratch(const aether_head *own, size_t pointer_bytes, size_t *bytes) {
    attending at;
    const aether_status status = attending_of(own, pointer_bytes, &at);
    if (status == AETHER_OK) {
        *bytes = at.total;
    }
    return status;
}

aether_status aether_cache_scratch(const aether_cache *cache, size_t tokens, size_t *bytes) {
    attending at;
    size_t whole;
    aether_status status;
    if (cache == NULL || bytes == NULL) {
        return AETHER_E_ARGUMENT;
    }
    status = attending_of(&cache->head, sizeof(void *), &at);
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

static AETHER_NOINLINE aether_status attend_here(const aether_cache *cache, const float *q, float *out,
                                                 const attending *parts, unsigned char *scratch) {
    const aether_cache_layout at = aether_cache_layout_of(cache);
    const aether_config *config = &cache->head.config;
    const size_t dim = config->head_dim;
    const size_t group = config->q_heads / config->kv_heads;
    const size_t n_out = (size_t)config->q_heads * dim;
    const size_t element = cache->dtype == AETHER_BINARY16 ? sizeof(uint16_t) : sizeof(float);
    float *result = (float *)(void *)(scratch + parts->out);
    aether_candidates list;
    aether_gather job;
    size_t h, j, n_tokens;

    if (!cache->head.kernels->all_finite(q, n_out)) {
        return AETHER_E_NOT_FINITE;
    }
    (void)aether_candidates_place(&list, config, UINT64_MAX, scratch);
    aether_pattern_row(config, cache->length + 1, cache->length, &list.row);
    n_tokens = aether_candidates_tokens(&list);
    for (j = 0; j < n_tokens; j++) {
        const uint64_t token = aether_candidates_token(&list, j);
        if (cache->length - token < at.n_rows) {
            const size_t row = (size_t)(token % at.n_rows);
            list.keys[j] = stored_at(cache, &at, at.rows_k, row);
            list.values[j] = stored_at(cache, &at, at.rows_v, row);
        } else {
            const size_t row = global_index(config, token);
            list.keys[j] = stored_at(cache, &at, at.globals_k, row);
            list.values[j] = stored_at(cache, &at, at.globals_v, row);
        }
    }
    for (j = 0; j < list.row.n_blocks; j++) {
        const size_t block = (size_t)(list.row.blocks[j] % at.n_blocks);
        list.keys[n_tokens + j] = floats_at(cache, at.mean_k) + block * at.row;
        list.values[n_tokens + j] = floats_at(cache, at.mean_v) + block * at.row;
    }
    job.keys = list.keys;
    job.values = list.values;
    job.n = n_tokens + list.row.n_blocks;
    job.n_stored = n_tokens;
    job.stored = cache->dtype;
    job.group = group;
    job.dim = dim;
    job.scale = cache->head.scale;
    job.scores = (float *)(void *)(scratch + parts->floats);
    for (h = 0; h < config->kv_heads; h++) {
        job.q = q + h * group * dim;
        job.out = result + h * group * dim;
        cache->head.kernels->gather(&job);
        for (j = 0; j < job.n && h + 1 < config->kv_heads; j++) { /* the same rows of the next head */
            const size_t step = dim * (j < n_tokens ? element : sizeof(float));
            list.keys[j] = (const unsigned char *)list.keys[j] + step;
            list.values[j] = (const unsigned char *)list.values[j] + step;
        }
    }
    if (!cache->head.kernels->all_finite(result, n_out)) {
        return AETHER_E_OVERFLOW;
    }
    memcpy(out, result, n_out * sizeof(float));
    return AETHER_OK;
}

aether_status aether_cache_attend(const aether_cache *cache, const float *q, float *out, void *scratch, size_t bytes) {
    attending at;
    aether_status status;
    aether_fpenv env;
    if (cache == NULL || q == NULL || out == NULL || scratch == NULL) {
        return AETHER_E_ARGUMENT;
    }
    status = attending_of(&cache->head, sizeof(void *), &at);
    if (status != AETHER_OK) {
        return status;
    }
    if (bytes < at.total) {
        return AETHER_E_MEMORY;
    }
    if (!aether_aligned(scratch, 8) || !aether_aligned(q, sizeof(float)) || !aether_aligned(out, sizeof(float))) {
        return AETHER_E_ALIGNMENT;
    }
    env = aether_fpenv_enter();
    status = attend_here(cache, q, out, &at, scratch);
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
