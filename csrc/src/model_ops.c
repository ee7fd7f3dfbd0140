#include "model_ops.h"

#include "bits.h"

/* aether_sqrt of a number that is not negative: by the processor where every one of its kind has an instruction for it.
   Portable code alone takes the definition, so that the golden vectors test it. */
#if (defined(__SSE2__) || defined(_M_X64)) && !defined(AETHER_PORTABLE_ONLY)
#include <xmmintrin.h>
static float root(float x) {
    return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
}
#else
#define root aether_sqrt
#endif

static aether_status checked(const aether_model *m, const float *x, size_t n) {
    return m->head.kernels->all_finite(x, n) ? AETHER_OK : AETHER_E_OVERFLOW;
}

static aether_status linear(const aether_model *m, const float *x, size_t rows, size_t in, const void *w,
                            const float *bias, size_t out, float *y) {
    return m->head.kernels->linear(x, rows, in, w, m->dtype, bias, out, y) ? AETHER_OK : AETHER_E_OVERFLOW;
}

int aether_op_remove_agc(float *x, size_t n) {
    float sum = 0.0f, mean, scale;
    size_t f;
    for (f = 0; f < n; f++) {
        sum = sum + x[f];
    }
    mean = sum / (float)n;
    if (mean >= 0x1p-126f) {
        scale = 1.0f / mean;
        for (f = 0; f < n; f++) {
            x[f] = x[f] * scale;
        }
    }
    return aether_all_finite(&sum, 1);
}

aether_status aether_op_input(const aether_model *m, const float *frames, size_t rows, float *scratch, float *x) {
    const float *mean = aether_vector(m, AETHER_NORMALISATION_MEAN, 0);
    const float *scale = aether_vector(m, AETHER_NORMALISATION_SCALE, 0);
    const void *weight = aether_matrix(m, AETHER_PROJECTION_WEIGHT, 0);
    const size_t n = m->header.input_dim;
    size_t r, f;
    memcpy(scratch, frames, rows * n * sizeof(float));
    for (r = 0; r < rows; r++) {
        float *row = scratch + r * n;
        if (m->agc == 1 && !aether_op_remove_agc(row, n)) {
            return AETHER_E_OVERFLOW;
        }
        for (f = 0; f < n && mean != NULL; f++) {
            row[f] = (row[f] - mean[f]) * scale[f];
        }
    }
    if ((m->agc == 1 || mean != NULL) && checked(m, scratch, rows * n) != AETHER_OK) {
        return AETHER_E_OVERFLOW;
    }
    if (weight == NULL) {
        memcpy(x, scratch, rows * n * sizeof(float));
        return AETHER_OK;
    }
    return linear(m, scratch, rows, n, weight, aether_vector(m, AETHER_PROJECTION_BIAS, 0), m->width, x);
}

aether_status aether_op_norm(const aether_model *m, const float *x, size_t rows, const float *g, float *h) {
    const size_t w = m->width;
    size_t r, c;
    if (g == NULL) {
        memcpy(h, x, rows * w * sizeof(float));
        return AETHER_OK;
    }
    for (r = 0; r < rows; r++) {
        const float *row = x + r * w;
        float sum = 0.0f, scale;
        for (c = 0; c < w; c++) {
            sum = sum + row[c] * row[c];
        }
        if (!aether_all_finite(&sum, 1)) {
            return AETHER_E_OVERFLOW;
        }
        scale = 1.0f / root(sum / (float)w + m->eps);
        for (c = 0; c < w; c++) {
            h[r * w + c] = (row[c] * scale) * g[c];
        }
    }
    return checked(m, h, rows * w);
}

aether_status aether_op_filter(const aether_model *m, const float *rows, uint64_t index, size_t ring, size_t taps,
                               const float *b, const float *c, int relu, float *y) {
    const size_t w = m->width;
    size_t at = (size_t)(index % ring), j, i;
    memcpy(y, b, w * sizeof(float));
    for (j = 0; j < taps; j++) {
        const float *row = rows + at * w;
        for (i = 0; i < w; i++) {
            y[i] = y[i] + row[i] * c[j * w + i];
        }
        at = at > 0 ? at - 1 : ring - 1;
    }
    if (checked(m, y, w) != AETHER_OK) {
        return AETHER_E_OVERFLOW;
    }
    for (i = 0; relu && i < w; i++) {
        y[i] = y[i] > 0.0f ? y[i] : 0.0f;
    }
    return AETHER_OK;
}

aether_status aether_op_project(const aether_model *m, size_t layer, const float *h, size_t rows, float *q,
                                float *k, float *v) {
    aether_status status = linear(m, h, rows, m->width, aether_matrix(m, AETHER_ATTENTION_WQ, layer), aether_vector(m, AETHER_ATTENTION_BQ, layer), aether_q_width(m), q);
    if (status == AETHER_OK) {
        status = linear(m, h, rows, m->width, aether_matrix(m, AETHER_ATTENTION_WK, layer), aether_vector(m, AETHER_ATTENTION_BK, layer), aether_kv_width(m), k);
    }
    if (status == AETHER_OK) {
        status = linear(m, h, rows, m->width, aether_matrix(m, AETHER_ATTENTION_WV, layer), aether_vector(m, AETHER_ATTENTION_BV, layer), aether_kv_width(m), v);
    }
    return status;
}

/* Adds a linear layer to x, which is finite. What is not finite in y, or overflowed on the way, stays so: the sum is checked. */
static aether_status add_linear(const aether_model *m, const float *y, size_t rows, size_t in, const void *w,
                                const float *bias, float *scratch, float *x) {
    const size_t n = rows * m->width;
    const float *const end = x + n, *const end_4 = x + (n & ~(size_t)3);
    float *to = x;
    (void)m->head.kernels->linear(y, rows, in, w, m->dtype, bias, m->width, scratch);
    for (; to != end_4; to += 4, scratch += 4) {
        to[0] = to[0] + scratch[0], to[1] = to[1] + scratch[1], to[2] = to[2] + scratch[2], to[3] = to[3] + scratch[3];
    }
    for (; to != end; to++, scratch++) {
        *to = *to + *scratch;
    }
    return checked(m, x, n);
}

aether_status aether_op_project_out(const aether_model *m, size_t layer, const float *a, size_t rows, float *scratch,
                            float *x) {
    return add_linear(m, a, rows, aether_q_width(m), aether_matrix(m, AETHER_ATTENTION_WO, layer), aether_vector(m, AETHER_ATTENTION_BO, layer), scratch, x);
}

aether_status aether_op_feed_forward(const aether_model *m, size_t layer, size_t rows, float *scratch,
                                     float *hidden, float *x) {
    aether_status status;
    size_t i;
    if (m->hidden == 0) {
        return AETHER_OK;
    }
    status = aether_op_norm(m, x, rows, aether_vector(m, AETHER_FEED_FORWARD_NORM, layer), scratch);
    if (status == AETHER_OK) {
        status = linear(m, scratch, rows, m->width, aether_matrix(m, AETHER_FEED_FORWARD_W1, layer), aether_vector(m, AETHER_FEED_FORWARD_B1, layer), m->hidden, hidden);
    }
    if (status != AETHER_OK) {
        return status;
    }
    for (i = 0; i < rows * m->hidden; i++) {
        hidden[i] = hidden[i] > 0.0f ? hidden[i] : 0.0f;
    }
    return add_linear(m, hidden, rows, m->hidden, aether_matrix(m, AETHER_FEED_FORWARD_W2, layer), aether_vector(m, AETHER_FEED_FORWARD_B2, layer), scratch, x);
}

aether_status aether_op_pool(const aether_model *m, const float *rows, uint64_t index, size_t ring, uint64_t count,
                             float *p) {
    const size_t w = m->width;
    const float divisor = (float)count;
    uint64_t i;
    size_t c;
    memset(p, 0, w * sizeof(float));
    for (i = 0; i < count; i++) {
        const float *row = rows + (size_t)((index + 1 - count + i) % ring) * w;
        for (c = 0; c < w; c++) {
            p[c] = p[c] + row[c];
        }
    }
    if (checked(m, p, w) != AETHER_OK) {
        return AETHER_E_OVERFLOW;
    }
    for (c = 0; c < w; c++) {
        p[c] = p[c] / divisor;
    }
    return AETHER_OK;
}

/* Divides e by its length; a zero vector stays. 0 when the sum of squares overflowed. */
static int normalise(float *e, size_t n) {
    float sum = 0.0f, scale;
    size_t j;
    for (j = 0; j < n; j++) {
        sum = sum + e[j] * e[j];
    }
    if (sum > 0.0f) {
        scale = 1.0f / root(sum);
        for (j = 0; j < n; j++) {
            e[j] = e[j] * scale;
        }
    }
    return aether_all_finite(&sum, 1);
}

aether_status aether_op_classify(const aether_model *m, const float *p, size_t rows, float *logits, float *embeddings) {
    aether_status status = linear(m, p, rows, m->width, aether_matrix(m, AETHER_CLASSIFIER_WEIGHT, 0), aether_vector(m, AETHER_CLASSIFIER_BIAS, 0),
                                  m->header.n_classes, logits);
    size_t r;
    if (status != AETHER_OK || embeddings == NULL || m->embed_dim == 0) {
        return status;
    }
    status = linear(m, p, rows, m->width, aether_matrix(m, AETHER_EMBEDDING_WEIGHT, 0), aether_vector(m, AETHER_EMBEDDING_BIAS, 0), m->embed_dim, embeddings);
    for (r = 0; r < rows && status == AETHER_OK; r++) {
        if (!normalise(embeddings + r * m->embed_dim, m->embed_dim)) {
            status = AETHER_E_OVERFLOW;
        }
    }
    return status;
}
