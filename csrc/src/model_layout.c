#include "model_layout.h"

#include "bits.h"

uint32_t aether_element_bits(aether_dtype dtype, const void *base, size_t index) {
    return dtype == AETHER_BINARY16 ? ((const uint16_t *)base)[index] : aether_bits(((const float *)base)[index]);
}

size_t aether_first_not_finite(aether_dtype dtype, const void *base, size_t n) {
    const uint32_t exponent = dtype == AETHER_BINARY16 ? 0x7C00u : 0x7F800000u;
    size_t i = 0;
    while (i < n && (aether_element_bits(dtype, base, i) & exponent) != exponent) {
        i++;
    }
    return i;
}

/* Elements of one layer's Wq, Wk, Wv, Wo. */
static size_t layer_elements(const aether_model *m) {
    return 2 * m->width * (aether_q_width(m) + aether_kv_width(m));
}

static const float *past(const float *base, size_t n) {
    return base != NULL ? base + n : NULL;
}

aether_layer aether_layer_at(const aether_model *m, size_t layer) {
    const size_t q = m->width * aether_q_width(m), kv = m->width * aether_kv_width(m);
    const size_t core = layer * layer_elements(m);
    const float *bias = past(m->bias, layer * (aether_q_width(m) + 2 * aether_kv_width(m) + m->width));
    const float *conv = past(m->conv, layer * (m->taps + 1) * m->width);
    const float *ffn = past(m->ffn_vectors, layer * (2 * m->width + m->hidden));
    aether_layer a;
    a.wq = aether_matrix(m, m->core, core);
    a.wk = aether_matrix(m, m->core, core + q);
    a.wv = aether_matrix(m, m->core, core + q + kv);
    a.wo = aether_matrix(m, m->core, core + q + 2 * kv);
    a.bq = bias;
    a.bk = past(bias, aether_q_width(m));
    a.bv = past(a.bk, aether_kv_width(m));
    a.bo = past(a.bv, aether_kv_width(m));
    a.norm = past(m->norm, layer * m->width);
    a.conv_b = conv;
    a.conv_c = past(conv, m->width);
    a.ffn_norm = ffn;
    a.ffn_b1 = past(ffn, m->width);
    a.ffn_b2 = past(ffn, m->width + m->hidden);
    a.ffn_w1 = m->hidden > 0 ? aether_matrix(m, m->ffn_matrices, layer * 2 * m->width * m->hidden) : NULL;
    a.ffn_w2 = m->hidden > 0 ? aether_matrix(m, a.ffn_w1, m->width * m->hidden) : NULL;
    return a;
}

const void *aether_classifier(const aether_model *m) {
    return aether_matrix(m, m->core, m->header.n_layers * layer_elements(m));
}

const float *aether_classifier_bias(const aether_model *m) {
    return past(m->bias, m->header.n_layers * (aether_q_width(m) + 2 * aether_kv_width(m) + m->width));
}

const float *aether_final_norm(const aether_model *m) {
    return past(m->norm, m->header.n_layers * m->width);
}
