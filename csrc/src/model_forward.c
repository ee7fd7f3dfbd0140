/* The model over a whole recording: every operation on all rows before the next. */
#include "bits.h"
#include "fpenv.h"
#include "model_ops.h"
#include "rows_type.h"
#include "sizes.h"

/* Where the buffers of a forward begin in the workspace. */
typedef struct layout {
    size_t room, x, past, h, q, a, k, v, hidden, attention, attention_bytes, total;
    size_t lead; /* zero rows in front of `past` */
} layout;

static aether_head head_of(const aether_model *m, uint64_t capacity) {
    aether_head head = m->head;
    if (capacity != 0 && (head.config.history == 0 || head.config.history > capacity)) {
        head.config.history = capacity;
    }
    return head;
}

static aether_status lay_out(const aether_model *m, size_t tokens, uint64_t capacity, aether_dtype dtype, layout *at) {
    const aether_head head = head_of(m, capacity);
    aether_bytes bytes = {0, 0};
    aether_status status = aether_attention_workspace(&head, tokens, dtype, &at->attention_bytes);
    if (status != AETHER_OK) {
        return status;
    }
    at->lead = (m->taps > m->stem_taps ? m->taps : m->stem_taps);
    at->room = aether_take(&bytes, aether_mul(tokens, m->header.input_dim), sizeof(float));
    at->x = aether_take(&bytes, aether_mul(tokens, m->width), sizeof(float));
    at->past = aether_take(&bytes, aether_mul(tokens < SIZE_MAX - at->lead ? tokens + at->lead : SIZE_MAX, m->width),
                           sizeof(float));
    at->h = aether_take(&bytes, aether_mul(tokens, m->width), sizeof(float));
    at->q = aether_take(&bytes, aether_mul(tokens, aether_q_width(m)), sizeof(float));
    at->a = aether_take(&bytes, aether_mul(tokens, aether_q_width(m)), sizeof(float));
    at->k = aether_take(&bytes, aether_mul(tokens, aether_kv_width(m)), sizeof(float));
    at->v = aether_take(&bytes, aether_mul(tokens, aether_kv_width(m)), sizeof(float));
    at->hidden = aether_take(&bytes, aether_mul(tokens, m->hidden), sizeof(float));
    at->attention = aether_take(&bytes, at->attention_bytes, 1);
    return aether_taken(&bytes, &at->total);
}

aether_status aether_model_workspace(const aether_model *model, size_t tokens, uint64_t capacity, aether_dtype dtype,
                                     size_t *bytes) {
    layout at;
    aether_status status;
    if (model == NULL || bytes == NULL || !aether_is_cache_type(dtype)) {
        return AETHER_E_ARGUMENT;
    }
    status = lay_out(model, tokens, capacity, dtype, &at);
    if (status == AETHER_OK) {
        *bytes = at.total;
    }
    return status;
}

typedef struct run {
    const aether_model *m;
    size_t tokens;
    float *room, *x, *past, *h, *q, *a, *k, *v, *hidden; /* past: the rows a filter looks back on, zeros in front */
    size_t lead;
    void *attention;
    size_t attention_bytes;
} run;

/* to = filter over the rows in r->past. */
static aether_status filter(const run *r, size_t taps, const float *b, const float *c, int relu, float *to) {
    aether_status status = AETHER_OK;
    size_t t;
    for (t = 0; t < r->tokens && status == AETHER_OK; t++) {
        status = aether_op_filter(r->m, r->past, t + r->lead, r->tokens + r->lead, taps, b, c, relu,
                                  to + t * r->m->width);
    }
    return status;
}

static aether_status input(const run *r, const float *frames) {
    const aether_model *m = r->m;
    float *to = m->stem != NULL ? r->past + r->lead * m->width : r->x;
    aether_status status = aether_op_input(m, frames, r->tokens, r->room, to);
    if (status == AETHER_OK && m->stem != NULL) {
        status = filter(r, m->stem_taps, m->stem, m->stem + m->width, m->stem_activation == 1, r->x);
    }
    return status;
}

static aether_status run_layer(const run *r, const aether_layer *layer, const aether_head *head, aether_dtype dtype) {
    const aether_model *m = r->m;
    aether_status status;
    if (m->conv != NULL) {
        status = aether_op_norm(m, r->x, r->tokens, layer->norm, r->past + r->lead * m->width);
        if (status == AETHER_OK) {
            status = filter(r, m->taps, layer->conv_b, layer->conv_c, 0, r->h);
        }
    } else {
        status = aether_op_norm(m, r->x, r->tokens, layer->norm, r->h);
    }
    if (status == AETHER_OK) {
        status = aether_op_project(m, layer, r->h, r->tokens, r->q, r->k, r->v);
    }
    if (status == AETHER_OK) {
        status = aether_attention_forward(head, r->q, r->k, r->v, r->tokens, dtype, r->a, r->attention,
                                          r->attention_bytes);
    }
    if (status == AETHER_OK) {
        status = aether_op_mix(m, layer, r->a, r->tokens, r->h, r->x);
    }
    return status == AETHER_OK ? aether_op_feed_forward(m, layer, r->tokens, r->h, r->hidden, r->x) : status;
}

static aether_status pool(const run *r, const float *x, float *p) {
    const aether_model *m = r->m;
    aether_status status = AETHER_OK;
    size_t t;
    for (t = 0; t < r->tokens && status == AETHER_OK; t++) {
        const uint64_t count = t + 1 < m->pool_frames ? t + 1 : m->pool_frames;
        status = aether_op_pool(m, x, t, r->tokens, count, p + t * m->width);
    }
    return status;
}

static AETHER_NOINLINE aether_status forward_here(const run *r, const float *frames, const aether_head *head,
                                                  aether_dtype dtype, float *logits, float *embeddings) {
    const aether_model *m = r->m;
    const float *p = r->h;
    aether_status status;
    size_t l;
    memset(r->past, 0, r->lead * m->width * sizeof(float));
    status = input(r, frames);
    for (l = 0; l < m->header.n_layers && status == AETHER_OK; l++) {
        const aether_layer layer = aether_layer_at(m, l);
        status = run_layer(r, &layer, head, dtype);
    }
    if (status == AETHER_OK) {
        status = aether_op_norm(m, r->x, r->tokens, aether_final_norm(m), r->h);
    }
    if (status == AETHER_OK && m->pool_kind == 1) {
        p = r->x;
        status = pool(r, r->h, r->x);
    }
    return status == AETHER_OK ? aether_op_answer(m, p, r->tokens, logits, embeddings) : status;
}

aether_status aether_model_forward(const aether_model *model, const float *frames, size_t tokens, uint64_t capacity,
                                   aether_dtype dtype, float *logits, float *embeddings, void *workspace, size_t bytes) {
    layout at;
    run r;
    aether_head head;
    aether_status status;
    aether_fpenv env;
    unsigned char *base = workspace;
    if (model == NULL || !aether_is_cache_type(dtype) ||
        (tokens > 0 && (frames == NULL || logits == NULL || workspace == NULL))) {
        return AETHER_E_ARGUMENT;
    }
    if (embeddings != NULL && model->embed == NULL) {
        return AETHER_E_SHAPE;
    }
    if (tokens == 0) {
        return AETHER_OK;
    }
    status = lay_out(model, tokens, capacity, dtype, &at);
    if (status != AETHER_OK) {
        return status;
    }
    if (bytes < at.total) {
        return AETHER_E_MEMORY;
    }
    if (!aether_aligned(workspace, 8) || !aether_aligned(frames, 4) || !aether_aligned(logits, 4) ||
        !aether_aligned(embeddings, 4)) {
        return AETHER_E_ALIGNMENT;
    }
    if (!model->head.kernels->all_finite(frames, tokens * model->header.input_dim)) {
        return AETHER_E_NOT_FINITE;
    }
    r.m = model;
    r.tokens = tokens;
    r.room = (float *)(void *)(base + at.room);
    r.x = (float *)(void *)(base + at.x);
    r.past = (float *)(void *)(base + at.past);
    r.h = (float *)(void *)(base + at.h);
    r.q = (float *)(void *)(base + at.q);
    r.a = (float *)(void *)(base + at.a);
    r.k = (float *)(void *)(base + at.k);
    r.v = (float *)(void *)(base + at.v);
    r.hidden = (float *)(void *)(base + at.hidden);
    r.lead = at.lead;
    r.attention = base + at.attention;
    r.attention_bytes = at.attention_bytes;
    head = head_of(model, capacity);
    env = aether_fpenv_enter();
    status = forward_here(&r, frames, &head, dtype, logits, embeddings);
    aether_fpenv_leave(env);
    return status;
}
