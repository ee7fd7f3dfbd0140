/* One query position over rows given by pointers: four query heads at a time, so that a row is loaded, and widened, once for all
   of them. Their scores, later weights, stand together: [n][HEADS]. */
#ifndef AETHER_SCALAR_QUERY_H
#define AETHER_SCALAR_QUERY_H

#include "../exp.h"
#include "../fpenv.h"
#include "scalar_half.h"
#include "variants.h"

#define HEADS 4
#define MOST_SCALED 65535u /* rows whose weights, none above 1, have a finite sum when each is times 2^112 */

/* Adds the products of `dims` dims of `rows` rows with the queries q [dims][HEADS] to sum [rows][HEADS]. `first`: the sums begin
   with their first product, which is what +0 and it would give, but for the sign of a zero, which no weight notices. Constants where
   called: dims, rows (1 or 2), half, first. */
INLINE void add_scores(float *sum, const float *q, const void *x, const void *y, size_t dims, size_t rows, int half,
                       int first) {
    size_t d, h;
    UNROLL
    for (d = 0; d < dims; d++) {
        const float k = element(x, d, half);
        const float l = rows == 2 ? element(y, d, half) : 0.0f;
        UNROLL
        for (h = 0; h < HEADS; h++) {
            const float each = q[HEADS * d + h];
            const int begins = first && d == 0;
            sum[h] = begins ? each * k : sum[h] + each * k;
            if (rows == 2) {
                sum[HEADS + h] = begins ? each * l : sum[HEADS + h] + each * l;
            }
        }
    }
}

/* Scores of n rows with the heads whose query stands in query [dim][HEADS], two rows at a time. Sums begin with a product where rows
   are binary32 and have eight dims: for binary16 that would be more code than it saves. Constant where called: half. */
INLINE void scores(const float *query, size_t dim, const void *const *rows, size_t n, float scale, float *s, int half) {
    const float *const end = query + HEADS * dim;
    const float *const end_8 = query + HEADS * (dim & ~(size_t)7);
    const void *const *const end_rows = rows + (n & ~(size_t)1);
    size_t i;
    for (; rows != end_rows; rows += 2, s += 2 * HEADS) {
        const void *x = rows[0], *y = rows[1];
        const float *q = query;
        float sum[2 * HEADS];
        if (!half && q != end_8) {
            add_scores(sum, q, x, y, 8, 2, half, 1);
            q += 8 * HEADS, x = later(x, 8, half), y = later(y, 8, half);
        } else {
            UNROLL
            for (i = 0; i < 2 * HEADS; i++) {
                sum[i] = 0.0f;
            }
        }
        for (; q != end_8; q += 8 * HEADS, x = later(x, 8, half), y = later(y, 8, half)) {
            add_scores(sum, q, x, y, 8, 2, half, 0);
        }
        for (; q != end; q += HEADS, x = later(x, 1, half), y = later(y, 1, half)) {
            add_scores(sum, q, x, y, 1, 2, half, 0);
        }
        UNROLL
        for (i = 0; i < 2 * HEADS; i++) {
            s[i] = sum[i] * scale;
        }
    }
    if ((n & 1) != 0) {
        const void *x = *rows;
        const float *q = query;
        float sum[HEADS] = {0.0f, 0.0f, 0.0f, 0.0f};
        for (; q != end_8; q += 2 * HEADS, x = later(x, 2, half)) {
            add_scores(sum, q, x, NULL, 2, 1, half, 0);
        }
        for (; q != end; q += HEADS, x = later(x, 1, half)) {
            add_scores(sum, q, x, NULL, 1, 1, half, 0);
        }
        UNROLL
        for (i = 0; i < HEADS; i++) {
            s[i] = sum[i] * scale;
        }
    }
}

/* The largest score of each of four heads. */
static AETHER_NOINLINE void greatest_4(const float *s, size_t n, float most[HEADS]) {
    const float *const end = s + HEADS * n;
    float a[HEADS];
    size_t h;
    UNROLL
    for (h = 0; h < HEADS; h++) {
        a[h] = s[h];
    }
    for (s += HEADS; s != end; s += HEADS) {
        UNROLL
        for (h = 0; h < HEADS; h++) {
            if (EXPECT(s[h] > a[h], 0)) {
                a[h] = s[h];
            }
        }
    }
    UNROLL
    for (h = 0; h < HEADS; h++) {
        most[h] = a[h];
    }
}

static float greatest(const float *s, size_t n) {
    float most = *s;
    for (; n > 1; n--) {
        s++;
        if (EXPECT(*s > most, 0)) {
            most = *s;
        }
    }
    return most;
}

/* n scores of one head, `step` apart, to weights in place, all of them times a power of two (exp.h). Adds them to sum. */
static AETHER_NOINLINE float weights(float *s, size_t step, size_t n, float most, float magic, float sum) {
    for (; n > 0; n--, s += step) {
        const float x = *s - most;
        aether_word w = {0.0f}; /* which no sum notices */
        if (!EXPECT(x < AETHER_EXP_CUT, 0)) {
            w.value = aether_exp_scaled(x, magic);
            sum = sum + w.value;
        }
        ((aether_word *)(void *)s)->bits = w.bits;
    }
    return sum;
}

/* The same for rows that stand for several tokens each. */
static AETHER_NOINLINE float sized_weights(float *s, size_t step, const float *sizes, size_t n, float most, float sum) {
    (void)weights(s, step, n, most, AETHER_EXP_MAGIC, 0.0f);
    for (; n > 0; n--, s += step, sizes++) {
        *s = *sizes * *s;
        sum = sum + *s;
    }
    return sum;
}

/* Scores of one head to weights, those of the first n_half rows times 2^112; 1 / their sum. Weights are normal or zero, and at most
   MOST_SCALED are scaled: their sum is finite, and rounds as that of the weights themselves. */
static float softmax(const aether_query *job, float *s, size_t step, size_t n_half, float most) {
    const size_t n = job->sizes != NULL ? job->n_stored : job->n;
    float sum = 0.0f;
    if (n_half > 0) {
        sum = weights(s, step, n_half, most, AETHER_EXP_MAGIC + 112.0f, 0.0f) * 0x1p-112f;
    }
    if (n_half < n) {
        sum = weights(s + n_half * step, step, n - n_half, most, AETHER_EXP_MAGIC, sum);
    }
    if (n < job->n) {
        sum = sized_weights(s + n * step, step, job->sizes, job->n - n, most, sum);
    }
    return 1.0f / sum;
}

/* Adds one row's share of dims d .. d+dims-1 to sum [heads][dims]; weight [heads]. `first` as above. Constants where called: dims,
   heads, half, first. */
INLINE void add_values(float *sum, const void *row, size_t d, const float *weight, size_t dims, size_t heads, int half,
                       int first) {
    const void *const p = later(row, d, half);
    float w[HEADS];
    size_t h, e;
    UNROLL
    for (h = 0; h < heads; h++) {
        w[h] = weight[h];
    }
    UNROLL
    for (e = 0; e < dims; e++) {
        const float x = element(p, e, half);
        UNROLL
        for (h = 0; h < heads; h++) {
            sum[h * dims + e] = first ? w[h] * x : sum[h * dims + e] + w[h] * x;
        }
    }
}

/* Dims d and d+1 of four heads: out [HEADS][dim]. */
static void values_2(const aether_query *job, size_t n_half, size_t d, const float scale[HEADS], float *out) {
    const void *const *rows = job->values;
    const void *const *const end_8 = rows + (n_half & ~(size_t)7);
    const void *const *const end_half = rows + n_half;
    const void *const *const end = rows + job->n;
    const float *weight = job->scores;
    float sum[2 * HEADS];
    size_t i;
    UNROLL
    for (i = 0; i < 2 * HEADS; i++) {
        sum[i] = 0.0f;
    }
    for (; rows != end_8; rows += 8, weight += 8 * HEADS) {
        UNROLL
        for (i = 0; i < 8; i++) {
            add_values(sum, rows[i], d, weight + HEADS * i, 2, HEADS, 1, 0);
        }
    }
    for (; rows != end_half; rows++, weight += HEADS) {
        add_values(sum, *rows, d, weight, 2, HEADS, 1, 0);
    }
    for (; end - rows >= 2; rows += 2, weight += 2 * HEADS) { /* block means, or what values_6 leaves */
        add_values(sum, rows[0], d, weight, 2, HEADS, 0, 0);
        add_values(sum, rows[1], d, weight + HEADS, 2, HEADS, 0, 0);
    }
    if (rows != end) {
        add_values(sum, *rows, d, weight, 2, HEADS, 0, 0);
    }
    out += d;
    UNROLL
    for (i = 0; i < HEADS; i++, out += job->dim) {
        out[0] = sum[2 * i] * scale[i];
        out[1] = sum[2 * i + 1] * scale[i];
    }
}

/* Dims d .. d+5 of heads h and h+1 of the four, all rows binary32. */
static void values_6(const aether_query *job, size_t h, size_t d, const float scale[HEADS], float *out) {
    const void *const *rows = job->values;
    const void *const *const end = rows + job->n, *const *const end_8 = rows + 1 + ((job->n - 1) & ~(size_t)7);
    const float *weight = job->scores + h;
    float sum[2 * 6];
    size_t i, e;
    add_values(sum, *rows, d, weight, 6, 2, 0, 1);
    for (rows++, weight += HEADS; rows != end_8; rows += 8, weight += 8 * HEADS) {
        UNROLL
        for (i = 0; i < 8; i++) {
            add_values(sum, rows[i], d, weight + HEADS * i, 6, 2, 0, 0);
        }
    }
    for (; rows != end; rows++, weight += HEADS) {
        add_values(sum, *rows, d, weight, 6, 2, 0, 0);
    }
    out += h * job->dim + d;
    UNROLL
    for (i = 0; i < 2; i++, out += job->dim) {
        UNROLL
        for (e = 0; e < 6; e++) {
            out[e] = (sum[6 * i + e] + 0.0f) * scale[h + i]; /* + 0: as if the sum had begun with +0, where all products are -0 */
        }
    }
}

/* One dim of one head whose weights stand `step` apart. */
static float value_1(const aether_query *job, size_t n_half, const float *weight, size_t step, size_t d) {
    float a = 0.0f;
    size_t j;
    for (j = 0; j < n_half; j++, weight += step) {
        a = a + *weight * element(job->values[j], d, 1);
    }
    for (; j < job->n; j++, weight += step) {
        a = a + *weight * element(job->values[j], d, 0);
    }
    return a;
}

/* q [HEADS][dim] as query [dim][HEADS], each value as it is multiplied; they do not overlap. Constant where called: half. */
INLINE void interleave(const float *q, size_t dim, float *to, int half) {
    const float *const end = q + dim, *const end_4 = q + (dim & ~(size_t)3);
    size_t i, h;
    for (; q != end_4; q += 4) {
        UNROLL
        for (i = 0; i < 4; i++, to += HEADS) {
            UNROLL
            for (h = 0; h < HEADS; h++) {
                to[h] = factor(q[h * dim + i], half);
            }
        }
    }
    for (; q != end; q++, to += HEADS) {
        UNROLL
        for (h = 0; h < HEADS; h++) {
            to[h] = factor(q[h * dim], half);
        }
    }
}

/* Heads h .. h+3. Until their scores are made, their output holds their query. */
static void attend_4(const aether_query *job, size_t h, size_t n_half) {
    const float *q = job->q + h * job->dim;
    float *out = job->out + h * job->dim;
    float most[HEADS], scale[HEADS];
    size_t i, d;
    if (n_half > 0) {
        interleave(q, job->dim, out, 1);
        scores(out, job->dim, job->keys, n_half, job->scale, job->scores, 1);
    }
    if (n_half < job->n) {
        interleave(q, job->dim, out, 0);
        scores(out, job->dim, job->keys + n_half, job->n - n_half, job->scale, job->scores + n_half * HEADS, 0);
    }
    greatest_4(job->scores, job->n, most);
    for (i = 0; i < HEADS; i++) {
        scale[i] = softmax(job, job->scores + i, HEADS, n_half, most[i]);
    }
    for (d = 0; n_half == 0 && d + 6 <= job->dim; d += 6) {
        values_6(job, 0, d, scale, out);
        values_6(job, 2, d, scale, out);
    }
    for (; d + 2 <= job->dim; d += 2) {
        values_2(job, n_half, d, scale, out);
    }
    for (i = 0; i < HEADS && d < job->dim; i++) {
        out[i * job->dim + d] = value_1(job, n_half, job->scores + i, HEADS, d) * scale[i];
    }
}

/* Constant where called: half. */
INLINE float dot(const float *q, const void *k, size_t n, int half) {
    float a = 0.0f;
    size_t d;
    for (d = 0; d < n; d++) {
        a = a + factor(q[d], half) * element(k, d, half);
    }
    return a;
}

static void attend_1(const aether_query *job, size_t h, size_t n_half) {
    const float *q = job->q + h * job->dim;
    float *out = job->out + h * job->dim;
    float scale;
    size_t j, d;
    for (j = 0; j < n_half; j++) {
        job->scores[j] = dot(q, job->keys[j], job->dim, 1) * job->scale;
    }
    for (; j < job->n; j++) {
        job->scores[j] = dot(q, job->keys[j], job->dim, 0) * job->scale;
    }
    scale = softmax(job, job->scores, 1, n_half, greatest(job->scores, job->n));
    for (d = 0; d < job->dim; d++) {
        out[d] = value_1(job, n_half, job->scores, 1, d) * scale;
    }
}

static void attend_query(const aether_query *job) {
    const size_t n_half = job->stored == AETHER_BINARY16 ? job->n_stored : 0;
    size_t h = 0;
    if (n_half > 0 && (n_half > MOST_SCALED || !scalar_can_scale(job->q, job->group * job->dim))) {
        aether_portable_attend_query(job);
        return;
    }
    for (; h + HEADS <= job->group; h += HEADS) {
        attend_4(job, h, n_half);
    }
    for (; h < job->group; h++) {
        attend_1(job, h, n_half);
    }
}

#endif
