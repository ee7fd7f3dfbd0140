/* One query position over rows given by pointers: a step of a stream. Scores have keys in lanes (rows are transposed in
   registers), sums have output dims in lanes. Include after lane_numeric.h. */

#define QUERY_HEADS 4 /* query heads worked on together */

/* `part` (1 .. LANES) elements of a row; the other lanes +0. */
LANE_INLINE lane lane_row(const void *row, size_t d, size_t part, int half) {
    if (half) {
        const uint16_t *p = (const uint16_t *)row + d;
        return part == LANES ? v_load_half(p) : v_load_half_part(p, part);
    }
    const float *p = (const float *)row + d;
    return part == LANES ? v_load(p) : v_load_part(p, part);
}

/* Adds dims d .. d+part-1 of rows first .. first+LANES-1, kept inside begin..end-1, to the dot products of `heads` heads.
   Constants where called: heads, half, and part when it is LANES. */
LANE_INLINE void lane_query_dims(const aether_query *job, const float *q, size_t first, size_t begin, size_t end,
                                  size_t d, size_t part, int heads, int half, lane acc[QUERY_HEADS]) {
    lane x[LANES];
    LANE_UNROLL
    for (size_t l = 0; l < LANES; ++l) {
        const size_t j = first + l < begin ? begin : first + l;
        x[l] = lane_row(job->keys[j < end ? j : end - 1], d, part, half);
    }
    v_transpose(x);
    LANE_UNROLL
    for (size_t e = 0; e < LANES; ++e) {
        if (e >= part) {
            break;
        }
        LANE_UNROLL
        for (int g = 0; g < heads; ++g) {
            acc[g] = v_add(acc[g], v_mul(v_set1(q[(size_t)g * job->dim + d + e]), x[e]));
        }
    }
}

/* Dot products with LANES rows of one type, added to acc. */
LANE_INLINE void lane_query_dots(const aether_query *job, const float *q, size_t first, size_t begin, size_t end,
                                  int heads, int half, lane acc[QUERY_HEADS]) {
    size_t d = 0;
    for (; d + LANES <= job->dim; d += LANES) {
        lane_query_dims(job, q, first, begin, end, d, LANES, heads, half, acc);
    }
    if (d < job->dim) {
        lane_query_dims(job, q, first, begin, end, d, job->dim - d, heads, half, acc);
    }
}

/* Room for the scores of one head, in whole vectors. */
LANE_INLINE float *lane_query_scores_at(const aether_query *job, size_t h) {
    return job->scores + h * ((job->n + LANES - 1) / LANES * LANES);
}

/* Scores of `heads` query heads from h on; the first n_half rows are halves. What is left of the last vector repeats the last
   score. */
LANE_INLINE void lane_query_scores(const aether_query *job, size_t h, int heads, size_t n_half) {
    const lane scale = v_set1(job->scale);
    const float *q = job->q + h * job->dim;
    for (size_t first = 0; first < job->n; first += LANES) {
        lane acc[QUERY_HEADS], wide[QUERY_HEADS];
        LANE_UNROLL
        for (int g = 0; g < heads; ++g) {
            acc[g] = wide[g] = v_zero();
        }
        if (first < n_half) {
            lane_query_dots(job, q, first, 0, n_half, heads, 1, acc);
        }
        if (n_half < job->n && first + LANES > n_half) {
            const uint32_t halves = first < n_half ? (1u << (n_half - first)) - 1u : 0;
            lane_query_dots(job, q, first, n_half, job->n, heads, 0, wide);
            LANE_UNROLL
            for (int g = 0; g < heads; ++g) {
                acc[g] = v_choose(halves, acc[g], wide[g]);
            }
        }
        LANE_UNROLL
        for (int g = 0; g < heads; ++g) {
            v_store(lane_query_scores_at(job, h + (size_t)g) + first, v_mul(acc[g], scale));
        }
    }
}

/* Scores of one head to weights; what stands past n is the last score again. */
LANE_INLINE void lane_query_weights(const aether_query *job, float *s) {
    const size_t n = job->n;
    float part[LANES];
    lane most = v_load(s);
    for (size_t j = LANES; j < n; j += LANES) {
        most = v_max(most, v_load(s + j));
    }
    v_store(part, most);
    float m = part[0];
    LANE_UNROLL
    for (size_t l = 1; l < LANES; ++l) {
        m = part[l] > m ? part[l] : m;
    }
    most = v_set1(m);
    for (size_t j = 0; j < n; j += LANES) {
        v_store(s + j, v_exp(v_sub(v_load(s + j), most)));
    }
    for (size_t j = job->n_stored; job->sizes != NULL && j < n; ++j) {
        s[j] = job->sizes[j - job->n_stored] * s[j];
    }
}

/* Output dims d .. of `heads` heads: `vectors` whole vectors, or the last `part` dims. */
LANE_INLINE void lane_query_values(const aether_query *job, size_t h, const float *r, size_t d, int heads,
                                    int vectors, size_t part, size_t n_half) {
    const float *weights = lane_query_scores_at(job, h);
    const size_t stride = (size_t)(lane_query_scores_at(job, h + 1) - weights);
    lane acc[2 * QUERY_HEADS];
    LANE_UNROLL
    for (int a = 0; a < heads * vectors; ++a) {
        acc[a] = v_zero();
    }
    for (size_t j = 0; j < job->n; ++j) {
        lane x[2];
        LANE_UNROLL
        for (int v = 0; v < vectors; ++v) {
            x[v] = j < n_half ? lane_row(job->values[j], d + (size_t)(LANES * v), part, 1)
                              : lane_row(job->values[j], d + (size_t)(LANES * v), part, 0);
        }
        LANE_UNROLL
        for (int g = 0; g < heads; ++g) {
            const lane w = v_set1(weights[(size_t)g * stride + j]);
            LANE_UNROLL
            for (int v = 0; v < vectors; ++v) {
                acc[g * vectors + v] = v_add(acc[g * vectors + v], v_mul(w, x[v]));
            }
        }
    }
    LANE_UNROLL
    for (int g = 0; g < heads; ++g) {
        LANE_UNROLL
        for (int v = 0; v < vectors; ++v) {
            float *to = job->out + (h + (size_t)g) * job->dim + d + LANES * v;
            const lane o = v_mul(acc[g * vectors + v], v_set1(r[g]));
            if (part == LANES) {
                v_store(to, o);
            } else {
                v_store_part(to, o, part);
            }
        }
    }
}

LANE_INLINE void lane_query_heads(const aether_query *job, size_t h, int heads) {
    const size_t n_half = job->stored == AETHER_BINARY16 ? job->n_stored : 0;
    float r[QUERY_HEADS];
    lane_query_scores(job, h, heads, n_half);
    LANE_UNROLL
    for (int g = 0; g < heads; ++g) {
        lane_query_weights(job, lane_query_scores_at(job, h + (size_t)g));
    }
    LANE_UNROLL
    for (int g = 0; g < heads; ++g) {
        r[g] = 0.0f;
    }
    for (size_t j = 0; j < job->n; ++j) {
        LANE_UNROLL
        for (int g = 0; g < heads; ++g) {
            r[g] += lane_query_scores_at(job, h + (size_t)g)[j];
        }
    }
    LANE_UNROLL
    for (int g = 0; g < heads; ++g) {
        r[g] = 1.0f / r[g];
    }
    size_t d = 0;
    for (; d + 2 * LANES <= job->dim; d += 2 * LANES) {
        lane_query_values(job, h, r, d, heads, 2, LANES, n_half);
    }
    for (; d + LANES <= job->dim; d += LANES) {
        lane_query_values(job, h, r, d, heads, 1, LANES, n_half);
    }
    if (d < job->dim) {
        lane_query_values(job, h, r, d, heads, 1, job->dim - d, n_half);
    }
}

static void lane_attend_query(const aether_query *job) {
    size_t h = 0;
    for (; h + QUERY_HEADS <= job->group; h += QUERY_HEADS) {
        lane_query_heads(job, h, QUERY_HEADS);
    }
    for (; h < job->group; ++h) {
        lane_query_heads(job, h, 1);
    }
}
