/* The definition of every kernel: the naive loops of docs/spec/numerics.md. Other variants give the same bits. */
#include "../exp.h"
#include "../sizes.h"
#include "variants.h"

static float weight_at(const void *w, aether_dtype type, size_t index) {
    return type == AETHER_BINARY16 ? aether_widen(((const uint16_t *)w)[index]) : ((const float *)w)[index];
}

int aether_portable_linear(const float *x, size_t rows, size_t in, const void *w, aether_dtype wtype,
                           const float *bias, size_t out, float *y) {
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
    return aether_all_finite(y, rows * out);
}

static void widen(const uint16_t *half, float *x, size_t n) {
    size_t i;
    for (i = 0; i < n; i++) {
        x[i] = aether_widen(half[i]);
    }
}

static int narrow(const float *x, uint16_t *half, float *rounded, size_t n) {
    size_t i;
    for (i = 0; i < n; i++) {
        if (aether_narrow(x[i], &half[i]) != AETHER_OK) {
            return 1;
        }
    }
    if (rounded != NULL) {
        widen(half, rounded, n);
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

size_t aether_query_floats(size_t n, size_t group, size_t dim) {
    return aether_add(aether_mul(aether_add(n, 15), group), aether_mul(dim, 2));
}

/* Row j as binary32: itself, or widened into `wide`. */
static const float *row_at(const aether_query *job, const void *const *rows, size_t j, float *wide) {
    if (job->stored == AETHER_BINARY16 && j < job->n_stored) {
        widen((const uint16_t *)rows[j], wide, job->dim);
        return wide;
    }
    return (const float *)rows[j];
}

void aether_portable_attend_query(const aether_query *job) {
    float *scores = job->scores;
    float *wide = job->scores + job->n;
    size_t h, j, d;
    for (h = 0; h < job->group; h++) {
        const float *q = job->q + h * job->dim;
        float *out = job->out + h * job->dim;
        float most, sum, scale;
        for (j = 0; j < job->n; j++) {
            scores[j] = dot(q, row_at(job, job->keys, j, wide), job->dim) * job->scale;
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
            const float size = job->sizes != NULL && j >= job->n_stored ? job->sizes[j - job->n_stored] : 1.0f;
            const float w = size * aether_exp_inline(scores[j] - most);
            const float *value = row_at(job, job->values, j, wide);
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

static const aether_kernels PORTABLE = {
    "portable", aether_portable_linear, aether_all_finite, widen, narrow, aether_portable_attend_query,
};

const aether_kernels *aether_kernels_portable(void) {
    return &PORTABLE;
}
