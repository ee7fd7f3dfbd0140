/* The definition of every kernel: the naive loops of docs/spec/numerics.md. Other variants give the same bits. */
#include "../candidates.h"
#include "../exp.h"
#include "../sizes.h"
#include "aether/attention.h"
#include "variants.h"

static float weight_at(const void *w, aether_dtype type, size_t index) {
    return type == AETHER_BINARY16 ? aether_widen(((const uint16_t *)w)[index]) : ((const float *)w)[index];
}

static void linear(const float *x, size_t rows, size_t in, const void *w, aether_dtype wtype, const float *bias,
                   size_t out, float *y) {
    size_t r, i, o;
    for (r = 0; r < rows; r++) {
        for (o = 0; o < out; o++) {
            float sum = bias != NULL ? bias[o] : 0.0f;
            for (i = 0; i < in; i++) {
                sum = sum + x[r * in + i] * weight_at(w, wtype, i * out + o);
            }
            y[r * out + o] = sum;
        }
    }
}

static void widen(const uint16_t *half, float *x, size_t n) {
    size_t i;
    for (i = 0; i < n; i++) {
        x[i] = aether_widen(half[i]);
    }
}

static int narrow(const float *x, uint16_t *half, size_t n) {
    size_t i;
    for (i = 0; i < n; i++) {
        if (aether_narrow(x[i], &half[i]) != AETHER_OK) {
            return 1;
        }
    }
    return 0;
}

static float dot(const float *a, const float *b, size_t n) {
    float sum = 0.0f;
    size_t d;
    for (d = 0; d < n; d++) {
        sum = sum + a[d] * b[d];
    }
    return sum;
}

size_t aether_gather_floats(size_t n, size_t group, size_t dim) {
    const size_t scores = n > SIZE_MAX - 15 ? SIZE_MAX : aether_mul(n + 15, group);
    const size_t row = aether_mul(dim, 2);
    return scores > SIZE_MAX - row || scores + row >= SIZE_MAX / sizeof(float) ? 0 : scores + row;
}

/* Row j as binary32: itself, or widened into `room`. */
static const float *row_at(const aether_gather *job, const void *const *rows, size_t j, float *room) {
    if (job->stored == AETHER_BINARY16 && j < job->n_stored) {
        widen((const uint16_t *)rows[j], room, job->dim);
        return room;
    }
    return (const float *)rows[j];
}

static void gather(const aether_gather *job) {
    float *scores = job->scores;
    float *room = job->scores + job->n;
    size_t h, j, d;
    for (h = 0; h < job->group; h++) {
        const float *q = job->q + h * job->dim;
        float *out = job->out + h * job->dim;
        float most, sum, scale;
        for (j = 0; j < job->n; j++) {
            scores[j] = dot(q, row_at(job, job->keys, j, room), job->dim) * job->scale;
        }
        most = scores[0];
        for (j = 1; j < job->n; j++) {
            most = scores[j] > most ? scores[j] : most;
        }
        sum = 0.0f;
        for (d = 0; d < job->dim; d++) {
            out[d] = 0.0f;
        }
        for (j = 0; j < job->n; j++) {
            const float w = aether_exp_inline(scores[j] - most);
            const float *value = row_at(job, job->values, j, room);
            sum = sum + w;
            for (d = 0; d < job->dim; d++) {
                out[d] = out[d] + w * value[d];
            }
        }
        scale = 1.0f / sum;
        for (d = 0; d < job->dim; d++) {
            out[d] = out[d] * scale;
        }
    }
}

size_t aether_portable_plan_bytes(const aether_head *head, size_t tokens, aether_dtype dtype) {
    (void)head;
    (void)tokens;
    (void)dtype;
    return sizeof(float); /* nothing to prepare; 0 would mean "too large" */
}

void aether_portable_prepare(aether_plan *plan, void *memory) {
    plan->variant = memory;
}

size_t aether_portable_rows_bytes(const aether_head *head, size_t tokens) {
    const size_t most = aether_candidates_max(&head->config, tokens);
    const size_t floats = aether_gather_floats(most, head->config.q_heads / head->config.kv_heads,
                                               head->config.head_dim);
    aether_bytes bytes = {0, 0};
    size_t total;
    aether_candidates_take(&bytes, &head->config, tokens, sizeof(void *));
    aether_take(&bytes, floats != 0 ? floats : SIZE_MAX, sizeof(float));
    return aether_taken(&bytes, &total) == AETHER_OK ? total : 0;
}

void aether_portable_rows(const aether_plan *plan, const float *q, size_t first, size_t count, float *out,
                          void *scratch) {
    const aether_config *config = &plan->head->config;
    const size_t dim = config->head_dim;
    const size_t group = config->q_heads / config->kv_heads;
    aether_candidates list;
    aether_gather job;
    size_t i, h, j;
    float *floats = aether_candidates_place(&list, config, plan->tokens, scratch);

    for (i = first; i < first + count; i++) {
        aether_pattern_row(config, plan->tokens, i, &list.row);
        for (h = 0; h < config->kv_heads; h++) {
            const size_t n_tokens = aether_candidates_tokens(&list);
            for (j = 0; j < n_tokens; j++) {
                const size_t at = ((size_t)aether_candidates_token(&list, j) * config->kv_heads + h) * dim;
                list.keys[j] = plan->rows_k + at;
                list.values[j] = plan->rows_v + at;
            }
            for (j = 0; j < list.row.n_blocks; j++) {
                const size_t at = ((size_t)list.row.blocks[j] * config->kv_heads + h) * dim;
                list.keys[n_tokens + j] = plan->mean_k + at;
                list.values[n_tokens + j] = plan->mean_v + at;
            }
            job.q = q + (i * config->q_heads + h * group) * dim;
            job.keys = list.keys;
            job.values = list.values;
            job.n = n_tokens + list.row.n_blocks;
            job.n_stored = n_tokens;
            job.stored = AETHER_BINARY32;
            job.group = group;
            job.dim = dim;
            job.scale = plan->head->scale;
            job.scores = floats;
            job.out = out + (i * config->q_heads + h * group) * dim;
            plan->head->kernels->gather(&job);
        }
    }
}

static const aether_kernels PORTABLE = {
    "portable", linear, aether_all_finite, widen, narrow, gather,
    aether_portable_plan_bytes, aether_portable_prepare, aether_portable_rows_bytes, aether_portable_rows,
};

const aether_kernels *aether_kernels_portable(void) {
    return &PORTABLE;
}
