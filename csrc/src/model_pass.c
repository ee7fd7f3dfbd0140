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
    float *projected = m->stem != NULL ? first_row(pass, pass->stem, m->stem_taps) : pass->x;
    aether_status status = aether_op_input(m, frames, pass->rows, pass->input, projected);
    if (status == AETHER_OK && m->stem != NULL) {
        status = filter(pass, pass->stem, m->stem_taps, m->stem, m->stem + m->width, m->stem_activation == 1, pass->x);
    }
    return status;
}

/* x -> x: one layer. */
static aether_status run_layer(aether_pass *pass, size_t l) {
    const aether_model *m = pass->model;
    const aether_layer layer = aether_layer_at(m, l);
    const float *h = pass->x;
    aether_status status = AETHER_OK;
    if (m->conv != NULL) {
        float *rows = pass->convolution + l * pass->next_convolution;
        status = aether_op_norm(m, pass->x, pass->rows, layer.norm, first_row(pass, rows, m->taps));
        if (status == AETHER_OK) {
            status = filter(pass, rows, m->taps, layer.conv_b, layer.conv_c, 0, pass->h);
        }
        h = pass->h;
    } else if (layer.norm != NULL) {
        status = aether_op_norm(m, pass->x, pass->rows, layer.norm, pass->h);
        h = pass->h;
    }
    if (status == AETHER_OK) {
        status = aether_op_project(m, &layer, h, pass->rows, pass->q, pass->k, pass->v);
    }
    if (status == AETHER_OK) {
        status = pass->attend(pass, l);
    }
    if (status == AETHER_OK) {
        status = aether_op_project_out(m, &layer, pass->a, pass->rows, pass->h, pass->x);
    }
    return status == AETHER_OK ? aether_op_feed_forward(m, &layer, pass->rows, pass->h, pass->hidden, pass->x) : status;
}

/* Final norm and pooling of x; *p is where the result lies. */
static aether_status pool(const aether_pass *pass, const float **p) {
    const aether_model *m = pass->model;
    const int mean = m->pool_kind == 1;
    float *normed = mean ? first_row(pass, pass->pool, m->pool_frames) : pass->h;
    aether_status status = aether_op_norm(m, pass->x, pass->rows, aether_final_norm(m), normed);
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
