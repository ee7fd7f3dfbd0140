/* Which sequence kernels belong to a variant, and those of the variants without vectors: one query position at a time. */
#include "../sequence.h"

#include "../candidates.h"
#include "../pyramid.h"
#include "../sizes.h"
#include "variants.h"

static size_t plan_bytes(const aether_head *head, size_t tokens) {
    (void)head;
    (void)tokens;
    return 0; /* nothing to prepare */
}

static void prepare(aether_plan *plan, void *memory) {
    plan->variant = memory;
}

static size_t rows_bytes(const aether_head *head, size_t tokens) {
    const aether_config *config = &head->config;
    const size_t most = aether_candidates_max(config, tokens);
    const size_t floats = aether_query_floats(most, config->q_heads / config->kv_heads, config->head_dim);
    aether_bytes bytes = {0, 0};
    size_t total;
    aether_candidates_take(&bytes, config, tokens, sizeof(void *));
    aether_take(&bytes, floats, sizeof(float));
    return aether_taken(&bytes, &total) == AETHER_OK ? total : SIZE_MAX;
}

static int forward_rows(const aether_plan *plan, const float *q, size_t first, size_t count, float *out, void *scratch) {
    const aether_config *config = &plan->head->config;
    const size_t dim = config->head_dim;
    const size_t group = config->q_heads / config->kv_heads;
    aether_candidates list;
    aether_query job;
    const size_t width = (size_t)config->q_heads * dim;
    size_t i, h, j;
    int finite = 1;
    float *floats = aether_candidates_place(&list, config, plan->tokens, scratch);

    for (i = first; i < first + count; i++) {
        aether_pattern_row(config, plan->tokens, i, &list.row);
        if (list.sizes != NULL) {
            aether_candidates_weigh(config, &list.row, list.sizes);
        }
        for (h = 0; h < config->kv_heads; h++) {
            const size_t n_tokens = aether_candidates_tokens(&list);
            for (j = 0; j < n_tokens; j++) {
                const size_t at = ((size_t)aether_candidates_token(&list, j) * config->kv_heads + h) * dim;
                list.keys[j] = plan->rows_k + at;
                list.values[j] = plan->rows_v + at;
            }
            for (j = 0; j < list.row.n_blocks; j++) {
                const size_t run = aether_pyramid_tree(plan->n_blocks, list.row.levels[j]) +
                                   (size_t)(list.row.blocks[j] >> list.row.levels[j]);
                const size_t at = (run * config->kv_heads + h) * dim;
                list.keys[n_tokens + j] = plan->mean_k + at;
                list.values[n_tokens + j] = plan->mean_v + at;
            }
            job.q = q + (i * config->q_heads + h * group) * dim;
            job.keys = list.keys;
            job.values = list.values;
            job.n = n_tokens + list.row.n_blocks;
            job.n_stored = n_tokens;
            job.stored = AETHER_BINARY32;
            job.sizes = list.sizes;
            job.group = group;
            job.dim = dim;
            job.scale = plan->head->scale;
            job.scores = floats;
            job.out = out + (i * config->q_heads + h * group) * dim;
            plan->head->kernels->attend_query(&job);
        }
        finite &= plan->head->kernels->all_finite(out + i * width, width);
    }
    return finite;
}

static const aether_sequence_kernels BY_QUERY = {plan_bytes, prepare, rows_bytes, forward_rows};

const aether_sequence_kernels *aether_sequence_kernels_of(const aether_head *head) {
    const aether_kernels *kernels = head->kernels;
#if defined(AETHER_VARIANTS_X86)
    if (kernels == &aether_kernels_sse2) {
        return &aether_sequence_sse2;
    }
    if (kernels == &aether_kernels_avx2) {
        return &aether_sequence_avx2;
    }
    if (kernels == &aether_kernels_avx512) {
        return &aether_sequence_avx512;
    }
#elif defined(AETHER_VARIANTS_NEON)
    if (kernels == &aether_kernels_neon) {
        return &aether_sequence_neon;
    }
#endif
    (void)kernels;
    return &BY_QUERY;
}
