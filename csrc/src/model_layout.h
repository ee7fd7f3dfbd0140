/* Where things lie inside a model's blob, in elements; and what one layer consists of. */
#ifndef AETHER_MODEL_LAYOUT_H
#define AETHER_MODEL_LAYOUT_H

#include "aether/model.h"

#include "dtype.h"

static inline size_t aether_q_width(const aether_model *m) {
    return (size_t)m->header.n_q_heads * m->header.head_dim;
}

static inline size_t aether_kv_width(const aether_model *m) {
    return (size_t)m->header.n_kv_heads * m->header.head_dim;
}

/* `index` elements into a matrix of the model's type. */
static inline const void *aether_matrix(const aether_model *m, const void *base, size_t index) {
    return (const unsigned char *)base + index * aether_element(m->dtype);
}

/* Index of the first of n elements that is not finite; n when all are. */
size_t aether_first_not_finite(aether_dtype dtype, const void *base, size_t n);

/* Bits of element `index`, for an error. */
uint32_t aether_element_bits(aether_dtype dtype, const void *base, size_t index);

/* The arrays of one layer; NULL where the model has none. */
typedef struct aether_layer {
    const void *wq, *wk, *wv, *wo;
    const float *bq, *bk, *bv, *bo;
    const float *norm;
    const float *conv_b, *conv_c;
    const float *ffn_norm, *ffn_b1, *ffn_b2;
    const void *ffn_w1, *ffn_w2;
} aether_layer;

aether_layer aether_layer_at(const aether_model *m, size_t layer);

const void *aether_classifier(const aether_model *m);
const float *aether_classifier_bias(const aether_model *m);
const float *aether_final_norm(const aether_model *m);

/* Reads the sections between begin and end (offsets into the blob; the footer begins at end) into the model. */
aether_status aether_extension_read(aether_model *m, uint32_t begin, uint32_t end, aether_config *config,
                                    aether_detail *detail);

#endif
