/* The arrays of a model by name and place, in the order they stand in the blob. */
#include "model_layout.h"

/* Counts down to the array that was asked for. */
typedef struct search {
    const aether_model *model;
    size_t left;
    aether_array *found;
    int done;
} search;

static void offer(search *s, const char *name, uint32_t layer, aether_dtype dtype, const void *base, size_t rows,
                  size_t columns) {
    if (base == NULL || s->done || s->left-- != 0) {
        return;
    }
    s->found->name = name;
    s->found->layer = layer;
    s->found->dtype = dtype;
    s->found->offset = (size_t)((const unsigned char *)base - s->model->blob);
    s->found->dims[0] = (uint32_t)rows;
    s->found->dims[1] = (uint32_t)columns;
    s->done = 1;
}

#define WHOLE UINT32_MAX

/* The layer the array that is asked for stands in, when every layer offers `each` arrays here; otherwise skips them all and gives
   n_layers. So finding one array does not walk the layers before it. */
static uint32_t layer_of(search *s, size_t each) {
    const uint32_t layers = s->model->header.n_layers;
    if (s->done || s->left / each >= layers) {
        s->left -= s->done ? 0 : each * layers;
        return layers;
    }
    {
        const uint32_t layer = (uint32_t)(s->left / each);
        s->left %= each;
        return layer;
    }
}

static void core(search *s) {
    const aether_model *m = s->model;
    const size_t w = m->width, q = aether_q_width(m), kv = aether_kv_width(m);
    const uint32_t l = layer_of(s, 4);
    if (l < m->header.n_layers) {
        const aether_layer a = aether_layer_at(m, l);
        offer(s, "Wq", l, m->dtype, a.wq, w, q);
        offer(s, "Wk", l, m->dtype, a.wk, w, kv);
        offer(s, "Wv", l, m->dtype, a.wv, w, kv);
        offer(s, "Wo", l, m->dtype, a.wo, q, w);
    }
    offer(s, "classifier", WHOLE, m->dtype, aether_classifier(m), w, m->header.n_classes);
}

static void input(search *s) {
    const aether_model *m = s->model;
    offer(s, "input.mean", WHOLE, AETHER_BINARY32, m->input_mean, m->header.input_dim, 0);
    offer(s, "input.scale", WHOLE, AETHER_BINARY32, m->input_scale, m->header.input_dim, 0);
    offer(s, "project.b", WHOLE, AETHER_BINARY32, m->project_bias, m->width, 0);
    offer(s, "project.W", WHOLE, m->dtype, m->project, m->header.input_dim, m->width);
}

static void norm(search *s) {
    const aether_model *m = s->model;
    const uint32_t l = m->norm != NULL ? layer_of(s, 1) : m->header.n_layers;
    if (l < m->header.n_layers) {
        offer(s, "norm.g", l, AETHER_BINARY32, aether_layer_at(m, l).norm, m->width, 0);
    }
    offer(s, "norm.final", WHOLE, AETHER_BINARY32, aether_final_norm(m), m->width, 0);
}

static void convolution(search *s) {
    const aether_model *m = s->model;
    const uint32_t l = m->conv != NULL ? layer_of(s, 2) : m->header.n_layers;
    if (l < m->header.n_layers) {
        const aether_layer a = aether_layer_at(m, l);
        offer(s, "conv.b", l, AETHER_BINARY32, a.conv_b, m->width, 0);
        offer(s, "conv.c", l, AETHER_BINARY32, a.conv_c, m->taps, m->width);
    }
}

static void bias(search *s) {
    const aether_model *m = s->model;
    const uint32_t l = m->bias != NULL ? layer_of(s, 4) : m->header.n_layers;
    if (l < m->header.n_layers) {
        const aether_layer a = aether_layer_at(m, l);
        offer(s, "bq", l, AETHER_BINARY32, a.bq, aether_q_width(m), 0);
        offer(s, "bk", l, AETHER_BINARY32, a.bk, aether_kv_width(m), 0);
        offer(s, "bv", l, AETHER_BINARY32, a.bv, aether_kv_width(m), 0);
        offer(s, "bo", l, AETHER_BINARY32, a.bo, m->width, 0);
    }
    offer(s, "classifier.b", WHOLE, AETHER_BINARY32, aether_classifier_bias(m), m->header.n_classes, 0);
}

static void feed_forward_vectors(search *s) {
    const aether_model *m = s->model;
    const uint32_t l = m->hidden > 0 ? layer_of(s, 3) : m->header.n_layers;
    if (l < m->header.n_layers) {
        const aether_layer a = aether_layer_at(m, l);
        offer(s, "ffn.g", l, AETHER_BINARY32, a.ffn_norm, m->width, 0);
        offer(s, "ffn.b1", l, AETHER_BINARY32, a.ffn_b1, m->hidden, 0);
        offer(s, "ffn.b2", l, AETHER_BINARY32, a.ffn_b2, m->width, 0);
    }
}

static void feed_forward_matrices(search *s) {
    const aether_model *m = s->model;
    const uint32_t l = m->hidden > 0 ? layer_of(s, 2) : m->header.n_layers;
    if (l < m->header.n_layers) {
        const aether_layer a = aether_layer_at(m, l);
        offer(s, "ffn.W1", l, m->dtype, a.ffn_w1, m->width, m->hidden);
        offer(s, "ffn.W2", l, m->dtype, a.ffn_w2, m->hidden, m->width);
    }
}

aether_status aether_model_array(const aether_model *model, size_t index, aether_array *array) {
    search s = {model, index, array, 0};
    if (model == NULL || array == NULL) {
        return AETHER_E_ARGUMENT;
    }
    core(&s);
    input(&s);
    norm(&s);
    convolution(&s);
    bias(&s);
    feed_forward_vectors(&s);
    feed_forward_matrices(&s);
    offer(&s, "embedding.b", WHOLE, AETHER_BINARY32, model->embed_bias, model->embed_dim, 0);
    offer(&s, "embedding.W", WHOLE, model->dtype, model->embed, model->width, model->embed_dim);
    offer(&s, "stem.b", WHOLE, AETHER_BINARY32, model->stem, model->width, 0);
    offer(&s, "stem.c", WHOLE, AETHER_BINARY32, model->stem != NULL ? model->stem + model->width : NULL, model->stem_taps,
          model->width);
    return s.done ? AETHER_OK : AETHER_E_ARGUMENT;
}
