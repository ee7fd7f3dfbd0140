#include "aether/attention.h"

#include "candidates.h"
#include "fpenv.h"
#include "pattern.h"
#include "pyramid.h"
#include "sequence.h"
#include "sizes.h"

/* Where the parts of a plan's workspace begin. */
typedef struct layout {
    size_t n_blocks, mean_k, mean_v, rows_k, rows_v, variant, total;
} layout;

static aether_status lay_out(const aether_head *head, size_t tokens, aether_dtype dtype, layout *at) {
    const aether_config *config = &head->config;
    const size_t row = aether_mul(config->kv_heads, config->head_dim);
    const size_t copied = dtype == AETHER_BINARY16 ? aether_mul(tokens, row) : 0;
    const size_t variant = aether_sequence_kernels_of(head)->plan_bytes(head, tokens);
    aether_bytes bytes = {0, 0};
    size_t means;
    at->n_blocks = 0;
    if (aether_is_pyramid(config) && tokens > 0) {
        const uint64_t n = config->causal ? aether_pyramid_before(config, tokens - 1) : tokens / config->block_size;
        at->n_blocks = aether_pyramid_levels(config, n) > 0 ? aether_count(n) : 0; /* no block is in view otherwise */
    } else if (aether_pattern_has_landmarks(config) && tokens > 0) {
        const uint64_t n = config->causal ? tokens / config->block_size : (tokens - 1) / config->block_size + 1;
        at->n_blocks = aether_count(n);
    }
    means = at->n_blocks;
    if (aether_is_pyramid(config)) {
        means = aether_pyramid_tree(at->n_blocks, aether_pyramid_levels(config, at->n_blocks));
    }
    at->mean_k = aether_take(&bytes, aether_mul(means, row), sizeof(float));
    at->mean_v = aether_take(&bytes, aether_mul(means, row), sizeof(float));
    at->rows_k = aether_take(&bytes, copied, sizeof(float));
    at->rows_v = aether_take(&bytes, copied, sizeof(float));
    at->variant = aether_take(&bytes, variant, 1);
    return aether_taken(&bytes, &at->total);
}

/* Sums of `count` rows of `width` columns, then divided by the count. 0 when a sum overflowed. `mean` NULL: only checked. */
static int mean_of(const float *rows, size_t count, size_t width, float *mean) {
    enum { COLUMNS = 16 };
    const float divisor = (float)count;
    size_t begin, t, c;
    for (begin = 0; begin < width; begin += COLUMNS) {
        const size_t part = width - begin < COLUMNS ? width - begin : COLUMNS;
        float sum[COLUMNS] = {0.0f};
        for (t = 0; t < count; t++) {
            for (c = 0; c < part; c++) {
                sum[c] = sum[c] + rows[t * width + begin + c];
            }
        }
        if (!aether_all_finite(sum, part)) {
            return 0;
        }
        for (c = 0; mean != NULL && c < part; c++) {
            mean[begin + c] = sum[c] / divisor;
        }
    }
    return 1;
}

/* Means of the blocks of one array, and a check of the tokens after the last block. 0 when a sum overflowed. */
static int means(const aether_config *config, const float *rows, size_t tokens, size_t n_blocks, float *mean) {
    const size_t width = (size_t)config->kv_heads * config->head_dim;
    size_t begin = 0, b;
    for (b = 0; b < n_blocks; b++) {
        const size_t left = tokens - begin;
        const size_t count = config->block_size < left ? (size_t)config->block_size : left;
        if (!mean_of(rows + begin * width, count, width, mean + b * width)) {
            return 0;
        }
        begin += count;
    }
    return mean_of(rows + begin * width, tokens - begin, width, NULL);
}

/* The mean of a block of a pyramid, infinite or not a number where a sum overflowed. */
static void pyramid_mean(const float *rows, size_t size, size_t width, float *mean) {
    const float factor = 1.0f / (float)size; /* exact: a power of two */
    size_t t, c;
    for (c = 0; c < width; c++) {
        mean[c] = 0.0f;
    }
    for (t = 0; t < size; t++, rows += width) {
        for (c = 0; c < width; c++) {
            mean[c] = mean[c] + rows[c];
        }
    }
    for (c = 0; c < width; c++) {
        mean[c] = mean[c] * factor;
    }
}

/* Means of the first n_blocks whole blocks of one array, then those of longer runs, level by level. 0 when a sum overflowed. */
static int pyramid_means(const aether_head *head, const float *rows, size_t n_blocks, float *mean) {
    const aether_config *config = &head->config;
    const size_t width = (size_t)config->kv_heads * config->head_dim, size = (size_t)config->block_size;
    const unsigned levels = aether_pyramid_levels(config, n_blocks);
    const float *below = mean;
    unsigned level;
    size_t b;
    for (b = 0; b < n_blocks; b++) {
        pyramid_mean(rows + b * size * width, size, width, mean + b * width);
    }
    if (!head->kernels->all_finite(mean, n_blocks * width)) {
        return 0;
    }
    for (level = 1; level < levels; level++) {
        float *to = mean + aether_pyramid_tree(n_blocks, level) * width;
        for (b = 0; b < n_blocks >> level; b++) {
            aether_pyramid_join(below + 2 * b * width, below + (2 * b + 1) * width, width, to + b * width);
        }
        below = to;
    }
    return 1;
}

/* rows rounded to binary16 and back; 0 when one is beyond its range. */
static int round_rows(const aether_kernels *kernels, const float *rows, size_t n, float *rounded) {
    uint16_t half[64];
    size_t i;
    for (i = 0; i < n; i += 64) {
        const size_t part = n - i < 64 ? n - i : 64;
        if (kernels->narrow(rows + i, half, rounded + i, part)) {
            return 0;
        }
    }
    return 1;
}

static AETHER_NOINLINE aether_status prepare_here(aether_plan *plan, const layout *at, unsigned char *memory) {
    const aether_head *head = plan->head;
    const size_t n = plan->tokens * head->config.kv_heads * head->config.head_dim;
    float *mean_k = (float *)(void *)(memory + at->mean_k), *mean_v = (float *)(void *)(memory + at->mean_v);
    if (!head->kernels->all_finite(plan->k, n) || !head->kernels->all_finite(plan->v, n)) {
        return AETHER_E_NOT_FINITE;
    }
    if (!aether_is_pyramid(&head->config) && aether_pattern_has_landmarks(&head->config)) {
        if (!means(&head->config, plan->k, plan->tokens, at->n_blocks, mean_k) ||
            !means(&head->config, plan->v, plan->tokens, at->n_blocks, mean_v)) {
            return AETHER_E_OVERFLOW;
        }
    }
    plan->n_blocks = at->n_blocks;
    plan->mean_k = mean_k;
    plan->mean_v = mean_v;
    plan->rows_k = plan->k;
    plan->rows_v = plan->v;
    if (plan->dtype == AETHER_BINARY16) {
        float *rows_k = (float *)(void *)(memory + at->rows_k), *rows_v = (float *)(void *)(memory + at->rows_v);
        if (!round_rows(head->kernels, plan->k, n, rows_k) || !round_rows(head->kernels, plan->v, n, rows_v)) {
            return AETHER_E_OVERFLOW;
        }
        plan->rows_k = rows_k;
        plan->rows_v = rows_v;
    }
    if (aether_is_pyramid(&head->config)) { /* means are of the rows that queries see */
        if (!pyramid_means(head, plan->rows_k, at->n_blocks, mean_k) ||
            !pyramid_means(head, plan->rows_v, at->n_blocks, mean_v)) {
            return AETHER_E_OVERFLOW;
        }
    }
    aether_sequence_kernels_of(head)->prepare(plan, memory + at->variant);
    return AETHER_OK;
}

aether_status aether_attention_plan_size(const aether_head *head, size_t tokens, aether_dtype dtype, size_t *bytes) {
    layout at;
    aether_status status;
    if (head == NULL || !aether_is_dtype(dtype) || bytes == NULL) {
        return AETHER_E_ARGUMENT;
    }
    status = lay_out(head, tokens, dtype, &at);
    if (status == AETHER_OK) {
        *bytes = at.total;
    }
    return status;
}

aether_status aether_attention_prepare(aether_plan *plan, const aether_head *head, const float *k, const float *v,
                                       size_t tokens, aether_dtype dtype, void *workspace, size_t bytes) {
    layout at;
    aether_status status;
    aether_fpenv env;
    if (plan == NULL || head == NULL || !aether_is_dtype(dtype) || ((k == NULL || v == NULL || workspace == NULL) && tokens > 0)) {
        return AETHER_E_ARGUMENT;
    }
    status = lay_out(head, tokens, dtype, &at);
    if (status != AETHER_OK) {
        return status;
    }
    if (bytes < at.total) {
        return AETHER_E_MEMORY;
    }
    if (!aether_aligned(workspace, 4) || !aether_aligned(k, 4) || !aether_aligned(v, 4)) {
        return AETHER_E_ALIGNMENT;
    }
    *plan = (aether_plan){0}; /* without tokens it stays empty */
    plan->head = head;
    plan->k = k;
    plan->v = v;
    plan->tokens = tokens;
    plan->dtype = dtype;
    if (tokens == 0) {
        return AETHER_OK;
    }
    env = aether_fpenv_enter();
    status = prepare_here(plan, &at, workspace);
    aether_fpenv_leave(env);
    return status;
}

aether_status aether_attention_rows_size(const aether_head *head, size_t tokens, size_t *bytes) {
    size_t need;
    if (head == NULL || bytes == NULL) {
        return AETHER_E_ARGUMENT;
    }
    need = aether_sequence_kernels_of(head)->rows_bytes(head, tokens);
    if (need == SIZE_MAX) {
        return AETHER_E_TOO_LARGE;
    }
    *bytes = need;
    return AETHER_OK;
}

static AETHER_NOINLINE aether_status rows_here(const aether_plan *plan, const float *q, size_t first, size_t count,
                                               float *out, void *scratch) {
    const aether_kernels *kernels = plan->head->kernels;
    const size_t width = (size_t)plan->head->config.q_heads * plan->head->config.head_dim;
    if (!kernels->all_finite(q + first * width, count * width)) {
        return AETHER_E_NOT_FINITE;
    }
    return aether_sequence_kernels_of(plan->head)->forward_rows(plan, q, first, count, out, scratch) ? AETHER_OK : AETHER_E_OVERFLOW;
}

aether_status aether_attention_rows(const aether_plan *plan, const float *q, size_t first, size_t count, float *out,
                                    void *scratch, size_t bytes) {
    aether_status status;
    aether_fpenv env;
    size_t need;
    if (plan == NULL || plan->head == NULL) {
        return AETHER_E_ARGUMENT;
    }
    if (first > plan->tokens || count > plan->tokens - first) {
        return AETHER_E_SHAPE;
    }
    if (count == 0) {
        return AETHER_OK;
    }
    if (q == NULL || out == NULL || scratch == NULL) {
        return AETHER_E_ARGUMENT;
    }
    status = aether_attention_rows_size(plan->head, plan->tokens, &need);
    if (status != AETHER_OK) {
        return status;
    }
    if (bytes < need) {
        return AETHER_E_MEMORY;
    }
    if (!aether_aligned(q, 4) || !aether_aligned(out, 4) || !aether_aligned(scratch, 4)) {
        return AETHER_E_ALIGNMENT;
    }
    env = aether_fpenv_enter();
    status = rows_here(plan, q, first, count, out, scratch);
    aether_fpenv_leave(env);
    return status;
}

aether_status aether_attention_workspace(const aether_head *head, size_t tokens, aether_dtype dtype, size_t *bytes) {
    size_t plan, rows;
    aether_status status = aether_attention_plan_size(head, tokens, dtype, &plan);
    if (status == AETHER_OK && bytes == NULL) {
        status = AETHER_E_ARGUMENT;
    }
    if (status == AETHER_OK) {
        status = aether_attention_rows_size(head, tokens, &rows);
    }
    if (status == AETHER_OK) {
        if (aether_add(plan, rows) == SIZE_MAX) {
            return AETHER_E_TOO_LARGE;
        }
        *bytes = plan + rows;
    }
    return status;
}

aether_status aether_attention_forward(const aether_head *head, const float *q, const float *k, const float *v,
                                       size_t tokens, aether_dtype dtype, float *out, void *workspace, size_t bytes) {
    aether_plan plan;
    size_t used;
    aether_status status = aether_attention_plan_size(head, tokens, dtype, &used);
    if (status != AETHER_OK || tokens == 0) {
        return status;
    }
    if (q == NULL || out == NULL) {
        return AETHER_E_ARGUMENT;
    }
    if (bytes < used) {
        return AETHER_E_MEMORY;
    }
    status = aether_attention_prepare(&plan, head, k, v, tokens, dtype, workspace, used);
    if (status != AETHER_OK) {
        return status;
    }
    return aether_attention_rows(&plan, q, 0, tokens, out, (unsigned char *)workspace + used, bytes - used);
}
