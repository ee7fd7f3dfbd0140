/* One frame through the model. Rows are written where no later frame looks, and counted only when everything has worked. */
#include "aether/stream.h"

#include "bits.h"
#include "cache_layout.h"
#include "fpenv.h"
#include "model_ops.h"
#include "sizes.h"
#include "stream_layout.h"

/* The model's head as caches of this capacity see it. */
static aether_head effective(const aether_model *m, uint64_t capacity) {
    aether_head head = m->head;
    if (head.config.history == 0 || head.config.history > capacity) {
        head.config.history = capacity;
    }
    return head;
}

aether_status aether_stream_lay_out(const aether_model *m, uint64_t capacity, aether_dtype dtype, size_t pointer_bytes,
                                    aether_stream_layout *at, aether_cache_layout *cache) {
    const size_t layers = m->header.n_layers;
    const aether_head head = effective(m, capacity);
    aether_bytes bytes = {0, 0};
    aether_cache_layout own;
    aether_attending attending;
    aether_status status = aether_cache_size(&m->head, capacity, dtype, &at->cache_bytes);
    if (status != AETHER_OK) {
        return status;
    }
    cache = cache != NULL ? cache : &own;
    status = aether_cache_lay_out(&head, dtype, cache);
    if (status == AETHER_OK) {
        status = aether_cache_lay_out_scratch(&head, dtype, pointer_bytes, &attending);
    }
    if (status != AETHER_OK) {
        return status;
    }
    at->cache_payload = cache->total - cache->sums;
    at->cache = aether_take(&bytes, layers, at->cache_bytes);
    at->stem = aether_take(&bytes, aether_mul(m->stem_taps, m->width), sizeof(float));
    at->conv = aether_take(&bytes, aether_mul(aether_mul(layers, m->taps), m->width), sizeof(float));
    at->pool = aether_take(&bytes, m->pool_kind == 1 ? aether_mul(m->pool_frames, m->width) : 0, sizeof(float));
    at->logits = aether_take(&bytes, m->header.n_classes, sizeof(float));
    at->embedding = aether_take(&bytes, m->embed_dim, sizeof(float));
    at->state = bytes.total;
    at->room = aether_take(&bytes, m->header.input_dim, sizeof(float));
    at->x = aether_take(&bytes, m->width, sizeof(float));
    at->h = aether_take(&bytes, m->width, sizeof(float));
    at->y = aether_take(&bytes, m->width, sizeof(float));
    at->q = aether_take(&bytes, aether_q_width(m), sizeof(float));
    at->a = aether_take(&bytes, aether_q_width(m), sizeof(float));
    at->k = aether_take(&bytes, aether_kv_width(m), sizeof(float));
    at->v = aether_take(&bytes, aether_kv_width(m), sizeof(float));
    at->hidden = aether_take(&bytes, m->hidden, sizeof(float));
    at->new_logits = aether_take(&bytes, m->header.n_classes, sizeof(float));
    at->new_embedding = aether_take(&bytes, m->embed_dim, sizeof(float));
    at->attend = aether_take(&bytes, attending.out, 1); /* all but its `out`: that is `a` */
    return aether_taken(&bytes, &at->total);
}

aether_cache aether_stream_cache(const aether_stream *s, size_t layer) {
    aether_cache cache = s->cache;
    cache.memory = s->memory + s->at.cache + layer * s->at.cache_bytes;
    cache.length = s->length;
    return cache;
}

aether_status aether_stream_size(const aether_model *model, uint64_t capacity, aether_dtype dtype, size_t *bytes) {
    aether_stream_layout at;
    aether_status status;
    if (model == NULL || bytes == NULL) {
        return AETHER_E_ARGUMENT;
    }
    status = aether_stream_lay_out(model, capacity, dtype, sizeof(void *), &at, NULL);
    if (status == AETHER_OK) {
        *bytes = at.total;
    }
    return status;
}

aether_status aether_stream_init(aether_stream *stream, const aether_model *model, uint64_t capacity,
                                 aether_dtype dtype, void *memory, size_t bytes) {
    aether_cache_layout cache;
    aether_head head;
    aether_stream own;
    aether_status status;
    if (stream == NULL || model == NULL || memory == NULL) {
        return AETHER_E_ARGUMENT;
    }
    status = aether_stream_lay_out(model, capacity, dtype, sizeof(void *), &own.at, &cache);
    if (status != AETHER_OK) {
        return status;
    }
    if (bytes < own.at.total) {
        return AETHER_E_MEMORY;
    }
    if (!aether_aligned(memory, 8)) {
        return AETHER_E_ALIGNMENT;
    }
    own.model = model;
    own.capacity = capacity;
    own.dtype = dtype;
    own.length = 0;
    own.memory = memory;
    own.memory_bytes = own.at.total;
    head = effective(model, capacity);
    aether_cache_assemble(&own.cache, &head, model->head.config.history, capacity, dtype, AETHER_ON_FULL_RING, &cache,
                          own.memory + own.at.cache);
    memset(own.memory, 0, own.at.total);
    *stream = own;
    return AETHER_OK;
}

void aether_stream_reset(aether_stream *stream) {
    memset(stream->memory, 0, stream->at.state);
    stream->length = 0;
}

/* Puts x into row `length` of a ring and filters the rows that end there. */
static aether_status filter(const aether_stream *s, float *rows, size_t taps, const float *b, const float *c, int relu,
                            const float *x, float *y) {
    memcpy(rows + (size_t)(s->length % taps) * s->model->width, x, s->model->width * sizeof(float));
    return aether_op_filter(s->model, rows, s->length, taps, taps, b, c, relu, y);
}

/* `row`: what the new token sees, found by the first layer for all of them. */
static aether_status push_layer(aether_stream *s, size_t l, aether_row *row, float *x) {
    const aether_model *m = s->model;
    const aether_stream_layout *at = &s->at;
    const aether_layer layer = aether_layer_at(m, l);
    aether_cache *cache = aether_stream_layer(s, l);
    unsigned char *attend = s->memory + at->attend;
    float *h = layer.norm != NULL ? aether_stream_floats(s, at->h) : x, *y = aether_stream_floats(s, at->y);
    float *q = aether_stream_floats(s, at->q), *a = aether_stream_floats(s, at->a);
    float *k = aether_stream_floats(s, at->k), *v = aether_stream_floats(s, at->v);
    aether_status status = h != x ? aether_op_norm(m, x, 1, layer.norm, h) : AETHER_OK;
    if (status == AETHER_OK && m->conv != NULL) {
        status = filter(s, aether_stream_floats(s, at->conv) + l * m->taps * m->width, m->taps, layer.conv_b,
                        layer.conv_c, 0, h, y);
        h = y;
    }
    if (status == AETHER_OK) {
        status = aether_op_project(m, &layer, h, 1, q, k, v);
    }
    if (status == AETHER_OK) {
        status = aether_cache_stage_finite(cache, k, v);
    }
    if (status == AETHER_OK) {
        if (l == 0) {
            aether_cache_look(cache, attend, row);
        }
        aether_cache_attend_row(cache, row, q, a, attend);
        status = aether_op_mix(m, &layer, a, 1, y, x); /* where an overflow of a shows */
    }
    return status == AETHER_OK ? aether_op_feed_forward(m, &layer, 1, y, aether_stream_floats(s, at->hidden), x) : status;
}

static aether_status pool(aether_stream *s, const float *x, float *p) {
    const aether_model *m = s->model;
    const uint64_t count = s->length + 1 < m->pool_frames ? s->length + 1 : m->pool_frames;
    float *rows = aether_stream_floats(s, s->at.pool);
    memcpy(rows + (size_t)(s->length % m->pool_frames) * m->width, x, m->width * sizeof(float));
    return aether_op_pool(m, rows, s->length, m->pool_frames, count, p);
}

static void commit(aether_stream *s) {
    const aether_model *m = s->model;
    const aether_stream_layout *at = &s->at;
    size_t l;
    for (l = 0; l < m->header.n_layers; l++) {
        aether_cache_commit(aether_stream_layer(s, l));
    }
    memcpy(s->memory + at->logits, s->memory + at->new_logits, m->header.n_classes * sizeof(float));
    memcpy(s->memory + at->embedding, s->memory + at->new_embedding, m->embed_dim * sizeof(float));
    s->length++;
}

static AETHER_NOINLINE aether_status push_here(aether_stream *s, const float *frame) {
    const aether_model *m = s->model;
    const aether_stream_layout *at = &s->at;
    float *x = aether_stream_floats(s, at->x), *h = aether_stream_floats(s, at->h);
    float *y = aether_stream_floats(s, at->y);
    aether_status status;
    aether_row row;
    size_t l;
    if (!m->head.kernels->all_finite(frame, m->header.input_dim)) {
        return AETHER_E_NOT_FINITE;
    }
    status = aether_op_input(m, frame, 1, aether_stream_floats(s, at->room), x);
    if (status == AETHER_OK && m->stem != NULL) {
        status = filter(s, aether_stream_floats(s, at->stem), m->stem_taps, m->stem, m->stem + m->width,
                        m->stem_activation == 1, x, y);
        memcpy(x, y, m->width * sizeof(float));
    }
    for (l = 0; l < m->header.n_layers && status == AETHER_OK; l++) {
        status = push_layer(s, l, &row, x);
    }
    if (status == AETHER_OK) {
        status = aether_op_norm(m, x, 1, aether_final_norm(m), h);
    }
    if (status == AETHER_OK && m->pool_kind == 1) {
        status = pool(s, h, y);
        h = y;
    }
    if (status == AETHER_OK) {
        status = aether_op_answer(m, h, 1, aether_stream_floats(s, at->new_logits),
                                  aether_stream_floats(s, at->new_embedding));
    }
    if (status == AETHER_OK) {
        commit(s);
    }
    return status;
}

aether_status aether_stream_push(aether_stream *stream, const float *frame) {
    aether_status status;
    aether_fpenv env;
    if (stream == NULL || frame == NULL) {
        return AETHER_E_ARGUMENT;
    }
    if (!aether_aligned(frame, sizeof(float))) {
        return AETHER_E_ALIGNMENT;
    }
    env = aether_fpenv_enter();
    status = push_here(stream, frame);
    aether_fpenv_leave(env);
    return status;
}

const float *aether_stream_logits(const aether_stream *stream) {
    return stream->length != 0 ? aether_stream_floats(stream, stream->at.logits) : NULL;
}

const float *aether_stream_embedding(const aether_stream *stream) {
    return stream->length != 0 && stream->model->embed != NULL ? aether_stream_floats(stream, stream->at.embedding) : NULL;
}
