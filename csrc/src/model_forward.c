/* The model over a whole recording: every operation on all rows before the next. */
#include "bits.h"
#include "fpenv.h"
#include "model_pass.h"
#include "sizes.h"

#include "aether/stream.h"

/* Where the buffers of a forward begin in the workspace. */
typedef struct layout {
    size_t input, x, past, h, q, a, k, v, hidden, attention, attention_bytes, total;
    size_t zeros; /* rows of `past` after those of the tokens: the ones before time 0 */
} layout;

static aether_status lay_out(const aether_model *m, size_t tokens, uint64_t context, aether_dtype dtype, layout *at) {
    const aether_head head = aether_head_within(&m->head, context);
    aether_bytes bytes = {0, 0};
    aether_status status = aether_attention_workspace(&head, tokens, dtype, &at->attention_bytes);
    if (status != AETHER_OK) {
        return status;
    }
    at->zeros = m->taps > m->stem_taps ? m->taps : m->stem_taps;
    at->input = aether_take(&bytes, aether_mul(tokens, m->header.input_dim), sizeof(float));
    at->x = aether_take(&bytes, aether_mul(tokens, m->width), sizeof(float));
    at->past = aether_take(&bytes, aether_mul(aether_add(tokens, at->zeros), m->width), sizeof(float));
    at->h = aether_take(&bytes, aether_mul(tokens, m->width), sizeof(float));
    at->q = aether_take(&bytes, aether_mul(tokens, aether_q_width(m)), sizeof(float));
    at->a = aether_take(&bytes, aether_mul(tokens, aether_q_width(m)), sizeof(float));
    at->k = aether_take(&bytes, aether_mul(tokens, aether_kv_width(m)), sizeof(float));
    at->v = aether_take(&bytes, aether_mul(tokens, aether_kv_width(m)), sizeof(float));
    at->hidden = aether_take(&bytes, aether_mul(tokens, m->hidden), sizeof(float));
    at->attention = aether_take(&bytes, at->attention_bytes, 1);
    return aether_taken(&bytes, &at->total);
}

/* A model in integers goes frame by frame, as a stream in the workspace. */
static aether_status whole_bytes(const aether_model *m, uint64_t context, size_t *bytes) {
    return aether_stream_size(m, context != 0 ? context : UINT64_MAX, AETHER_BINARY32, bytes);
}

static aether_status whole_forward(const aether_model *m, const float *frames, size_t tokens, uint64_t context, float *logits,
                                   float *embeddings, void *workspace, size_t bytes) {
    aether_stream s;
    aether_status status = aether_stream_init(&s, m, context != 0 ? context : UINT64_MAX, AETHER_BINARY32, workspace, bytes);
    size_t t;
    for (t = 0; t < tokens && status == AETHER_OK; t++) {
        status = aether_stream_push(&s, frames + t * m->header.input_dim);
        if (status == AETHER_OK) {
            memcpy(logits + t * m->header.n_classes, aether_stream_logits(&s), m->header.n_classes * sizeof(float));
        }
        if (status == AETHER_OK && embeddings != NULL) {
            memcpy(embeddings + t * m->embed_dim, aether_stream_embedding(&s), m->embed_dim * sizeof(float));
        }
    }
    return status;
}

aether_status aether_model_workspace(const aether_model *model, size_t tokens, uint64_t context, aether_dtype dtype,
                                     size_t *bytes) {
    layout at;
    aether_status status;
    if (model == NULL || bytes == NULL || !aether_is_dtype(dtype)) {
        return AETHER_E_ARGUMENT;
    }
    if (aether_in_integers(model)) {
        return whole_bytes(model, context, bytes);
    }
    status = lay_out(model, tokens, context, dtype, &at);
    if (status == AETHER_OK) {
        *bytes = at.total;
    }
    return status;
}

/* What the attention of a pass needs besides the pass. */
typedef struct batch {
    aether_head head;
    aether_dtype dtype;
    void *workspace;
    size_t bytes;
    aether_trace trace;
    void *user;
} batch;

static aether_status attend(aether_pass *pass, size_t layer) {
    const batch *b = pass->user;
    const aether_status status = aether_attention_forward(&b->head, pass->q, pass->k, pass->v, pass->rows, b->dtype, pass->a,
                                                          b->workspace, b->bytes);
    if (status == AETHER_OK && b->trace != NULL) {
        b->trace(b->user, layer, pass->q, pass->k, pass->v, pass->a);
    }
    return status;
}

static AETHER_NOINLINE aether_status forward_here(aether_pass *pass, const float *frames, size_t zeros, float *logits,
                                                  float *embeddings) {
    memset(pass->stem + pass->rows * pass->model->width, 0, zeros * pass->model->width * sizeof(float));
    return aether_pass_run(pass, frames, logits, embeddings);
}

static float *floats(void *workspace, size_t offset) {
    return (float *)(void *)((unsigned char *)workspace + offset);
}

aether_status aether_model_forward(const aether_model *model, const float *frames, size_t tokens, uint64_t context,
                                   aether_dtype dtype, float *logits, float *embeddings, void *workspace, size_t bytes) {
    return aether_model_trace(model, frames, tokens, context, dtype, logits, embeddings, NULL, NULL, workspace, bytes);
}

aether_status aether_model_trace(const aether_model *model, const float *frames, size_t tokens, uint64_t context,
                                 aether_dtype dtype, float *logits, float *embeddings, aether_trace trace, void *user,
                                 void *workspace, size_t bytes) {
    layout at;
    batch b;
    aether_pass pass = {0};
    aether_status status;
    aether_fpenv env;
    if (model == NULL || !aether_is_dtype(dtype) ||
        (tokens > 0 && (frames == NULL || logits == NULL || workspace == NULL))) {
        return AETHER_E_ARGUMENT;
    }
    if (embeddings != NULL && model->embed_dim == 0) {
        return AETHER_E_SHAPE;
    }
    if (tokens == 0) {
        return AETHER_OK;
    }
    if (aether_in_integers(model) && trace != NULL) {
        return AETHER_E_CONFIG;
    }
    status = aether_in_integers(model) ? whole_bytes(model, context, &at.total) : lay_out(model, tokens, context, dtype, &at);
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
    if (aether_in_integers(model)) {
        return whole_forward(model, frames, tokens, context, logits, embeddings, workspace, bytes);
    }
    b.head = aether_head_within(&model->head, context);
    b.dtype = dtype;
    b.workspace = (unsigned char *)workspace + at.attention;
    b.bytes = at.attention_bytes;
    b.trace = trace;
    b.user = user;
    pass.model = model;
    pass.rows = tokens;
    pass.input = floats(workspace, at.input);
    pass.x = floats(workspace, at.x);
    pass.h = floats(workspace, at.h);
    pass.q = floats(workspace, at.q);
    pass.a = floats(workspace, at.a);
    pass.k = floats(workspace, at.k);
    pass.v = floats(workspace, at.v);
    pass.hidden = floats(workspace, at.hidden);
    pass.stem = floats(workspace, at.past);
    pass.convolution = pass.stem;
    pass.pool = pass.h;
    pass.ring = tokens + at.zeros;
    pass.attend = attend;
    pass.user = &b;
    env = aether_fpenv_enter();
    status = forward_here(&pass, frames, at.zeros, logits, embeddings);
    aether_fpenv_leave(env);
    return status;
}
