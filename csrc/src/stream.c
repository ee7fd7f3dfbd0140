/* One frame through the model. Rows are written where no later frame looks, and counted only when everything has worked. */
#include "aether/stream.h"

#include "bits.h"
#include "cache_layout.h"
#include "fpenv.h"
#include "int8_stream.h"
#include "model_pass.h"
#include "sizes.h"
#include "stream_layout.h"

aether_status aether_stream_lay_out(const aether_model *m, uint64_t context, aether_dtype dtype, size_t pointer_bytes,
                                    aether_stream_layout *at, aether_cache_layout *cache) {
    const size_t layers = m->header.n_layers;
    const aether_head head = aether_head_within(&m->head, context);
    const int whole = aether_in_integers(m); /* a model in integers */
    const size_t number = whole ? sizeof(int16_t) : sizeof(float);
    size_t widest = aether_q_width(m);
    aether_bytes bytes = {0, 0};
    aether_cache_layout own;
    aether_attend_layout scratch;
    aether_status status;
    if (!aether_is_dtype(dtype) || context == 0) {
        return aether_is_dtype(dtype) ? AETHER_E_CONFIG : AETHER_E_ARGUMENT;
    }
    cache = cache != NULL ? cache : &own;
    status = aether_cache_lay_out(&head, whole ? AETHER_INT8 : dtype, cache);
    if (status == AETHER_OK) {
        status = aether_cache_lay_out_scratch(&head, pointer_bytes, &scratch);
    }
    if (status != AETHER_OK) {
        return status;
    }
    widest = widest > m->width ? widest : m->width;
    widest = widest > m->hidden ? widest : m->hidden;
    widest = widest > m->header.n_classes ? widest : m->header.n_classes;
    widest = widest > m->embed_dim ? widest : m->embed_dim;
    at->cache_bytes = cache->total;
    at->cache_payload = cache->total - cache->sums;
    at->cache = aether_take(&bytes, layers, at->cache_bytes);
    at->sums = aether_take(&bytes, whole && m->pool_kind == 1 ? m->width : 0, sizeof(int32_t));
    at->shown = aether_take(&bytes, whole ? m->header.n_classes : 0, sizeof(float));
    at->shown_embedding = aether_take(&bytes, whole ? m->embed_dim : 0, sizeof(float));
    at->stem = aether_take(&bytes, aether_mul(m->stem_taps, m->width), number);
    at->conv = aether_take(&bytes, aether_mul(aether_mul(layers, m->taps), m->width), number);
    at->pool = aether_take(&bytes, m->pool_kind == 1 ? aether_mul(m->pool_frames, m->width) : 0, number);
    at->logits = aether_take(&bytes, m->header.n_classes, sizeof(float)); /* or as many int32 */
    at->embedding = aether_take(&bytes, m->embed_dim, sizeof(float));
    at->state = bytes.total;
    at->input = aether_take(&bytes, m->header.input_dim, number);
    at->x = aether_take(&bytes, m->width, number);
    at->h = aether_take(&bytes, m->width, number);
    at->q = aether_take(&bytes, aether_q_width(m), number);
    at->a = aether_take(&bytes, aether_q_width(m), number);
    at->k = aether_take(&bytes, whole ? 0 : aether_kv_width(m), sizeof(float));
    at->v = aether_take(&bytes, whole ? 0 : aether_kv_width(m), sizeof(float));
    at->hidden = aether_take(&bytes, m->hidden, number);
    at->new_logits = aether_take(&bytes, whole ? 0 : m->header.n_classes, sizeof(float));
    at->new_embedding = aether_take(&bytes, whole ? 0 : m->embed_dim, sizeof(float));
    at->wide = aether_take(&bytes, whole ? widest : 0, sizeof(int32_t));
    /* All but its `out`: that is `a`. */
    at->attend = aether_take(&bytes, whole ? aether_int8_attend_bytes(&head.config) : scratch.out, 1);
    return aether_taken(&bytes, &at->total);
}

aether_cache aether_stream_cache(const aether_stream *s, size_t layer) {
    aether_cache cache = s->cache;
    cache.memory = s->memory + s->at.cache + layer * s->at.cache_bytes;
    cache.length = s->length;
    return cache;
}

aether_status aether_stream_size(const aether_model *model, uint64_t context, aether_dtype dtype, size_t *bytes) {
    aether_stream_layout at;
    aether_status status;
    if (model == NULL || bytes == NULL) {
        return AETHER_E_ARGUMENT;
    }
    status = aether_stream_lay_out(model, context, dtype, sizeof(void *), &at, NULL);
    if (status == AETHER_OK) {
        *bytes = at.total;
    }
    return status;
}

aether_status aether_stream_init(aether_stream *stream, const aether_model *model, uint64_t context,
                                 aether_dtype dtype, void *memory, size_t bytes) {
    aether_cache_layout cache;
    aether_head head;
    aether_stream own;
    aether_status status;
    if (stream == NULL || model == NULL || memory == NULL) {
        return AETHER_E_ARGUMENT;
    }
    status = aether_stream_lay_out(model, context, dtype, sizeof(void *), &own.at, &cache);
    if (status == AETHER_OK) {
        status = aether_enough(memory, bytes, own.at.total, 8);
    }
    if (status != AETHER_OK) {
        return status;
    }
    own.model = model;
    own.context = context;
    own.dtype = aether_in_integers(model) ? AETHER_INT8 : dtype;
    own.length = 0;
    own.memory = memory;
    own.memory_bytes = own.at.total;
    head = aether_head_within(&model->head, context);
    aether_cache_assemble(&own.cache, &head, model->head.config.history, context, own.dtype, AETHER_ON_FULL_RING, &cache,
                          own.memory + own.at.cache);
    memset(own.memory, 0, own.at.total);
    *stream = own;
    return AETHER_OK;
}

void aether_stream_reset(aether_stream *stream) {
    memset(stream->memory, 0, stream->at.state);
    stream->length = 0;
}

/* What the attention of a pass needs besides the pass. */
typedef struct step {
    aether_stream *stream;
    aether_row row; /* the candidates of the new token, the same in every layer */
} step;

static aether_status attend(aether_pass *pass, size_t layer) {
    step *now = pass->user;
    aether_cache *cache = aether_stream_layer(now->stream, layer);
    unsigned char *scratch = now->stream->memory + now->stream->at.attend;
    const aether_status status = aether_cache_stage_finite(cache, pass->k, pass->v);
    if (status == AETHER_OK) {
        if (layer == 0) {
            aether_cache_candidates(cache, scratch, &now->row);
        }
        aether_cache_attend_row(cache, &now->row, pass->q, pass->a, scratch); /* an overflow shows in x */
    }
    return status;
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
    aether_pass pass;
    aether_status status;
    step now;
    if (!m->head.kernels->all_finite(frame, m->header.input_dim)) {
        return AETHER_E_NOT_FINITE;
    }
    now.stream = s;
    pass.model = m;
    pass.time = s->length;
    pass.rows = 1;
    pass.input = aether_stream_floats(s, at->input);
    pass.x = aether_stream_floats(s, at->x);
    pass.h = aether_stream_floats(s, at->h);
    pass.q = aether_stream_floats(s, at->q);
    pass.a = aether_stream_floats(s, at->a);
    pass.k = aether_stream_floats(s, at->k);
    pass.v = aether_stream_floats(s, at->v);
    pass.hidden = aether_stream_floats(s, at->hidden);
    pass.stem = aether_stream_floats(s, at->stem);
    pass.convolution = aether_stream_floats(s, at->conv);
    pass.next_convolution = m->taps * m->width;
    pass.pool = aether_stream_floats(s, at->pool);
    pass.ring = 0;
    pass.attend = attend;
    pass.user = &now;
    status = aether_pass_run(&pass, frame, aether_stream_floats(s, at->new_logits),
                             aether_stream_floats(s, at->new_embedding));
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
    if (aether_in_integers(stream->model)) {
        return aether_int8_push(stream, frame, stream->memory + stream->at.state);
    }
    env = aether_fpenv_enter();
    status = push_here(stream, frame);
    aether_fpenv_leave(env);
    return status;
}

const float *aether_stream_logits(const aether_stream *stream) {
    const size_t at = aether_in_integers(stream->model) ? stream->at.shown : stream->at.logits;
    return stream->length != 0 ? aether_stream_floats(stream, at) : NULL;
}

const float *aether_stream_embedding(const aether_stream *stream) {
    const size_t at = aether_in_integers(stream->model) ? stream->at.shown_embedding : stream->at.embedding;
    return stream->length != 0 && stream->model->embed_dim != 0 ? aether_stream_floats(stream, at) : NULL;
}
