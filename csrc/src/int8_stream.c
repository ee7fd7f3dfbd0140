/* A stream of a model in integers. All errors show before anything is written; what follows cannot fail. */
#include "int8_stream.h"

#include "bits.h"
#include "cache_layout.h"
#include "stream_layout.h"

/* A push on its way: parts of the stream's state and of scratch. */
typedef struct push {
    aether_stream *stream;
    const aether_model *model;
    int16_t *input, *x, *h, *q, *a, *hidden;
    int32_t *wide; /* what a matrix or filter gives, before it is clamped */
    unsigned char *attend;
    aether_int8_seen seen;
} push;

static const int32_t *vector(const aether_model *m, int id, size_t layer) {
    return (const int32_t *)aether_matrix(m, id, layer);
}

static int16_t *shorts(const aether_stream *s, size_t offset) {
    return (int16_t *)(void *)(s->memory + offset);
}

static int32_t *words(const aether_stream *s, size_t offset) {
    return (int32_t *)(void *)(s->memory + offset);
}

/* y = clamped, and at least `least`. */
static void clamp_to(const int32_t *from, size_t n, int32_t least, int32_t most, int16_t *to) {
    size_t i;
    for (i = 0; i < n; i++) {
        const int32_t v = from[i];
        to[i] = (int16_t)(v > most ? most : v < least ? least : v);
    }
}

static void store(const int16_t *from, size_t n, int8_t *to) {
    size_t i;
    for (i = 0; i < n; i++) {
        to[i] = (int8_t)from[i];
    }
}

static void add(const int32_t *from, size_t n, int16_t *x) {
    size_t i;
    for (i = 0; i < n; i++) {
        x[i] = (int16_t)aether_int8_clamp(x[i] + from[i], AETHER_INT8_RESIDUAL);
    }
}

/* `wide` = the matrix `weights` of x. */
static void linear(const push *p, size_t layer, const int16_t *x, int weights, int bias, int multiplier) {
    const aether_array_row *row = &aether_array_rows[weights];
    aether_int8_linear(x, aether_array_size(p->model, row->rows), aether_matrix(p->model, weights, layer),
                       aether_array_size(p->model, row->columns), vector(p->model, bias, layer), vector(p->model, multiplier, layer), p->wide);
}

/* y = the matrix `weights` of x, clamped. */
static void linear_clamped(const push *p, size_t layer, const int16_t *x, int weights, int bias, int multiplier, int32_t most, int16_t *y) {
    const aether_array_row *row = &aether_array_rows[weights];
    aether_int8_linear_clamped(x, aether_array_size(p->model, row->rows), aether_matrix(p->model, weights, layer),
                               aether_array_size(p->model, row->columns), vector(p->model, bias, layer), vector(p->model, multiplier, layer),
                               most, y);
}

/* h = rms(x; g), an activation. */
static void norm(const push *p, const int32_t *g, int16_t *h) {
    const aether_model *m = p->model;
    uint32_t eps = 0;
    size_t c;
    if (g == NULL) {
        for (c = 0; c < m->width; c++) {
            h[c] = (int16_t)aether_int8_clamp((p->x[c] + 8) >> 4, AETHER_INT8_ACTIVATION);
        }
        return;
    }
    (void)aether_int8_eps(m->eps, &eps);
    aether_int8_unit(p->x, m->width, eps, p->wide);
    for (c = 0; c < m->width; c++) {
        h[c] = (int16_t)aether_int8_clamp(aether_int8_narrow(p->wide[c], g[c]), AETHER_INT8_ACTIVATION);
    }
}

/* The frame in units; 0 when a value has too many. */
static int measure(const push *p, const float *frame) {
    const int exponent = aether_int8_exponent(p->model->input_unit);
    size_t f;
    for (f = 0; f < p->model->header.input_dim; f++) {
        int32_t u;
        if (!aether_int8_whole(frame[f], exponent, &u)) {
            return 0;
        }
        p->input[f] = (int16_t)u;
    }
    return 1;
}

/* Divides the frame by its mean. */
static void remove_agc(const push *p) {
    const size_t n = p->model->header.input_dim;
    int32_t sum = 0;
    int64_t factor, half;
    unsigned bits;
    size_t f;
    for (f = 0; f < n; f++) {
        sum += p->input[f];
    }
    if (sum <= 0) {
        return;
    }
    bits = aether_int8_bits((uint32_t)sum);
    factor = (int64_t)aether_int8_reciprocal((uint32_t)sum, bits) * (int64_t)n;
    half = (int64_t)1 << (bits + 2);
    for (f = 0; f < n; f++) {
        const int64_t v = (p->input[f] * factor + half) >> (bits + 3);
        p->input[f] = (int16_t)(v > AETHER_INT8_RESIDUAL ? AETHER_INT8_RESIDUAL : v < -AETHER_INT8_RESIDUAL ? -AETHER_INT8_RESIDUAL : v);
    }
}

/* The frame in units -> x. */
static void input(const push *p) {
    const aether_model *m = p->model;
    const aether_stream *s = p->stream;
    const int32_t *mean = vector(m, AETHER_NORMALISATION_MEAN, 0), *scale = vector(m, AETHER_NORMALISATION_SCALE, 0);
    const int projected = m->arrays[AETHER_PROJECTION_WEIGHT] != NULL;
    const size_t newest = m->stem_taps != 0 ? aether_ring(s->length, m->stem_taps) : 0;
    int16_t *first = m->stem_taps == 0 ? p->x : shorts(s, s->at.stem) + newest * m->width;
    int16_t *z = projected ? p->input : first;
    size_t f;
    if (m->agc == 1) {
        remove_agc(p);
    }
    for (f = 0; f < m->header.input_dim; f++) {
        z[f] = (int16_t)aether_int8_clamp(aether_int8_narrow(p->input[f] - mean[f], scale[f]),
                                          projected ? AETHER_INT8_ACTIVATION : AETHER_INT8_RESIDUAL);
    }
    if (projected) {
        linear_clamped(p, 0, z, AETHER_PROJECTION_WEIGHT, AETHER_PROJECTION_BIAS, AETHER_INTEGERS_PROJECTION, AETHER_INT8_RESIDUAL, first);
    }
    if (m->stem_taps != 0) {
        aether_int8_filter(shorts(s, s->at.stem), newest, m->stem_taps, m->width, vector(m, AETHER_STEM_BIAS, 0),
                           vector(m, AETHER_STEM_WEIGHT, 0), vector(m, AETHER_INTEGERS_STEM, 0), p->wide);
        clamp_to(p->wide, m->width, m->stem_activation == 1 ? 0 : -AETHER_INT8_RESIDUAL, AETHER_INT8_RESIDUAL, p->x);
    }
}

static void run_layer(push *p, size_t l) {
    const aether_model *m = p->model;
    aether_stream *s = p->stream;
    aether_cache *cache = aether_stream_layer(s, l);
    const size_t row = aether_ring(s->length, cache->at.n_rows) * cache->at.row;
    size_t j;
    int8_t *rows = (int8_t *)cache->memory;
    if (m->taps != 0) {
        const size_t newest = aether_ring(s->length, m->taps);
        int16_t *past = shorts(s, s->at.conv) + l * m->taps * m->width;
        norm(p, vector(m, AETHER_NORM_WEIGHT, l), past + newest * m->width);
        aether_int8_filter(past, newest, m->taps, m->width, vector(m, AETHER_CONVOLUTION_BIAS, l), vector(m, AETHER_CONVOLUTION_WEIGHT, l),
                           vector(m, AETHER_INTEGERS_CONVOLUTION, l), p->wide);
        clamp_to(p->wide, m->width, -AETHER_INT8_ACTIVATION, AETHER_INT8_ACTIVATION, p->h);
    } else {
        norm(p, vector(m, AETHER_NORM_WEIGHT, l), p->h);
    }
    linear_clamped(p, l, p->h, AETHER_ATTENTION_WQ, AETHER_ATTENTION_BQ, AETHER_INTEGERS_Q, AETHER_INT8_ACTIVATION, p->q);
    linear_clamped(p, l, p->h, AETHER_ATTENTION_WK, AETHER_ATTENTION_BK, AETHER_INTEGERS_K, AETHER_INT8_STORED, p->a);
    store(p->a, cache->at.row, rows + cache->at.rows_k + row);
    linear_clamped(p, l, p->h, AETHER_ATTENTION_WV, AETHER_ATTENTION_BV, AETHER_INTEGERS_V, AETHER_INT8_STORED, p->a);
    store(p->a, cache->at.row, rows + cache->at.rows_v + row);
    (void)aether_cache_stage_run(cache);
    if (l == 0) {
        aether_int8_list_seen(cache, p->attend, &p->seen);
    }
    aether_int8_attend(cache, &p->seen, p->q, vector(m, AETHER_INTEGERS_SCORE, l), p->a);
    linear(p, l, p->a, AETHER_ATTENTION_WO, AETHER_ATTENTION_BO, AETHER_INTEGERS_O);
    add(p->wide, m->width, p->x);
    if (m->hidden != 0) {
        norm(p, vector(m, AETHER_FEED_FORWARD_NORM, l), p->h);
        linear_clamped(p, l, p->h, AETHER_FEED_FORWARD_W1, AETHER_FEED_FORWARD_B1, AETHER_INTEGERS_W1, AETHER_INT8_ACTIVATION, p->hidden);
        for (j = 0; j < m->hidden; j++) {
            p->hidden[j] = (int16_t)(p->hidden[j] > 0 ? p->hidden[j] : 0);
        }
        linear(p, l, p->hidden, AETHER_FEED_FORWARD_W2, AETHER_FEED_FORWARD_B2, AETHER_INTEGERS_W2);
        add(p->wide, m->width, p->x);
    }
}

/* The mean of the pooled rows, with the newest one, into h. The sum of the rows is carried along. */
static void pool(const push *p) {
    const aether_model *m = p->model;
    const aether_stream *s = p->stream;
    const size_t slot = aether_ring(s->length, m->pool_frames);
    int16_t *row = shorts(s, s->at.pool) + slot * m->width;
    int32_t *sums = words(s, s->at.sums);
    const uint32_t count = s->length < m->pool_frames ? (uint32_t)s->length + 1 : m->pool_frames;
    const int32_t r = (int32_t)(0x7FFFFFFFu / count);
    size_t c;
    for (c = 0; c < m->width; c++) {
        sums[c] -= row[c]; /* zeros before there is one */
    }
    norm(p, vector(m, AETHER_NORM_FINAL, 0), row);
    for (c = 0; c < m->width; c++) {
        sums[c] += row[c];
        p->h[c] = (int16_t)(((int64_t)sums[c] * r + (1 << 30)) >> 31);
    }
}

/* The newest logits and embedding as binary32. */
static void show(const aether_stream *s) {
    const aether_model *m = s->model;
    const int exponent = aether_int8_exponent(m->logit_unit);
    size_t i;
    for (i = 0; i < m->header.n_classes; i++) {
        aether_stream_floats(s, s->at.shown)[i] = aether_int8_real(words(s, s->at.logits)[i], exponent);
    }
    for (i = 0; i < m->embed_dim; i++) {
        aether_stream_floats(s, s->at.shown_embedding)[i] = aether_int8_real(words(s, s->at.embedding)[i], -AETHER_INT8_ONE_BITS);
    }
}

/* h -> the newest logits and embedding. */
static void classify(const push *p) {
    const aether_model *m = p->model;
    const aether_stream *s = p->stream;
    size_t o;
    linear(p, 0, p->h, AETHER_CLASSIFIER_WEIGHT, AETHER_CLASSIFIER_BIAS, AETHER_INTEGERS_CLASSIFIER);
    for (o = 0; o < m->header.n_classes; o++) {
        words(s, s->at.logits)[o] = aether_int8_clamp(p->wide[o], AETHER_INT8_LOGIT);
    }
    if (m->embed_dim != 0) {
        int16_t *e = shorts(s, s->at.shown_embedding); /* made anew by `show` */
        linear_clamped(p, 0, p->h, AETHER_EMBEDDING_WEIGHT, AETHER_EMBEDDING_BIAS, AETHER_INTEGERS_EMBEDDING, AETHER_INT8_RESIDUAL, e);
        aether_int8_unit(e, m->embed_dim, 0, words(s, s->at.embedding));
    }
    show(s);
}

aether_status aether_int8_push(aether_stream *s, const float *frame, unsigned char *scratch) {
    const aether_model *m = s->model;
    const aether_stream_layout *at = &s->at;
    push p;
    size_t l;
    if (!aether_all_finite(frame, m->header.input_dim)) {
        return AETHER_E_NOT_FINITE;
    }
    if (s->length >= AETHER_LENGTH_MAX - 1) {
        return AETHER_E_CACHE_FULL;
    }
    p.stream = s;
    p.model = m;
    p.input = (int16_t *)(void *)(scratch + (at->input - at->state));
    p.x = (int16_t *)(void *)(scratch + (at->x - at->state));
    p.h = (int16_t *)(void *)(scratch + (at->h - at->state));
    p.q = (int16_t *)(void *)(scratch + (at->q - at->state));
    p.a = (int16_t *)(void *)(scratch + (at->a - at->state));
    p.hidden = (int16_t *)(void *)(scratch + (at->hidden - at->state));
    p.wide = (int32_t *)(void *)(scratch + (at->wide - at->state));
    p.attend = scratch + (at->attend - at->state);
    if (!measure(&p, frame)) {
        return AETHER_E_OVERFLOW;
    }
    input(&p);
    for (l = 0; l < m->header.n_layers; l++) {
        run_layer(&p, l);
    }
    if (m->pool_kind == 1) {
        pool(&p);
    } else {
        norm(&p, vector(m, AETHER_NORM_FINAL, 0), p.h);
    }
    classify(&p);
    for (l = 0; l < m->header.n_layers; l++) {
        aether_cache_commit(aether_stream_layer(s, l));
    }
    s->length++;
    return AETHER_OK;
}

void aether_int8_restore(aether_stream *s) {
    const aether_model *m = s->model;
    const uint64_t rows = m->pool_kind != 1 ? 0 : s->length < m->pool_frames ? s->length : m->pool_frames;
    int32_t *sums = words(s, s->at.sums);
    size_t c;
    uint64_t i;
    for (c = 0; c < m->width && m->pool_kind == 1; c++) {
        sums[c] = 0;
    }
    for (i = 0; i < rows; i++) {
        for (c = 0; c < m->width; c++) {
            sums[c] += shorts(s, s->at.pool)[i * m->width + c];
        }
    }
    show(s);
}

/* 1 when the magnitudes of n numbers of `size` bytes are at most `most`. */
static int within(const unsigned char *p, size_t n, size_t size, int32_t most) {
    for (; n > 0; n--, p += size) {
        const uint32_t bits = size == 4 ? aether_get_u32(p) : size == 2 ? aether_get_u16(p) : p[0];
        const uint32_t sign = 1u << (8 * size - 1), magnitude = (bits & sign) != 0 ? (sign - (bits & (sign - 1))) : bits;
        if (magnitude > (uint32_t)most) {
            return 0;
        }
    }
    return 1;
}

int aether_int8_sound(const aether_stream *s, const unsigned char *payload) {
    const aether_model *m = s->model;
    const aether_stream_layout *at = &s->at;
    const unsigned char *rows = payload + m->header.n_layers * at->cache_payload - at->stem;
    const size_t pooled = m->pool_kind == 1 ? (size_t)m->pool_frames * m->width : 0;
    return within(payload, m->header.n_layers * at->cache_payload, 1, AETHER_INT8_STORED) &&
           within(rows + at->stem, m->stem_taps * m->width, 2, AETHER_INT8_RESIDUAL) &&
           within(rows + at->conv, m->header.n_layers * m->taps * m->width, 2, AETHER_INT8_ACTIVATION) &&
           within(rows + at->pool, pooled, 2, AETHER_INT8_ACTIVATION) &&
           within(rows + at->logits, m->header.n_classes, 4, AETHER_INT8_LOGIT) &&
           within(rows + at->embedding, m->embed_dim, 4, 2 << AETHER_INT8_ONE_BITS);
}
