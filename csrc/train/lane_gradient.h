/* Rows of the gradient: include after a lane_<instruction set>.h, then GRADIENT_KERNEL(name).

   Up to four query heads that share a key/value head are worked on together. Their scores are kept interleaved, heads within
   candidates, so that one vector holds LANES / heads candidates of all heads, and LANES dot products are added up by one
   transposition. Written for a query and head, with s the scores, p their softmax, o = sum of p*v and g = d_out:
   d_p = g.v, d_s = p * (d_p - sum of p*d_p), d_q = scale * sum of d_s*k, d_k += scale * d_s*q, d_v += p*g. */
#include "../src/candidates.h"
#include "../src/exp.h"
#include "../src/pyramid.h"
#include "panel.h"

#ifndef LANE_MLA
#define LANE_MLA(a, b, c) v_add((c), v_mul((a), (b)))
#endif

#define LANE_INFINITY aether_from_bits(0x7F800000u)

/* One row at work. */
typedef struct lane_job {
    const aether_panel *at;
    const float *k, *v; /* the panel */
    float *d_k, *d_v;   /* the sums */
    size_t n, whole;    /* candidates, and rounded up to whole vectors */
    size_t n_tokens;    /* of the candidates: the first ones */
    float *sizes;       /* [n - n_tokens]: how many tokens each mean stands for; NULL: one */
    size_t *index;      /* [whole]: where the candidates' rows begin, in floats */
    float *weight;      /* [whole][heads] */
    float *d_score;     /* [whole][heads] */
    float scale;
} lane_job;

LANE_INLINE lane lane_exp(lane x) {
    const lane magic = v_set1(AETHER_EXP_MAGIC);
    const lane z = LANE_MLA(x, v_set1(AETHER_EXP_LOG2E), magic);
    const lane n = v_sub(z, magic);
    const lane r = v_sub(v_sub(x, v_mul(n, v_set1(AETHER_EXP_LN2_HIGH))), v_mul(n, v_set1(AETHER_EXP_LN2_LOW)));
    lane p = v_set1(AETHER_EXP_P4);
    p = LANE_MLA(p, r, v_set1(AETHER_EXP_P3));
    p = LANE_MLA(p, r, v_set1(AETHER_EXP_P2));
    p = LANE_MLA(p, r, v_set1(AETHER_EXP_P1));
    p = LANE_MLA(p, r, v_set1(AETHER_EXP_P0));
    const lane t = LANE_MLA(p, v_mul(r, r), r);
    return v_zero_below(x, v_set1(AETHER_EXP_CUT), v_shift_add(v_add(t, v_set1(1.0f)), z));
}

/* Sums of LANES vectors, in their order. */
LANE_INLINE lane lane_sums(lane x[LANES]) {
    v_transpose(x);
    LANE_UNROLL
    for (int half = LANES / 2; half > 0; half /= 2) {
        LANE_UNROLL
        for (int i = 0; i < half; ++i) {
            x[i] = v_add(x[i], x[i + half]);
        }
    }
    return x[0];
}

/* x [heads][dim] times the candidates' rows: to [whole][heads]. */
LANE_INLINE void lane_dots(const lane_job *j, const float *x, const float *rows, float *to, int heads) {
    const int keys = LANES / heads;
    const size_t dim = j->at->dim;
    for (size_t c = 0; c < j->whole; c += (size_t)keys, to += LANES) {
        lane acc[LANES];
        LANE_UNROLL
        for (int i = 0; i < LANES; ++i) {
            acc[i] = v_zero();
        }
        for (size_t d = 0; d < dim; d += LANES) {
            lane y[AETHER_PANEL_HEADS];
            LANE_UNROLL
            for (int h = 0; h < heads; ++h) {
                y[h] = v_load(x + (size_t)h * dim + d);
            }
            LANE_UNROLL
            for (int i = 0; i < keys; ++i) {
                const lane row = v_load(rows + j->index[c + (size_t)i] + d);
                LANE_UNROLL
                for (int h = 0; h < heads; ++h) {
                    acc[i * heads + h] = LANE_MLA(y[h], row, acc[i * heads + h]);
                }
            }
        }
        v_store(to, lane_sums(acc));
    }
}

/* Each lane's head gets what its head's lanes come to. */
LANE_INLINE lane lane_by_head(lane x, int heads, int greatest) {
    float part[LANES], all[LANES];
    v_store(part, x);
    for (int h = 0; h < heads; ++h) {
        float found = part[h];
        for (int i = h + heads; i < LANES; i += heads) {
            found = greatest ? (part[i] > found ? part[i] : found) : found + part[i];
        }
        for (int i = h; i < LANES; i += heads) {
            all[i] = found;
        }
    }
    return v_load(all);
}

/* From dot products (of q in `weight`, of d_out in `d_score`) to weights and the scores' gradients times scale. */
LANE_INLINE void lane_softmax(lane_job *j, int heads) {
    const size_t end = j->whole * (size_t)heads;
    const lane scale = v_set1(j->scale);
    lane most = v_set1(-LANE_INFINITY), sum = v_zero(), mean = v_zero();
    for (size_t i = j->n * (size_t)heads; i < end; ++i) { /* what only fills the last vector */
        j->weight[i] = -LANE_INFINITY;
        j->d_score[i] = 0.0f;
    }
    for (size_t i = 0; i < end; i += LANES) {
        const lane s = v_mul(v_load(j->weight + i), scale);
        most = v_max(most, s);
        v_store(j->weight + i, s);
    }
    most = lane_by_head(most, heads, 1);
    if (j->sizes != NULL) {
        for (size_t i = 0; i < end; i += LANES) {
            v_store(j->weight + i, lane_exp(v_sub(v_load(j->weight + i), most)));
        }
        for (size_t i = j->n_tokens * (size_t)heads; i < j->n * (size_t)heads; ++i) {
            j->weight[i] *= j->sizes[i / (size_t)heads - j->n_tokens];
        }
    }
    for (size_t i = 0; i < end; i += LANES) {
        const lane w = v_load(j->weight + i);
        const lane e = j->sizes != NULL ? w : lane_exp(v_sub(w, most));
        sum = v_add(sum, e);
        mean = LANE_MLA(e, v_load(j->d_score + i), mean);
        v_store(j->weight + i, e);
    }
    float share[LANES];
    v_store(share, lane_by_head(sum, heads, 0));
    for (int i = 0; i < LANES; ++i) {
        share[i] = 1.0f / share[i];
    }
    const lane part = v_load(share);
    mean = v_mul(lane_by_head(mean, heads, 0), part);
    for (size_t i = 0; i < end; i += LANES) {
        const lane p = v_mul(v_load(j->weight + i), part);
        v_store(j->weight + i, p);
        v_store(j->d_score + i, v_mul(v_mul(p, scale), v_sub(v_load(j->d_score + i), mean)));
    }
}

/* The candidates' keys and values get theirs, d_q [heads][dim] is written. */
LANE_INLINE void lane_spread(const lane_job *j, const float *q, const float *d_out, float *d_q, int heads) {
    const size_t dim = j->at->dim;
    for (size_t d = 0; d < dim; d += LANES) {
        lane x[AETHER_PANEL_HEADS], g[AETHER_PANEL_HEADS], sum[AETHER_PANEL_HEADS];
        LANE_UNROLL
        for (int h = 0; h < heads; ++h) {
            x[h] = v_load(q + (size_t)h * dim + d);
            g[h] = v_load(d_out + (size_t)h * dim + d);
            sum[h] = v_zero();
        }
        const float *weight = j->weight, *d_score = j->d_score;
        for (size_t c = 0; c < j->n; ++c, weight += heads, d_score += heads) {
            const size_t row = j->index[c] + d;
            const lane k = v_load(j->k + row);
            lane d_k = v_load(j->d_k + row), d_v = v_load(j->d_v + row);
            LANE_UNROLL
            for (int h = 0; h < heads; ++h) {
                const lane s = v_set1(d_score[h]);
                sum[h] = LANE_MLA(s, k, sum[h]);
                d_k = LANE_MLA(s, x[h], d_k);
                d_v = LANE_MLA(v_set1(weight[h]), g[h], d_v);
            }
            v_store(j->d_k + row, d_k);
            v_store(j->d_v + row, d_v);
        }
        LANE_UNROLL
        for (int h = 0; h < heads; ++h) {
            v_store(d_q + (size_t)h * dim + d, sum[h]);
        }
    }
}

LANE_INLINE void lane_heads(lane_job *j, const float *q, const float *d_out, float *d_q, int heads) {
    j->whole = (j->n + (size_t)(LANES / heads) - 1) / (size_t)(LANES / heads) * (size_t)(LANES / heads);
    lane_dots(j, q, j->k, j->weight, heads);
    lane_dots(j, d_out, j->v, j->d_score, heads);
    lane_softmax(j, heads);
    lane_spread(j, q, d_out, d_q, heads);
}

/* Lists what query i sees; the list is filled up with its first row. */
static size_t lane_list(const aether_gradient *job, const aether_panel *at, size_t i, aether_row *row, size_t *index) {
    size_t n = 0, j;
    aether_pattern_row(&job->head->config, job->tokens, i, row);
    for (j = 0; j < row->n_below; ++j) {
        index[n++] = (size_t)row->singles[j] * at->dim;
    }
    for (j = (size_t)row->lo; j <= (size_t)row->hi; ++j) {
        index[n++] = j * at->dim;
    }
    for (j = 0; j < row->n_above; ++j) {
        index[n++] = (size_t)row->singles[row->n_below + j] * at->dim;
    }
    for (j = 0; j < row->n_blocks; ++j) {
        const unsigned level = row->levels[j];
        index[n++] = (job->tokens + aether_pyramid_tree(at->blocks, level) + (size_t)(row->blocks[j] >> level)) * at->dim;
    }
    for (j = n; j % LANES != 0; ++j) {
        index[j] = index[0];
    }
    return n;
}

static void lane_rows(const aether_gradient *job, const aether_panel *at, size_t kv, const float *panel, size_t first,
                      size_t count, float *sums, unsigned char *scratch) {
    const aether_config *config = &job->head->config;
    const size_t dim = config->head_dim, group = config->q_heads / config->kv_heads;
    const size_t step = (size_t)config->q_heads * dim, column = kv * group * dim;
    float *const q = (float *)(void *)(scratch + at->q);
    float *const d_out = (float *)(void *)(scratch + at->d_out);
    float *const d_q = (float *)(void *)(scratch + at->d_q);
    aether_row row;
    lane_job j;
    row.singles = (uint64_t *)(void *)(scratch + at->singles);
    row.blocks = (uint64_t *)(void *)(scratch + at->block_list);
    row.levels = scratch + at->level_list;
    j.sizes = aether_is_pyramid(config) ? (float *)(void *)(scratch + at->sizes) : NULL;
    j.at = at;
    j.k = panel;
    j.v = panel + at->values;
    j.d_k = sums;
    j.d_v = sums + at->values;
    j.index = (size_t *)(void *)(scratch + at->index);
    j.weight = (float *)(void *)(scratch + at->weight);
    j.d_score = (float *)(void *)(scratch + at->d_score);
    j.scale = job->head->scale;
    memset(q, 0, group * at->dim * sizeof(float));
    memset(d_out, 0, group * at->dim * sizeof(float));
    for (size_t i = first; i < first + count; ++i) {
        const size_t from = i * step + column;
        size_t h = 0;
        for (size_t g = 0; g < group; ++g) {
            memcpy(q + g * at->dim, job->q + from + g * dim, dim * sizeof(float));
            memcpy(d_out + g * at->dim, job->d_out + from + g * dim, dim * sizeof(float));
        }
        j.n = lane_list(job, at, i, &row, j.index);
        j.n_tokens = j.n - row.n_blocks;
        if (j.sizes != NULL) {
            aether_candidates_weigh(config, &row, j.sizes);
        }
        while (h < group) {
            const size_t place = h * at->dim;
            if (LANES >= 4 && group - h >= 4) {
                lane_heads(&j, q + place, d_out + place, d_q + place, LANES >= 4 ? 4 : 1);
                h += 4;
            } else if (LANES >= 2 && group - h >= 2) {
                lane_heads(&j, q + place, d_out + place, d_q + place, LANES >= 2 ? 2 : 1);
                h += 2;
            } else {
                lane_heads(&j, q + place, d_out + place, d_q + place, 1);
                h += 1;
            }
        }
        for (size_t g = 0; g < group; ++g) {
            memcpy(job->d_q + from + g * dim, d_q + g * at->dim, dim * sizeof(float));
        }
    }
}

#define GRADIENT_KERNEL(NAME) const aether_gradient_kernel aether_gradient_##NAME = {#NAME, LANES, lane_rows}
