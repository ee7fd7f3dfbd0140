/* One pass through the model (docs/spec/model.md): all rows of a recording, or the one new row of a stream. */
#ifndef AETHER_MODEL_PASS_H
#define AETHER_MODEL_PASS_H

#include "model_ops.h"

/* The buffers of a pass. All are binary32, the caller's, and do not overlap unless stated. */
typedef struct aether_pass {
    const aether_model *model;
    uint64_t time; /* of the first row: frames before it */
    size_t rows;
    float *input;  /* [rows][input_dim] */
    float *x, *h;  /* [rows][width] */
    float *q, *a;  /* [rows][q_heads * head_dim] */
    float *k, *v;  /* [rows][kv_heads * head_dim] */
    float *hidden; /* [rows][hidden], with a feed-forward section */
    /* Rows [ring][width] that the stem, the convolution of layer 0 and mean pooling look back on, for a model that has them. The
       row of time t is row t % ring; the pass writes its own. Rows before time 0 are zeros. A whole recording may pool in h. */
    float *stem, *convolution, *pool;
    size_t ring;             /* 0: of each as many as it looks back on, which is enough for a pass of one row */
    size_t next_convolution; /* floats from the rows of one layer to those of the next; 0: all layers use the same */
    /* Attention of layer `layer`: q, k, v -> a. May leave it to the caller to find values of `a` that are not finite. */
    aether_status (*attend)(struct aether_pass *pass, size_t layer);
    void *user; /* for `attend` */
} aether_pass;

/* frames [rows][input_dim] -> logits [rows][n_classes] and, when not NULL, embeddings [rows][embed_dim].
   AETHER_E_OVERFLOW, the codes of `attend`; the buffers and outputs then have no meaning. */
aether_status aether_pass_run(aether_pass *pass, const float *frames, float *logits, float *embeddings);

#endif
