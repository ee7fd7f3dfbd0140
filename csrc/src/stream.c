/* One frame through the model. Rows are written where no later frame looks, and counted only when everything has worked. */
#include "aether/stream.h"

#include "bits.h"
#include "cache_layout.h"
#include "fpenv.h"
#include "model_ops.h"
#include "sizes.h"
#include "stream_layout.h"

aether_status aether_stream_lay_out(const aether_model *m, uint64_t capacity, aether_dtype dtype, size_t pointer_bytes,
                                    aether_stream_layout *at) {
    const size_t layers = m->header.n_layers;
    aether_bytes bytes = {0, 0};
    aether_cache_layout cache;
    aether_head head = m->head;
    aether_status status = aether_cache_size(&m->head, capacity, dtype, &at->cache_bytes);
    if (status != AETHER_OK) {
        return status;
    }
    if (head.config.history == 0 || head.config.history > capacity) {
        head.config.history = capacity;
    }
    status = aether_cache_lay_out(&head, dtype, &cache);
    if (status == AETHER_OK) {
        status = aether_cache_step_scratch(&head, pointer_bytes, &at->attend_bytes);
    }
    if (status != AETHER_OK) {
        return status;
    }
    at->cache_rows = cache.n_rows;
    at->cache_blocks = cache.n_blocks;
    at->cache_payload = cache.total - cache.sums;
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
    at->attend = aether_take(&bytes, at->attend_bytes, 1);
    return aether_taken(&bytes, &at->total);
}

aether_cache aether_stream_cache(const aether_stream *s, const aether_stream_layout *at, size_t layer) {
    aether_cache cache;
    cache.head = s->model->head;
    cache.history = cache.head.config.history;
    if (cache.history == 0 || cache.history > s->capacity) {
        cache.head.config.history = s->capacity;
    }
    cache.capacity = s->capacity;
    cache.length = s->length;
    cache.dtype = s->dtype;
    cache.policy = AETHER_ON_FULL_RING;
    cache.n_globals = cache.head.config.n_globals;
    cache.n_rows = at->cache_rows;
    cache.n_blocks = at->cache_blocks;
    cache.memory = s->memory + at->cache + layer * at->cache_bytes;
    cache.memory_bytes = at->cache_bytes;
    return cache;
}

aether_status aether_stream_size(const aether_model *model, uint64_t capacity, aether_dtype dtype, size_t *bytes) {
    aether_stream_layout at;
    aether_status status;
    if (model == NULL || bytes == NULL) {
        return AETHER_E_ARGUMENT;
    }
    status = aether_stream_lay_out(model, capacity, dtype, sizeof(void *), &at);
    if (status == AETHER_OK) {
        *bytes = at.total;
    }
    return status;
}

aether_status aether_stream_init(aether_stream *stream, const aether_model *model, uint64_t capacity,
                                 aether_dtype dtype, void *memory, size_t bytes) {
    aether_stream_layout at;
    aether_stream own;
    aether_status status;
    if (stream == NULL || model == NULL || memory == NULL) {
        return AETHER_E_ARGUMENT;
    }
    status = aether_stream_lay_out(model, capacity, dtype, sizeof(void *), &at);
    if (status != AETHER_OK) {
        return status;
    }
    if (bytes < at.total) {
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
    own.memory_bytes = at.total;
    memset(own.memory, 0, at.total);
    *stream = own;
    return AETHER_OK;
}

void aether_stream_reset(aether_stream *stream) {
    aether_stream_layout at;
    (void)aether_stream_lay_out(stream->model, stream->capacity, stream->dtype, sizeof(void *), &at);
    memset(stream->memory, 0, at.state);
    stream->length = 0;
}

/* Puts x into row `length` of a ring and filters the rows that end there. */
static aether_status filter(const aether_stream *s, float *rows, size_t taps, const float *b, const float *c, int relu,
                            const float *x, float *y) {
    memcpy(rows + (size_t)(s->length % taps) * s->model->width, x, s->model->width * sizeof(float));
    return aether_op_filter(s->model, rows, s->length, taps, taps, b, c, relu, y);
}

static aether_status push_layer(aether_stream *s, const aether_stream_layout *at, size_t l, float *x) {
    const aether_model *m = s->model;
    const aether_layer layer = aether_layer_at(m, l);
    aether_cache cache = aether_stream_cache(s, at, l);
    float *h = aether_stream_floats(s, at->h), *y = aether_stream_floats(s, at->y);
    float *q = aether_stream_floats(s, at->q), *a = aether_stream_floats(s, at->a);
    float *k = aether_stream_floats(s, at->k), *v = aether_stream_floats(s, at->v);
    aether_status status = aether_op_norm(m, x, 1, layer.norm, h);
    if (status == AETHER_OK && m->conv != NULL) {
        status = filter(s, aether_stream_floats(s, at->conv) + l * m->taps * m->width, m->taps, layer.conv_b,
                        layer.conv_c, 0, h, y);
        h = y;
    }
    if (status == AETHER_OK) {
        status = aether_op_project(m, &layer, h, 1, q, k, v);
    }
    if (status == AETHER_OK) {
        status = aether_cache_stage(&cache, k, v);
    }
    if (status == AETHER_OK) {
        status = aether_cache_attend(&cache, q, a, s->memory + at->attend, at->attend_bytes);
    }
    if (status == AETHER_OK) {
        status = aether_op_mix(m, &layer, a, 1, y, x);
    }
    return status == AETHER_OK ? aether_op_feed_forward(m, &layer, 1, y, aether_stream_floats(s, at->hidden), x) : status;
}

static aether_status pool(aether_stream *s, const aether_stream_layout *at, const float *x, float *p) {
    const aether_model *m = s->model;
    const uint64_t count = s->length + 1 < m->pool_frames ? s->length + 1 : m->pool_frames;
    float *rows = aether_stream_floats(s, at->pool);
    memcpy(rows + (size_t)(s->length % m->pool_frames) * m->width, x, m->width * sizeof(float));
    return aether_op_pool(m, rows, s->length, m->pool_frames, count, p);
}

static void commit(aether_stream *s, const aether_stream_layout *at) {
    const aether_model *m = s->model;
    size_t l;
    for (l = 0; l < m->header.n_layers; l++) {
        aether_cache cache = aether_stream_cache(s, at, l);
        aether_cache_commit(&cache);
    }
    memcpy(s->memory + at->logits, s->memory + at->new_logits, m->header.n_classes * sizeof(float));
    memcpy(s->memory + at->embedding, s->memory + at->new_embedding, m->embed_dim * sizeof(float));
    s->length++;
}

static AETHER_NOINLINE aether_status push_here(aether_stream *s, const aether_stream_layout *at, const float *frame) {
    const aether_model *m = s->model;
    float *x = aether_stream_floats(s, at->x), *h = aether_stream_floats(s, at->h);
    float *y = aether_stream_floats(s, at->y);
    aether_status status;
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
        status = push_layer(s, at, l, x);
    }
    if (status == AETHER_OK) {
        status = aether_op_norm(m, x, 1, aether_final_norm(m), h);
    }
    if (status == AETHER_OK && m->pool_kind == 1) {
        status = pool(s, at, h, y);
        h = y;
    }
    if (status == AETHER_OK) {
        status = aether_op_answer(m, h, 1, aether_stream_floats(s, at->new_logits),
                                  aether_stream_floats(s, at->new_embedding));
    }
    if (status == AETHER_OK) {
        commit(s, at);
    }
    return status;
}

aether_status aether_stream_push(aether_stream *stream, const float *frame) {
    aether_stream_layout at;
    aether_status status;
    aether_fpenv env;
    if (stream == NULL || frame == NULL) {
        return AETHER_E_ARGUMENT;
    }
    if (!aether_aligned(frame, sizeof(float))) {
        return AETHER_E_ALIGNMENT;
    }
    status = aether_stream_lay_out(stream->model, stream->capacity, stream->dtype, sizeof(void *), &at);
    if (status != AETHER_OK) {
        return status;
    }
    env = aether_fpenv_enter();
    status = push_here(stream, &at, frame);
    aether_fpenv_leave(env);
    return status;
}

const float *aether_stream_logits(const aether_stream *stream) {
    aether_stream_layout at;
    if (stream->length == 0) {
        return NULL;
    }
    (void)aether_stream_lay_out(stream->model, stream->capacity, stream->dtype, sizeof(void *), &at);
    return aether_stream_floats(stream, at.logits);
}

const float *aether_stream_embedding(const aether_stream *stream) {
    aether_stream_layout at;
    if (stream->length == 0 || stream->model->embed == NULL) {
        return NULL;
    }
    (void)aether_stream_lay_out(stream->model, stream->capacity, stream->dtype, sizeof(void *), &at);
    return aether_stream_floats(stream, at.embedding);
}
