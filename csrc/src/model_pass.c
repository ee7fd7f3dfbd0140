#include "model_pass.h"

/* Rows that an operation that looks back on `count` of them finds. */
static size_t ring_of(const aether_pass *pass, size_t count) {
    return pass->ring != 0 ? pass->ring : count;
}

/* Where the pass writes its first row. */
static float *first_row(const aether_pass *pass, float *rows, size_t count) {
    return rows + (size_t)(pass->time % ring_of(pass, count)) * pass->model->width;
}

/* Filters the rows that the pass wrote to `rows` -> y [rows][width]. */
static aether_status filter(const aether_pass *pass, const float *rows, size_t taps, const float *bias, const float *weight,
                            int relu, float *y) {
    const aether_model *m = pass->model;
    aether_status status = AETHER_OK;
    size_t r;
    for (r = 0; r < pass->rows && status == AETHER_OK; r++) {
        status = aether_op_filter(m, rows, pass->time + r, ring_of(pass, taps), taps, bias, weight, relu, y + r * m->width);
    }
    return status;
}

/* frames -> x: the input operations and the stem. */
static aether_status input(const aether_pass *pass, const float *frames) {
    const aether_model *m = pass->model;
    float *projected = m->stem_taps != 0 ? first_row(pass, pass->stem, m->stem_taps) : pass->x;
    aether_status status = aether_op_input(m, frames, pass->rows, pass->input, projected);
    if (status == AETHER_OK && m->stem_taps != 0) {
        status = filter(pass, pass->stem, m->stem_taps, aether_vector(m, AETHER_STEM_BIAS, 0), aether_vector(m, AETHER_STEM_WEIGHT, 0), m->stem_activation == 1, pass->x);
    }
    return status;
}

/* x -> x: one layer. */
static aether_status run_layer(aether_pass *pass, size_t l) {
    const aether_model *m = pass->model;
    const float *norm = aether_vector(m, AETHER_NORM_WEIGHT, l);
    const float *h = pass->x;
    aether_status status = AETHER_OK;
    if (m->taps != 0) {
        float *rows = pass->convolution + l * pass->next_convolution;
        status = aether_op_norm(m, pass->x, pass->rows, norm, first_row(pass, rows, m->taps));
        if (status == AETHER_OK) {
            status = filter(pass, rows, m->taps, aether_vector(m, AETHER_CONVOLUTION_BIAS, l), aether_vector(m, AETHER_CONVOLUTION_WEIGHT, l), 0, pass->h);
        }
        h = pass->h;
    } else if (norm != NULL) {
        status = aether_op_norm(m, pass->x, pass->rows, norm, pass->h);
        h = pass->h;
    }
    if (status == AETHER_OK) {
        status = aether_op_project(m, l, h, pass->rows, pass->q, pass->k, pass->v);
    }
    if (status == AETHER_OK) {
        status = pass->attend(pass, l);
    }
    if (status == AETHER_OK) {
        status = aether_op_project_out(m, l, pass->a, pass->rows, pass->h, pass->x);
    }
    return status == AETHER_OK ? aether_op_feed_forward(m, l, pass->rows, pass->h, pass->hidden, pass->x) : status;
}

/* Final norm and pooling of x; *p is where the result lies. */
static aether_status pool(const aether_pass *pass, const float **p) {
    const aether_model *m = pass->model;
    const int mean = m->pool_kind == 1;
    float *normed = mean ? first_row(pass, pass->pool, m->pool_frames) : pass->h;
    aether_status status = aether_op_norm(m, pass->x, pass->rows, aether_vector(m, AETHER_NORM_FINAL, 0), normed);
    size_t r;
    for (r = 0; mean && r < pass->rows && status == AETHER_OK; r++) {
        const uint64_t last = pass->time + r, count = last + 1 < m->pool_frames ? last + 1 : m->pool_frames;
        status = aether_op_pool(m, pass->pool, last, ring_of(pass, m->pool_frames), count, pass->x + r * m->width);
    }
    *p = mean ? pass->x : pass->h;
    return status;
}

aether_status aether_pass_run(aether_pass *pass, const float *frames, float *logits, float *embeddings) {
    const float *p = NULL;
    aether_status status = input(pass, frames);
    size_t l;
    for (l = 0; l < pass->model->header.n_layers && status == AETHER_OK; l++) {
        status = run_layer(pass, l);
    }
    if (status == AETHER_OK) {
        status = pool(pass, &p);
    }
    return status == AETHER_OK ? aether_op_classify(pass->model, p, pass->rows, logits, embeddings) : status;
}
