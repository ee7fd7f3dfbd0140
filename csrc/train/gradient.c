#include "gradient.h"

#include "../src/bits.h"
#include "../src/candidates.h"
#include "../src/fpenv.h"
#include "../src/pattern.h"
#include "../src/pyramid.h"
#include "panel.h"

#define VECTOR 64 /* bytes; parts of memory begin at multiples */

static int same_name(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

/* The variant of the name that the head's kernels have, so one that this processor can run. Without asking the processor again:
   in a virtual machine that takes longer than many a row. */
static const aether_gradient_kernel *kernel_of(const aether_head *head) {
    static const aether_gradient_kernel *const all[] = {
        &aether_gradient_portable,
#if defined(AETHER_GRADIENT_X86)
        &aether_gradient_sse2,
        &aether_gradient_avx2,
        &aether_gradient_avx512,
#elif defined(AETHER_GRADIENT_NEON)
        &aether_gradient_neon,
#endif
    };
    size_t i;
    for (i = 1; i < sizeof all / sizeof all[0]; i++) {
        if (same_name(all[i]->name, head->kernels->name)) {
            return all[i];
        }
    }
    return all[0];
}

/* n rounded up to a multiple of `unit`, or SIZE_MAX. */
static size_t whole(size_t n, size_t unit) {
    const size_t most = aether_add(n, unit - 1);
    return most != SIZE_MAX ? most / unit * unit : SIZE_MAX;
}

static size_t take(aether_bytes *bytes, size_t count, size_t size) {
    return aether_take(bytes, whole(aether_mul(count, size), VECTOR), 1);
}

static aether_status lay_out(const aether_head *head, size_t tokens, size_t lanes, aether_panel *at,
                             aether_gradient_memory *memory) {
    const aether_config *config = &head->config;
    const size_t group = config->q_heads / config->kv_heads;
    aether_bytes panel = {0, 0}, scratch = {0, 0};
    aether_status status;
    at->blocks = 0;
    at->levels = 1;
    if (aether_is_pyramid(config)) {
        at->blocks = aether_count(tokens / config->block_size);
        at->levels = aether_pyramid_levels(config, at->blocks);
        at->blocks = at->levels > 0 ? at->blocks : 0;
    } else if (aether_pattern_has_landmarks(config) && tokens > 0) {
        at->blocks = aether_count(config->causal ? tokens / config->block_size : (tokens - 1) / config->block_size + 1);
    }
    at->dim = whole(config->head_dim, lanes);
    at->rows = aether_add(tokens, aether_pyramid_tree(at->blocks, at->levels));
    at->most = whole(aether_candidates_max(config, tokens), lanes);
    take(&panel, aether_mul(at->rows, at->dim), sizeof(float));
    at->values = take(&panel, aether_mul(at->rows, at->dim), sizeof(float)) / sizeof(float);
    at->singles = take(&scratch, aether_pattern_max_singles(config), sizeof(uint64_t));
    at->block_list = take(&scratch, aether_pattern_max_blocks(config), sizeof(uint64_t));
    at->level_list = take(&scratch, aether_pattern_max_blocks(config), sizeof(uint8_t));
    at->sizes = take(&scratch, aether_is_pyramid(config) ? aether_pattern_max_blocks(config) : 0, sizeof(float));
    at->index = take(&scratch, at->most, sizeof(size_t));
    at->q = take(&scratch, aether_mul(group, at->dim), sizeof(float));
    at->d_out = take(&scratch, aether_mul(group, at->dim), sizeof(float));
    at->d_q = take(&scratch, aether_mul(group, at->dim), sizeof(float));
    at->weight = take(&scratch, aether_mul(at->most, AETHER_PANEL_HEADS), sizeof(float));
    at->d_score = take(&scratch, aether_mul(at->most, AETHER_PANEL_HEADS), sizeof(float));
    status = aether_taken(&panel, &memory->panel);
    memory->sums = memory->panel;
    return status != AETHER_OK ? status : aether_taken(&scratch, &memory->scratch);
}

/* The layout of a job whose arguments make sense; tokens 0 is for the caller to see. */
static aether_status check(const aether_gradient *job, size_t kv, const void *a, const void *b, aether_panel *at) {
    aether_gradient_memory memory;
    if (job == NULL || job->head == NULL || a == NULL || b == NULL) {
        return AETHER_E_ARGUMENT;
    }
    if (job->tokens > 0 && (job->q == NULL || job->k == NULL || job->v == NULL || job->d_out == NULL ||
                            job->d_q == NULL || job->d_k == NULL || job->d_v == NULL)) {
        return AETHER_E_ARGUMENT;
    }
    if (!aether_aligned(job->q, 4) || !aether_aligned(job->k, 4) || !aether_aligned(job->v, 4) ||
        !aether_aligned(job->d_out, 4) || !aether_aligned(job->d_q, 4) || !aether_aligned(job->d_k, 4) ||
        !aether_aligned(job->d_v, 4) || !aether_aligned(a, 8) || !aether_aligned(b, 8)) {
        return AETHER_E_ALIGNMENT;
    }
    if (kv >= job->head->config.kv_heads) {
        return AETHER_E_SHAPE;
    }
    return lay_out(job->head, job->tokens, kernel_of(job->head)->lanes, at, &memory);
}

aether_status aether_gradient_size(const aether_head *head, size_t tokens, aether_gradient_memory *bytes) {
    aether_panel at;
    if (head == NULL || bytes == NULL) {
        return AETHER_E_ARGUMENT;
    }
    return lay_out(head, tokens, kernel_of(head)->lanes, &at, bytes);
}

/* Tokens of block b: all blocks are whole but, when not causal, the last. */
static size_t block_tokens(const aether_gradient *job, size_t b) {
    const uint64_t size = job->head->config.block_size;
    const uint64_t left = job->tokens - b * size;
    return (size_t)(size < left ? size : left);
}

static void pack_rows(const aether_gradient *job, const aether_panel *at, size_t kv, const float *from, float *to) {
    const aether_config *config = &job->head->config;
    const size_t dim = config->head_dim, step = (size_t)config->kv_heads * dim;
    unsigned level;
    size_t t, b, d;
    memset(to, 0, at->rows * at->dim * sizeof(float));
    for (t = 0; t < job->tokens; t++) {
        memcpy(to + t * at->dim, from + t * step + kv * dim, dim * sizeof(float));
    }
    for (b = 0; b < at->blocks; b++) {
        const size_t count = block_tokens(job, b);
        const float *row = to + b * (size_t)config->block_size * at->dim, divisor = (float)count;
        float *mean = to + (job->tokens + b) * at->dim;
        for (t = 0; t < count; t++, row += at->dim) {
            for (d = 0; d < dim; d++) {
                mean[d] += row[d];
            }
        }
        for (d = 0; d < dim; d++) {
            mean[d] /= divisor;
        }
    }
    for (level = 1; level < at->levels; level++) {
        const float *below = to + (job->tokens + aether_pyramid_tree(at->blocks, level - 1)) * at->dim;
        float *mean = to + (job->tokens + aether_pyramid_tree(at->blocks, level)) * at->dim;
        for (b = 0; b < at->blocks >> level; b++) {
            aether_pyramid_join(below + 2 * b * at->dim, below + (2 * b + 1) * at->dim, dim, mean + b * at->dim);
        }
    }
}

static AETHER_NOINLINE void pack_here(const aether_gradient *job, const aether_panel *at, size_t kv, float *panel) {
    pack_rows(job, at, kv, job->k, panel);
    pack_rows(job, at, kv, job->v, panel + at->values);
}

aether_status aether_gradient_pack(const aether_gradient *job, size_t kv, void *panel) {
    aether_panel at;
    aether_fpenv env;
    const aether_status status = check(job, kv, panel, panel, &at);
    if (status != AETHER_OK || job->tokens == 0) {
        return status;
    }
    env = aether_fpenv_enter();
    pack_here(job, &at, kv, panel);
    aether_fpenv_leave(env);
    return AETHER_OK;
}

aether_status aether_gradient_rows(const aether_gradient *job, size_t kv, const void *panel, size_t first, size_t count,
                                   void *sums, void *scratch) {
    aether_panel at;
    aether_fpenv env;
    aether_status status = check(job, kv, panel, sums, &at);
    if (status != AETHER_OK) {
        return status;
    }
    if (scratch == NULL) {
        return AETHER_E_ARGUMENT;
    }
    if (!aether_aligned(scratch, 8)) {
        return AETHER_E_ALIGNMENT;
    }
    if (first > job->tokens || count > job->tokens - first) {
        return AETHER_E_SHAPE;
    }
    if (job->tokens == 0) {
        return AETHER_OK;
    }
    memset(sums, 0, (at.values + at.rows * at.dim) * sizeof(float));
    env = aether_fpenv_enter();
    kernel_of(job->head)->rows(job, &at, kv, panel, first, count, sums, scratch);
    aether_fpenv_leave(env);
    return AETHER_OK;
}

/* Adds a token's share of what came to the mean of one run: 1 / its number of tokens. */
static void add_share(const float *mean, size_t step, size_t chunks, size_t dim, float divisor, float *out) {
    size_t c, d;
    for (d = 0; d < dim; d++) {
        float sum = mean[d];
        for (c = 1; c < chunks; c++) {
            sum += mean[c * step + d];
        }
        out[d] += sum / divisor;
    }
}

/* A token's gradient is what came to the token and its share of what came to the means that it is part of. */
static void finish_rows(const aether_gradient *job, const aether_panel *at, size_t kv, const float *sums, size_t step,
                        size_t chunks, float *to) {
    const aether_config *config = &job->head->config;
    const size_t dim = config->head_dim, row = (size_t)config->kv_heads * dim;
    unsigned level;
    size_t t, c, d;
    for (t = 0; t < job->tokens; t++) {
        const uint64_t b = t / config->block_size;
        float *out = to + t * row + kv * dim;
        for (d = 0; d < dim; d++) {
            float sum = sums[t * at->dim + d];
            for (c = 1; c < chunks; c++) {
                sum += sums[c * step + t * at->dim + d];
            }
            out[d] = sum;
        }
        for (level = 0; level < at->levels && b >> level < at->blocks >> level; level++) {
            const size_t run = aether_pyramid_tree(at->blocks, level) + (size_t)(b >> level);
            const size_t count = level == 0 ? block_tokens(job, (size_t)b) : (size_t)config->block_size << level;
            add_share(sums + (job->tokens + run) * at->dim, step, chunks, dim, (float)count, out);
        }
    }
}

static AETHER_NOINLINE void finish_here(const aether_gradient *job, const aether_panel *at, size_t kv,
                                        const float *sums, size_t step, size_t chunks) {
    finish_rows(job, at, kv, sums, step, chunks, job->d_k);
    finish_rows(job, at, kv, sums + at->values, step, chunks, job->d_v);
}

aether_status aether_gradient_finish(const aether_gradient *job, size_t kv, const void *sums, size_t chunks) {
    aether_panel at;
    aether_gradient_memory memory;
    aether_fpenv env;
    aether_status status = check(job, kv, sums, sums, &at);
    if (status != AETHER_OK) {
        return status;
    }
    if (chunks == 0) {
        return AETHER_E_SHAPE;
    }
    if (job->tokens == 0) {
        return AETHER_OK;
    }
    status = aether_gradient_size(job->head, job->tokens, &memory);
    if (status != AETHER_OK) {
        return status;
    }
    env = aether_fpenv_enter();
    finish_here(job, &at, kv, sums, memory.sums / sizeof(float), chunks);
    aether_fpenv_leave(env);
    return AETHER_OK;
}
