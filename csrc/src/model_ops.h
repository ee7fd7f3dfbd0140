/* The operations of docs/spec/model.md on any number of rows at once. All arrays are row-major binary32; every vector written is
   checked: AETHER_E_OVERFLOW. The floating-point environment is the caller's business. */
#ifndef AETHER_MODEL_OPS_H
#define AETHER_MODEL_OPS_H

#include "model_layout.h"

/* Divides a frame [n] by its mean. 0 when the sum overflowed. */
int aether_op_remove_agc(float *x, size_t n);

/* Agc, normalisation, projection: frames [rows][input_dim] -> x [rows][width]; scratch [rows][input_dim]. */
aether_status aether_op_input(const aether_model *m, const float *frames, size_t rows, float *scratch, float *x);

/* h = rms(x; g), or a copy when g is NULL. [rows][width] each. */
aether_status aether_op_norm(const aether_model *m, const float *x, size_t rows, const float *g, float *h);

/* One row of a causal filter: y[c] = b[c]; + rows[(index - j) mod ring][c] * taps_c[j][c] for j ascending. ReLU when asked. */
aether_status aether_op_filter(const aether_model *m, const float *rows, uint64_t index, size_t ring, size_t taps,
                               const float *b, const float *c, int relu, float *y);

/* h [rows][width] -> q [rows][Hq*D], k and v [rows][Hkv*D]. */
aether_status aether_op_project(const aether_model *m, size_t layer, const float *h, size_t rows, float *q,
                                float *k, float *v);

/* x += linear(a; Wo, bo); scratch [rows][width]. */
aether_status aether_op_project_out(const aether_model *m, size_t layer, const float *a, size_t rows, float *scratch,
                            float *x);

/* The feed-forward sublayer, when there is one; scratch [rows][width], hidden [rows][hidden]. */
aether_status aether_op_feed_forward(const aether_model *m, size_t layer, size_t rows, float *scratch,
                                     float *hidden, float *x);

/* One pooled row: the mean of the `count` rows that end at `index` of a ring. */
aether_status aether_op_pool(const aether_model *m, const float *rows, uint64_t index, size_t ring, uint64_t count,
                             float *p);

/* p [rows][width] -> logits [rows][n_classes], and embeddings [rows][embed_dim] when the model has one and it is not NULL. */
aether_status aether_op_classify(const aether_model *m, const float *p, size_t rows, float *logits, float *embeddings);

#endif
