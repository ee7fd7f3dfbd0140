/* One query position over rows given by pointers: four query heads at a time, so that a row is loaded, and widened, once for all
   of them. Their scores, later weights, stand together: [n][HEADS]. Included by scalar.c. */

#include "../exp.h"
#include "../fpenv.h"
#include "scalar_half.h"
#include "scalar_hints.h"
#include "variants.h"

#define HEADS 4u
#define MOST_SCALED 65535u /* rows whose weights, none above 1, have a finite sum when each is times 2^112 */

/* A sum begins with its first product: what +0 and it would give, but for the sign of a zero, which no weight notices. */
#define FIRST(a, product) a = product
#define NEXT(a, product) a = a + product

/* One dim of one row (x) and four heads (q). */
#define SCORES_1(sum, d, widened)                       \
    do {                                                \
        const float k = widened(x[d]);                  \
        sum(a0, q[HEADS * (d)] * k);                    \
        sum(a1, q[HEADS * (d) + 1] * k);                \
        sum(a2, q[HEADS * (d) + 2] * k);                \
        sum(a3, q[HEADS * (d) + 3] * k);                \
    } while (0)

/* The same of two rows (x, y). */
#define SCORES_2(sum, d, widened)             \
    do {                                      \
        const float k = widened(x[d]);        \
        const float l = widened(y[d]);        \
        float each = q[HEADS * (d)];          \
        sum(a0, each * k);                    \
        sum(b0, each * l);                    \
        each = q[HEADS * (d) + 1];            \
        sum(a1, each * k);                    \
        sum(b1, each * l);                    \
        each = q[HEADS * (d) + 2];            \
        sum(a2, each * k);                    \
        sum(b2, each * l);                    \
        each = q[HEADS * (d) + 3];            \
        sum(a3, each * k);                    \
        sum(b3, each * l);                    \
    } while (0)

#define SCORES_8(sum, widened)      \
    do {                            \
        SCORES_2(sum, 0, widened);  \
        SCORES_2(NEXT, 1, widened); \
        SCORES_2(NEXT, 2, widened); \
        SCORES_2(NEXT, 3, widened); \
        SCORES_2(NEXT, 4, widened); \
        SCORES_2(NEXT, 5, widened); \
        SCORES_2(NEXT, 6, widened); \
        SCORES_2(NEXT, 7, widened); \
    } while (0)

/* Scores of n rows with the heads whose query stands in query [dim][HEADS], two rows at a time. Sums begin with a product where
   rows are binary32 and have eight dims: for binary16 that would be more code than it saves. */
#define SCORES(name, type, widened)                                                                                \
    static void name(const float *query, size_t dim, const void *const *rows, size_t n, float scale, float *s) {   \
        const float *const end = query + HEADS * dim;                                                              \
        const float *const end_8 = query + HEADS * (dim & ~(size_t)7);                                             \
        const void *const *const end_rows = rows + (n & ~(size_t)1);                                               \
        for (; rows != end_rows; rows += 2, s += 2 * HEADS) {                                                      \
            const type *x = rows[0], *y = rows[1];                                                                 \
            const float *q = query;                                                                                \
            float a0, a1, a2, a3, b0, b1, b2, b3;                                                                  \
            if (sizeof(type) == sizeof(float) && q != end_8) {                                                     \
                SCORES_8(FIRST, widened);                                                                          \
                q += 8 * HEADS, x += 8, y += 8;                                                                    \
            } else {                                                                                               \
                a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = 0.0f;                                                      \
            }                                                                                                      \
            for (; q != end_8; q += 8 * HEADS, x += 8, y += 8) {                                                   \
                SCORES_8(NEXT, widened);                                                                           \
            }                                                                                                      \
            for (; q != end; q += HEADS, x++, y++) {                                                               \
                SCORES_2(NEXT, 0, widened);                                                                        \
            }                                                                                                      \
            s[0] = a0 * scale, s[1] = a1 * scale, s[2] = a2 * scale, s[3] = a3 * scale;                            \
            s[4] = b0 * scale, s[5] = b1 * scale, s[6] = b2 * scale, s[7] = b3 * scale;                            \
        }                                                                                                          \
        if ((n & 1) != 0) {                                                                                        \
            const type *x = *rows;                                                                                 \
            const float *q = query;                                                                                \
            float a0 = 0.0f, a1 = 0.0f, a2 = 0.0f, a3 = 0.0f;                                                      \
            for (; q != end_8; q += 2 * HEADS, x += 2) {                                                           \
                SCORES_1(NEXT, 0, widened);                                                                        \
                SCORES_1(NEXT, 1, widened);                                                                        \
            }                                                                                                      \
            for (; q != end; q += HEADS, x++) {                                                                    \
                SCORES_1(NEXT, 0, widened);                                                                        \
            }                                                                                                      \
            s[0] = a0 * scale, s[1] = a1 * scale, s[2] = a2 * scale, s[3] = a3 * scale;                            \
        }                                                                                                          \
    }

SCORES(scores_half, int16_t, HALF)
SCORES(scores_single, float, SINGLE)

#define LARGER_SCORE(most, x)    \
    do {                         \
        if (RARELY((x) > most)) { \
            most = (x);          \
        }                        \
    } while (0)

/* The largest score of each of four heads. */
static AETHER_NOINLINE void greatest_4(const float *s, size_t n, float most[HEADS]) {
    const float *const end = s + HEADS * n;
    float a = s[0], b = s[1], c = s[2], d = s[3];
    for (s += HEADS; s != end; s += HEADS) {
        LARGER_SCORE(a, s[0]);
        LARGER_SCORE(b, s[1]);
        LARGER_SCORE(c, s[2]);
        LARGER_SCORE(d, s[3]);
    }
    most[0] = a, most[1] = b, most[2] = c, most[3] = d;
}

static float greatest(const float *s, size_t n) {
    float most = *s;
    for (; n > 1; n--) {
        s++;
        LARGER_SCORE(most, *s);
    }
    return most;
}

/* n scores of one head, `step` apart, to weights in place, all of them times a power of two (exp.h). Adds them to sum. */
static AETHER_NOINLINE float weights(float *s, size_t step, size_t n, float most, float magic, float sum) {
    for (; n > 0; n--, s += step) {
        const float x = *s - most;
        aether_word w = {0.0f}; /* which no sum notices */
        if (!RARELY(x < AETHER_EXP_CUT)) {
            w.value = aether_exp_scaled(x, magic);
            sum = sum + w.value;
        }
        ((aether_word *)(void *)s)->bits = w.bits;
    }
    return sum;
}

/* Scores of one head to weights, those of the first n_half rows times 2^112; 1 / their sum. Weights are normal or zero, and at most
   MOST_SCALED are scaled: their sum is finite, and rounds as that of the weights themselves. */
static float softmax(float *s, size_t step, size_t n, size_t n_half, float most) {
    float sum = 0.0f;
    if (n_half > 0) {
        sum = weights(s, step, n_half, most, AETHER_EXP_MAGIC + 112.0f, 0.0f) * 0x1p-112f;
    }
    if (n_half < n) {
        sum = weights(s + n_half * step, step, n - n_half, most, AETHER_EXP_MAGIC, sum);
    }
    return 1.0f / sum;
}

/* Two dims of one row, with the weights of four heads. */
#define VALUES_ROW(i, type, widened)                          \
    do {                                                      \
        const type *const p = (const type *)rows[i] + d;      \
        const float x = widened(p[0]), y = widened(p[1]);     \
        float w = weight[HEADS * (i)];                        \
        a0 = a0 + w * x;                                      \
        b0 = b0 + w * y;                                      \
        w = weight[HEADS * (i) + 1];                          \
        a1 = a1 + w * x;                                      \
        b1 = b1 + w * y;                                      \
        w = weight[HEADS * (i) + 2];                          \
        a2 = a2 + w * x;                                      \
        b2 = b2 + w * y;                                      \
        w = weight[HEADS * (i) + 3];                          \
        a3 = a3 + w * x;                                      \
        b3 = b3 + w * y;                                      \
    } while (0)

#define VALUES_ROW_8(type, widened) \
    VALUES_ROW(0, type, widened);   \
    VALUES_ROW(1, type, widened);   \
    VALUES_ROW(2, type, widened);   \
    VALUES_ROW(3, type, widened);   \
    VALUES_ROW(4, type, widened);   \
    VALUES_ROW(5, type, widened);   \
    VALUES_ROW(6, type, widened);   \
    VALUES_ROW(7, type, widened)

/* Dims d and d+1 of four heads: out [HEADS][dim]. */
static void values_2(const aether_query *job, size_t n_half, size_t d, const float scale[HEADS], float *out) {
    const void *const *rows = job->values;
    const void *const *const end_8 = rows + (n_half & ~(size_t)7);
    const void *const *const end_half = rows + n_half;
    const void *const *const end = rows + job->n;
    const float *weight = job->scores;
    float a0 = 0.0f, a1 = 0.0f, a2 = 0.0f, a3 = 0.0f, b0 = 0.0f, b1 = 0.0f, b2 = 0.0f, b3 = 0.0f;
    for (; rows != end_8; rows += 8, weight += 8 * HEADS) {
        VALUES_ROW_8(int16_t, HALF);
    }
    for (; rows != end_half; rows++, weight += HEADS) {
        VALUES_ROW(0, int16_t, HALF);
    }
    for (; end - rows >= 2; rows += 2, weight += 2 * HEADS) { /* block means, or what values_6 leaves */
        VALUES_ROW(0, float, SINGLE);
        VALUES_ROW(1, float, SINGLE);
    }
    if (rows != end) {
        VALUES_ROW(0, float, SINGLE);
    }
    out += d;
    out[0] = a0 * scale[0], out[1] = b0 * scale[0];
    out += job->dim;
    out[0] = a1 * scale[1], out[1] = b1 * scale[1];
    out += job->dim;
    out[0] = a2 * scale[2], out[1] = b2 * scale[2];
    out += job->dim;
    out[0] = a3 * scale[3], out[1] = b3 * scale[3];
}

/* One row's share of dims d .. d+5 of two heads: each value is needed no longer than it takes both to use it. */
#define VALUES_6(sum, i)                                                      \
    do {                                                                      \
        const float *const p = (const float *)rows[i] + d;                    \
        const float w = weight[HEADS * (i)], v = weight[HEADS * (i) + 1];     \
        float x = p[0];                                                       \
        sum(a0, w * x), sum(b0, v * x), x = p[1];                             \
        sum(a1, w * x), sum(b1, v * x), x = p[2];                             \
        sum(a2, w * x), sum(b2, v * x), x = p[3];                             \
        sum(a3, w * x), sum(b3, v * x), x = p[4];                             \
        sum(a4, w * x), sum(b4, v * x), x = p[5];                             \
        sum(a5, w * x), sum(b5, v * x);                                       \
    } while (0)

/* A sum that began with a product, as if it had begun with +0: where all products are -0 it is not. */
#define FROM_ZERO(a) ((a) + 0.0f)

/* Dims d .. d+5 of heads h and h+1 of the four, all rows binary32. */
static void values_6(const aether_query *job, size_t h, size_t d, const float scale[HEADS], float *out) {
    const void *const *rows = job->values;
    const void *const *const end = rows + job->n, *const *const end_8 = rows + 1 + ((job->n - 1) & ~(size_t)7);
    const float *weight = job->scores + h;
    float a0, a1, a2, a3, a4, a5, b0, b1, b2, b3, b4, b5;
    VALUES_6(FIRST, 0);
    for (rows++, weight += HEADS; rows != end_8; rows += 8, weight += 8 * HEADS) {
        VALUES_6(NEXT, 0);
        VALUES_6(NEXT, 1);
        VALUES_6(NEXT, 2);
        VALUES_6(NEXT, 3);
        VALUES_6(NEXT, 4);
        VALUES_6(NEXT, 5);
        VALUES_6(NEXT, 6);
        VALUES_6(NEXT, 7);
    }
    for (; rows != end; rows++, weight += HEADS) {
        VALUES_6(NEXT, 0);
    }
    out += h * job->dim + d;
    out[0] = FROM_ZERO(a0) * scale[h], out[1] = FROM_ZERO(a1) * scale[h], out[2] = FROM_ZERO(a2) * scale[h];
    out[3] = FROM_ZERO(a3) * scale[h], out[4] = FROM_ZERO(a4) * scale[h], out[5] = FROM_ZERO(a5) * scale[h];
    out += job->dim;
    h++;
    out[0] = FROM_ZERO(b0) * scale[h], out[1] = FROM_ZERO(b1) * scale[h], out[2] = FROM_ZERO(b2) * scale[h];
    out[3] = FROM_ZERO(b3) * scale[h], out[4] = FROM_ZERO(b4) * scale[h], out[5] = FROM_ZERO(b5) * scale[h];
}

/* One dim of one head whose weights stand `step` apart. */
static float value_1(const aether_query *job, size_t n_half, const float *weight, size_t step, size_t d) {
    float a = 0.0f;
    size_t j;
    for (j = 0; j < n_half; j++, weight += step) {
        a = a + *weight * HALF(((const int16_t *)job->values[j])[d]);
    }
    for (; j < job->n; j++, weight += step) {
        a = a + *weight * ((const float *)job->values[j])[d];
    }
    return a;
}

/* q [HEADS][dim] as query [dim][HEADS], each value as it is multiplied; they do not overlap. */
#define INTERLEAVE_ROW(i, input)                                                          \
    to[HEADS * (i)] = input(a[i]), to[HEADS * (i) + 1] = input(b[i]);                     \
    to[HEADS * (i) + 2] = input(c[i]), to[HEADS * (i) + 3] = input(d[i])

#define INTERLEAVE(name, input)                                                                     \
    static void name(const float *q, size_t dim, float *to) {                     \
        const float *a = q, *b = q + dim, *c = b + dim, *d = c + dim;                               \
        const float *const end = b, *const end_4 = q + (dim & ~(size_t)3);                          \
        for (; a != end_4; a += 4, b += 4, c += 4, d += 4, to += 4 * HEADS) {                       \
            INTERLEAVE_ROW(0, input);                                                               \
            INTERLEAVE_ROW(1, input);                                                               \
            INTERLEAVE_ROW(2, input);                                                               \
            INTERLEAVE_ROW(3, input);                                                               \
        }                                                                                           \
        for (; a != end; a++, b++, c++, d++, to += HEADS) {                                         \
            INTERLEAVE_ROW(0, input);                                                               \
        }                                                                                           \
    }

#define SCALED(x) ((x) * HALF_SCALE)
INTERLEAVE(interleave_half, SCALED)
INTERLEAVE(interleave_single, SINGLE)

/* Heads h .. h+3. Until their scores are made, their output holds their query. */
static void attend_4(const aether_query *job, size_t h, size_t n_half) {
    const float *q = job->q + h * job->dim;
    float *out = job->out + h * job->dim;
    float most[HEADS], scale[HEADS];
    size_t i, d;
    if (n_half > 0) {
        interleave_half(q, job->dim, out);
        scores_half(out, job->dim, job->keys, n_half, job->scale, job->scores);
    }
    if (n_half < job->n) {
        interleave_single(q, job->dim, out);
        scores_single(out, job->dim, job->keys + n_half, job->n - n_half, job->scale,
                      job->scores + n_half * HEADS);
    }
    greatest_4(job->scores, job->n, most);
    for (i = 0; i < HEADS; i++) {
        scale[i] = softmax(job->scores + i, HEADS, job->n, n_half, most[i]);
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

static float dot_half(const float *q, const int16_t *k, size_t n) {
    float a = 0.0f;
    size_t d;
    for (d = 0; d < n; d++) {
        a = a + q[d] * HALF_SCALE * HALF(k[d]);
    }
    return a;
}

static float dot_single(const float *q, const float *k, size_t n) {
    float a = 0.0f;
    size_t d;
    for (d = 0; d < n; d++) {
        a = a + q[d] * k[d];
    }
    return a;
}

static void attend_1(const aether_query *job, size_t h, size_t n_half) {
    const float *q = job->q + h * job->dim;
    float *out = job->out + h * job->dim;
    float scale;
    size_t j, d;
    for (j = 0; j < n_half; j++) {
        job->scores[j] = dot_half(q, job->keys[j], job->dim) * job->scale;
    }
    for (; j < job->n; j++) {
        job->scores[j] = dot_single(q, job->keys[j], job->dim) * job->scale;
    }
    scale = softmax(job->scores, 1, job->n, n_half, greatest(job->scores, job->n));
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
