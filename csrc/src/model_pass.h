/* One pass through the model (docs/spec/model.md): all rows of a recording, or the one new row of a stream. */
#ifndef AETHER_MODEL_PASS_H
#define AETHER_MODEL_PASS_H

#include "model_ops.h"

/* Rows [ring][width] that a filter or the pooling looks back on. Row r of the pass is row (first + r) % ring; the pass writes
   its rows there, one after the other, and first + rows <= ring when there are several. */
typedef struct aether_past {
    float *rows;
    uint64_t first;
    size_t ring;
} aether_past;

/* The buffers of a pass. All are binary32, the caller's, and do not overlap unless stated. */
typedef struct aether_pass {
    const aether_model *model;
    size_t rows;
    float *input;            /* [rows][input_dim] */
    float *x, *h;            /* [rows][width] */
    float *q, *a;            /* [rows][q_heads * head_dim] */
    float *k, *v;            /* [rows][kv_heads * head_dim] */
    float *hidden;           /* [rows][hidden], with a feed-forward section */
    aether_past stem, pool;  /* with a stem; with mean pooling, where `rows` may be h for a whole recording */
    aether_past convolution; /* of layer 0, with a convolution */
    size_t next_convolution; /* floats from one layer's rows to those of the next; 0: all layers use the same rows */
    /* Attention of layer `layer`: q, k, v -> a. A value of `a` that is not finite may be left to the caller to find. */
    aether_status (*attend)(struct aether_pass *pass, size_t layer);
    void *user; /* for `attend` */
} aether_pass;

/* frames [rows][input_dim] -> logits [rows][n_classes] and, when not NULL, embeddings [rows][embed_dim].
   AETHER_E_OVERFLOW, the codes of `attend`; the buffers and outputs then have no meaning. */
aether_status aether_pass_run(aether_pass *pass, const float *frames, float *logits, float *embeddings);

#endif
