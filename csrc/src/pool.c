/* Many streams at once. What needs the weights alone is done with the rows of all streams together; what needs the past of a stream,
   stream by stream, by the functions of a single one. A group of rows is committed as a whole; where a row of it fails, each is tried
   alone. */
#include "aether/pool.h"

#include "bits.h"
#include "cache_layout.h"
#include "fpenv.h"
#include "int8_stream.h"
#include "model_ops.h"
#include "sizes.h"
#include "stream_layout.h"

#define TOGETHER 32u /* rows of a group: their buffers stay in a first-level cache */
#define AHEAD 1u    /* rows from one that is worked on to the one whose state is asked for */
#define SOON 16384u /* bytes that are worth asking for */
#define MOST 0x80000000u
#define NONE UINT32_MAX

typedef struct entry {
    uint64_t id;
    uint64_t length;       /* frames so far */
    uint64_t group;        /* the last group of rows that it was part of */
    uint32_t newer, older; /* neighbours by use */
    uint32_t next;         /* of the same bucket, or unused like this one */
} entry;

static aether_status lay_out(const aether_model *m, uint64_t context, aether_dtype dtype, uint32_t most, aether_pool_layout *at,
                             aether_stream_layout *stream) {
    const aether_head head = aether_head_within(&m->head, context);
    aether_attend_layout attend;
    aether_bytes bytes = {0, 0};
    aether_status status = most == 0 || most > MOST ? AETHER_E_CONFIG
                                                    : aether_stream_lay_out(m, context, dtype, sizeof(void *), stream, NULL);
    const int whole = aether_in_integers(m);
    const size_t together = whole ? 0 : TOGETHER; /* frames of a model in integers go one by one */
    size_t n_buckets = 1;
    if (status == AETHER_OK) {
        status = aether_cache_lay_out_scratch(&head, sizeof(void *), &attend);
    }
    if (status != AETHER_OK) {
        return status;
    }
    while (n_buckets < most) {
        n_buckets *= 2;
    }
    at->stream_bytes = stream->state;
    at->candidate_bytes = attend.sizes;
    at->streams = aether_take(&bytes, most, at->stream_bytes);
    at->entries = aether_take(&bytes, most, sizeof(entry));
    at->buckets = aether_take(&bytes, n_buckets, sizeof(uint32_t));
    at->slots = aether_take(&bytes, most, sizeof(uint32_t));
    at->input = aether_take(&bytes, aether_mul(together, m->header.input_dim), sizeof(float));
    at->x = aether_take(&bytes, aether_mul(together, m->width), sizeof(float));
    at->h = aether_take(&bytes, aether_mul(together, m->width), sizeof(float));
    at->fresh = aether_take(&bytes, aether_mul(together, m->width), sizeof(float));
    at->q = aether_take(&bytes, aether_mul(together, aether_q_width(m)), sizeof(float));
    at->a = aether_take(&bytes, aether_mul(together, aether_q_width(m)), sizeof(float));
    at->k = aether_take(&bytes, aether_mul(together, aether_kv_width(m)), sizeof(float));
    at->v = aether_take(&bytes, aether_mul(together, aether_kv_width(m)), sizeof(float));
    at->hidden = aether_take(&bytes, aether_mul(together, m->hidden), sizeof(float));
    at->logits = aether_take(&bytes, aether_mul(together, m->header.n_classes), sizeof(float));
    at->embeddings = aether_take(&bytes, aether_mul(together, m->embed_dim), sizeof(float));
    at->seen = aether_take(&bytes, together, sizeof(aether_row));
    at->candidates = aether_take(&bytes, aether_mul(together, at->candidate_bytes), 1);
    /* All but its `out`: that is `a`. Of a model in integers, the scratch of a stream. */
    at->attend = aether_take(&bytes, whole ? stream->total - stream->state : attend.out, 1);
    return aether_taken(&bytes, &at->total);
}

static void *part(const aether_pool *p, size_t offset) {
    return p->memory + offset;
}

static entry *entry_of(const aether_pool *p, uint32_t slot) {
    return (entry *)part(p, p->at.entries) + slot;
}

/* The stream in a slot; a pool has one such object, which is each in turn. */
static aether_stream *stream_of(aether_pool *p, uint32_t slot) {
    p->stream.memory = p->memory + p->at.streams + slot * p->at.stream_bytes;
    p->stream.length = entry_of(p, slot)->length;
    return &p->stream;
}

/* -- ids ---------------------------------------------------------------------------------------------------------------------- */

static uint32_t *bucket_of(const aether_pool *p, uint64_t id) {
    id = (id ^ (id >> 32)) * 0x9E3779B97F4A7C15u;
    return (uint32_t *)part(p, p->at.buckets) + ((id >> 32) & p->mask);
}

static uint32_t find(const aether_pool *p, uint64_t id) {
    uint32_t slot = *bucket_of(p, id);
    while (slot != NONE && entry_of(p, slot)->id != id) {
        slot = entry_of(p, slot)->next;
    }
    return slot;
}

static void unlink_use(aether_pool *p, uint32_t slot) {
    const entry *e = entry_of(p, slot);
    *(e->newer != NONE ? &entry_of(p, e->newer)->older : &p->newest) = e->older;
    *(e->older != NONE ? &entry_of(p, e->older)->newer : &p->oldest) = e->newer;
}

static void link_newest(aether_pool *p, uint32_t slot) {
    entry *e = entry_of(p, slot);
    e->newer = NONE;
    e->older = p->newest;
    *(p->newest != NONE ? &entry_of(p, p->newest)->newer : &p->oldest) = slot;
    p->newest = slot;
}

static void use(aether_pool *p, uint32_t slot) {
    unlink_use(p, slot);
    link_newest(p, slot);
}

/* Takes a slot out of its bucket and gives it back. */
static void forget(aether_pool *p, uint32_t slot) {
    entry *e = entry_of(p, slot);
    uint32_t *at = bucket_of(p, e->id);
    while (*at != slot) {
        at = &entry_of(p, *at)->next;
    }
    *at = e->next;
    unlink_use(p, slot);
    e->next = p->unused;
    p->unused = slot;
    p->count--;
}

/* Empties the next unused slot. */
static uint32_t clear_unused(aether_pool *p) {
    entry_of(p, p->unused)->length = 0;
    entry_of(p, p->unused)->group = 0;
    aether_stream_reset(stream_of(p, p->unused));
    return p->unused;
}

/* Gives the next unused slot to `id`. */
static uint32_t adopt(aether_pool *p, uint64_t id) {
    const uint32_t slot = p->unused;
    entry *e = entry_of(p, slot);
    uint32_t *bucket = bucket_of(p, id);
    p->unused = e->next;
    e->id = id;
    e->next = *bucket;
    *bucket = slot;
    link_newest(p, slot);
    p->count++;
    return slot;
}

/* Finds or makes the slots of a batch, and counts them as used, in order. */
static void place(aether_pool *p, const uint64_t *ids, size_t n, uint32_t *slots, aether_pushed *pushed) {
    size_t r;
    pushed->n_evicted = 0;
    for (r = 0; r < n; r++) { /* first what is there, so that none of the batch goes for another */
        slots[r] = find(p, ids[r]);
        if (slots[r] != NONE) {
            use(p, slots[r]);
        }
    }
    for (r = 0; r < n; r++) {
        if (slots[r] == NONE) {
            slots[r] = find(p, ids[r]); /* made by an earlier row */
        }
        if (slots[r] == NONE) {
            if (p->unused == NONE) {
                pushed->evicted[pushed->n_evicted++] = entry_of(p, p->oldest)->id;
                forget(p, p->oldest);
            }
            (void)clear_unused(p);
            slots[r] = adopt(p, ids[r]);
        }
    }
    for (r = 0; r < n; r++) {
        use(p, slots[r]);
    }
}

/* -- a group of rows ---------------------------------------------------------------------------------------------------------- */

/* Rows of different streams on their way through the model; the buffers of model_pass.h. */
typedef struct group {
    aether_pool *pool;
    const aether_model *model;
    const uint32_t *slots;
    size_t rows;
    float *input, *x, *h, *fresh, *q, *a, *k, *v, *hidden, *logits, *embeddings;
} group;

/* Asks for bytes that will soon be read. Streams lie far apart, so the processor does not foresee the next one by itself. */
static void prefetch(const unsigned char *p, size_t bytes) {
#if defined(__GNUC__)
    size_t line;
    for (line = 0; line < bytes && bytes <= SOON; line += 64) {
        __builtin_prefetch(p + line);
    }
#else
    (void)p, (void)bytes;
#endif
}

/* Asks for the bytes from `offset` on of the state of row r. */
static void prefetch_state(const group *g, size_t r, size_t offset, size_t bytes) {
    const aether_pool *p = g->pool;
    if (r < g->rows) {
        prefetch(p->memory + p->at.streams + g->slots[r] * p->at.stream_bytes + offset, bytes);
    }
}

/* Puts row r of `fresh` among the rows [count][width] that its stream looks back on, at byte `offset` of its state. */
static float *remember(const group *g, size_t r, size_t offset, size_t count, uint64_t *time) {
    const size_t w = g->model->width;
    const aether_stream *s = stream_of(g->pool, g->slots[r]);
    float *rows = aether_stream_floats(s, offset);
    prefetch_state(g, r + AHEAD, offset, count * w * sizeof(float));
    *time = s->length;
    memcpy(rows + aether_ring(s->length, count) * w, g->fresh + r * w, w * sizeof(float));
    return rows;
}

/* Filters `fresh` with the rows before it -> y. */
static aether_status filter(const group *g, size_t offset, size_t taps, const float *bias, const float *weight, int relu, float *y) {
    aether_status status = AETHER_OK;
    uint64_t time;
    size_t r;
    for (r = 0; r < g->rows && status == AETHER_OK; r++) {
        const float *rows = remember(g, r, offset, taps, &time);
        status = aether_op_filter(g->model, rows, time, taps, taps, bias, weight, relu, y + r * g->model->width);
    }
    return status;
}

static aether_status input(const group *g, const float *frames) {
    const aether_model *m = g->model;
    aether_status status = aether_op_input(m, frames, g->rows, g->input, m->stem_taps != 0 ? g->fresh : g->x);
    if (status == AETHER_OK && m->stem_taps != 0) {
        status = filter(g, g->pool->stream.at.stem, m->stem_taps, aether_vector(m, AETHER_STEM_BIAS, 0),
                        aether_vector(m, AETHER_STEM_WEIGHT, 0), m->stem_activation == 1, g->x);
    }
    return status;
}

/* Attention of a layer, a query a stream: q, k, v -> a. */
static aether_status attend(const group *g, size_t l) {
    const size_t q = aether_q_width(g->model), kv = aether_kv_width(g->model);
    const aether_pool_layout *at = &g->pool->at;
    aether_row *seen = part(g->pool, at->seen);
    aether_status status = AETHER_OK;
    size_t r;
    for (r = 0; r < g->rows && status == AETHER_OK; r++) {
        aether_cache *cache = aether_stream_layer(stream_of(g->pool, g->slots[r]), l);
        prefetch_state(g, r + AHEAD, g->pool->stream.at.cache + l * g->pool->stream.at.cache_bytes, g->pool->stream.at.cache_bytes);
        status = aether_cache_stage_finite(cache, g->k + r * kv, g->v + r * kv);
        if (status == AETHER_OK && l == 0) {
            aether_cache_candidates(cache, part(g->pool, at->candidates + r * at->candidate_bytes), &seen[r]);
        }
        if (status == AETHER_OK) {
            aether_cache_attend_row(cache, &seen[r], g->q + r * q, g->a + r * q, part(g->pool, at->attend)); /* an overflow shows in x */
        }
    }
    return status;
}

/* x -> x: one layer. */
static aether_status run_layer(const group *g, size_t l) {
    const aether_model *m = g->model;
    aether_status status = aether_op_norm(m, g->x, g->rows, aether_vector(m, AETHER_NORM_WEIGHT, l), m->taps != 0 ? g->fresh : g->h);
    if (status == AETHER_OK && m->taps != 0) {
        status = filter(g, g->pool->stream.at.conv + l * m->taps * m->width * sizeof(float), m->taps,
                        aether_vector(m, AETHER_CONVOLUTION_BIAS, l), aether_vector(m, AETHER_CONVOLUTION_WEIGHT, l), 0, g->h);
    }
    if (status == AETHER_OK) {
        status = aether_op_project(m, l, g->h, g->rows, g->q, g->k, g->v);
    }
    if (status == AETHER_OK) {
        status = attend(g, l);
    }
    if (status == AETHER_OK) {
        status = aether_op_project_out(m, l, g->a, g->rows, g->h, g->x);
    }
    return status == AETHER_OK ? aether_op_feed_forward(m, l, g->rows, g->h, g->hidden, g->x) : status;
}

/* Final norm and pooling of x; *p is where the result lies. */
static aether_status pool(const group *g, const float **p) {
    const aether_model *m = g->model;
    const int mean = m->pool_kind == 1;
    aether_status status = aether_op_norm(m, g->x, g->rows, aether_vector(m, AETHER_NORM_FINAL, 0), g->fresh);
    uint64_t time;
    size_t r;
    for (r = 0; mean && r < g->rows && status == AETHER_OK; r++) {
        const float *rows = remember(g, r, g->pool->stream.at.pool, m->pool_frames, &time);
        status = aether_op_pool(m, rows, time, m->pool_frames, aether_least(time + 1, m->pool_frames), g->x + r * m->width);
    }
    *p = mean ? g->x : g->fresh;
    return status;
}

static void commit(const group *g) {
    const aether_model *m = g->model;
    size_t r, l;
    for (r = 0; r < g->rows; r++) {
        aether_stream *s = stream_of(g->pool, g->slots[r]);
        for (l = 0; l < m->header.n_layers; l++) {
            aether_cache_commit(aether_stream_layer(s, l));
        }
        memcpy(s->memory + s->at.logits, g->logits + r * m->header.n_classes, m->header.n_classes * sizeof(float));
        memcpy(s->memory + s->at.embedding, g->embeddings + r * m->embed_dim, m->embed_dim * sizeof(float));
        entry_of(g->pool, g->slots[r])->length++;
    }
}

/* All rows of a group, or none. */
static aether_status run(aether_pool *p, const uint32_t *slots, size_t rows, const float *frames) {
    const aether_model *m = p->stream.model;
    const aether_pool_layout *at = &p->at;
    const float *pooled = NULL;
    aether_status status;
    group g;
    size_t l;
    g.pool = p;
    g.model = m;
    g.slots = slots;
    g.rows = rows;
    g.input = part(p, at->input);
    g.x = part(p, at->x);
    g.h = part(p, at->h);
    g.fresh = part(p, at->fresh);
    g.q = part(p, at->q);
    g.a = part(p, at->a);
    g.k = part(p, at->k);
    g.v = part(p, at->v);
    g.hidden = part(p, at->hidden);
    g.logits = part(p, at->logits);
    g.embeddings = part(p, at->embeddings);
    status = input(&g, frames);
    for (l = 0; l < m->header.n_layers && status == AETHER_OK; l++) {
        status = run_layer(&g, l);
    }
    if (status == AETHER_OK) {
        status = pool(&g, &pooled);
    }
    if (status == AETHER_OK) {
        status = aether_op_classify(m, pooled, rows, g.logits, g.embeddings);
    }
    if (status == AETHER_OK) {
        commit(&g);
    }
    return status;
}

/* -- a batch ------------------------------------------------------------------------------------------------------------------ */

static void fill_nan(float *x, size_t n) {
    for (; n > 0; n--) {
        *x++ = aether_from_bits(0x7FC00000u);
    }
}

/* Results and outputs of rows first .. first+rows-1 of the batch. */
static void hand_out(const aether_model *m, aether_pushed *pushed, size_t first, size_t rows, aether_status status, const float *new_logits,
                     const float *new_embeddings) {
    const size_t n = m->header.n_classes, e = m->embed_dim;
    float *logits = pushed->logits + first * n;
    float *embeddings = pushed->embeddings != NULL ? pushed->embeddings + first * e : NULL;
    size_t r;
    for (r = 0; r < rows; r++) {
        pushed->results[first + r] = status;
    }
    if (status != AETHER_OK) {
        fill_nan(logits, rows * n);
        fill_nan(embeddings, embeddings != NULL ? rows * e : 0);
        return;
    }
    memcpy(logits, new_logits, rows * n * sizeof(float));
    if (embeddings != NULL) {
        memcpy(embeddings, new_embeddings, rows * e * sizeof(float));
    }
}

/* Rows from `first` on that can go together: no stream stands twice. */
static size_t group_from(aether_pool *p, const uint32_t *slots, size_t first, size_t n) {
    size_t end = first;
    p->group++;
    while (end < n && end - first < TOGETHER && entry_of(p, slots[end])->group != p->group) {
        entry_of(p, slots[end])->group = p->group;
        end++;
    }
    return end - first;
}

/* Frames of a model in integers, one by one. */
static void push_whole(aether_pool *p, const uint32_t *slots, size_t n, const float *frames, aether_pushed *pushed) {
    const aether_model *m = p->stream.model;
    size_t r;
    for (r = 0; r < n; r++) {
        aether_stream *s = stream_of(p, slots[r]);
        pushed->results[r] = aether_int8_push(s, frames + r * m->header.input_dim, part(p, p->at.attend));
        hand_out(m, pushed, r, 1, pushed->results[r], aether_stream_floats(s, s->at.shown), aether_stream_floats(s, s->at.shown_embedding));
        entry_of(p, slots[r])->length = s->length;
    }
}

static AETHER_NOINLINE void push_here(aether_pool *p, const uint32_t *slots, size_t n, const float *frames, aether_pushed *pushed) {
    const size_t width = p->stream.model->header.input_dim;
    const float *logits = part(p, p->at.logits), *embeddings = part(p, p->at.embeddings);
    size_t first, rows, r;
    for (first = 0; first < n; first += rows) {
        aether_status status;
        rows = group_from(p, slots, first, n);
        status = run(p, slots + first, rows, frames + first * width);
        if (status == AETHER_OK || rows == 1) {
            hand_out(p->stream.model, pushed, first, rows, status, logits, embeddings);
            continue;
        }
        for (r = first; r < first + rows; r++) {
            status = run(p, slots + r, 1, frames + r * width);
            hand_out(p->stream.model, pushed, r, 1, status, logits, embeddings);
        }
    }
}

aether_status aether_pool_push(aether_pool *pool, const uint64_t *ids, size_t n, const float *frames, aether_pushed *pushed) {
    aether_fpenv env;
    uint32_t *slots;
    if (pool == NULL || pushed == NULL ||
        (n > 0 && (ids == NULL || frames == NULL || pushed->logits == NULL || pushed->results == NULL || pushed->evicted == NULL))) {
        return AETHER_E_ARGUMENT;
    }
    if (n > pool->most || (pushed->embeddings != NULL && pool->stream.model->embed_dim == 0)) {
        return AETHER_E_SHAPE;
    }
    if (!aether_aligned(ids, sizeof *ids) || !aether_aligned(frames, 4) || !aether_aligned(pushed->logits, 4) ||
        !aether_aligned(pushed->embeddings, 4) || !aether_aligned(pushed->evicted, sizeof *ids)) {
        return AETHER_E_ALIGNMENT;
    }
    if (n > 0 && !pool->stream.model->head.kernels->all_finite(frames, n * pool->stream.model->header.input_dim)) {
        return AETHER_E_NOT_FINITE;
    }
    slots = part(pool, pool->at.slots);
    place(pool, ids, n, slots, pushed);
    if (aether_in_integers(pool->stream.model)) {
        push_whole(pool, slots, n, frames, pushed);
        return AETHER_OK;
    }
    env = aether_fpenv_enter();
    push_here(pool, slots, n, frames, pushed);
    aether_fpenv_leave(env);
    return AETHER_OK;
}

/* -- the rest ----------------------------------------------------------------------------------------------------------------- */

aether_status aether_pool_size(const aether_model *model, uint64_t context, aether_dtype dtype, uint32_t most, size_t *bytes) {
    aether_stream_layout stream;
    aether_pool_layout at;
    aether_status status = model == NULL || bytes == NULL ? AETHER_E_ARGUMENT : lay_out(model, context, dtype, most, &at, &stream);
    if (status == AETHER_OK) {
        *bytes = at.total;
    }
    return status;
}

aether_status aether_pool_init(aether_pool *pool, const aether_model *model, uint64_t context, aether_dtype dtype, uint32_t most,
                               void *memory, size_t bytes) {
    aether_stream_layout stream;
    aether_pool own;
    aether_status status;
    uint32_t slot;
    if (pool == NULL || model == NULL || memory == NULL) {
        return AETHER_E_ARGUMENT;
    }
    memset(&own, 0, sizeof own);
    status = lay_out(model, context, dtype, most, &own.at, &stream);
    if (status == AETHER_OK) {
        status = aether_enough(memory, bytes, own.at.total, 8);
    }
    if (status != AETHER_OK) {
        return status;
    }
    status = aether_stream_init(&own.stream, model, context, dtype, memory, stream.total);
    own.memory = memory;
    own.memory_bytes = own.at.total;
    own.most = most;
    own.mask = 1;
    while (own.mask < most) {
        own.mask *= 2;
    }
    own.mask--;
    own.newest = own.oldest = own.unused = NONE;
    memset((unsigned char *)memory + own.at.buckets, 0xFF, ((size_t)own.mask + 1) * sizeof(uint32_t));
    for (slot = most; slot-- > 0;) {
        entry_of(&own, slot)->next = own.unused;
        own.unused = slot;
    }
    *pool = own;
    return status;
}

const aether_stream *aether_pool_at(aether_pool *pool, uint64_t id) {
    const uint32_t slot = find(pool, id);
    return slot != NONE ? stream_of(pool, slot) : NULL;
}

aether_status aether_pool_drop(aether_pool *pool, uint64_t id) {
    const uint32_t slot = pool != NULL ? find(pool, id) : NONE;
    if (slot == NONE) {
        return AETHER_E_ARGUMENT;
    }
    forget(pool, slot);
    return AETHER_OK;
}

aether_status aether_pool_load(aether_pool *pool, uint64_t id, const void *bytes, size_t size, aether_detail *detail) {
    uint32_t slot;
    aether_status status;
    if (pool == NULL || bytes == NULL) {
        return aether_fail(detail, AETHER_E_ARGUMENT, pool == NULL ? "pool" : "bytes", "not NULL", 0, SIZE_MAX);
    }
    slot = find(pool, id);
    if (slot == NONE && pool->unused == NONE) {
        return aether_fail(detail, AETHER_E_CACHE_FULL, "pool", "a free place", pool->count, SIZE_MAX);
    }
    status = aether_stream_load(stream_of(pool, slot != NONE ? slot : clear_unused(pool)), bytes, size, detail);
    if (status != AETHER_OK) {
        return status;
    }
    if (slot == NONE) {
        slot = adopt(pool, id);
    }
    entry_of(pool, slot)->length = pool->stream.length;
    use(pool, slot);
    return AETHER_OK;
}

void aether_pool_ids(const aether_pool *pool, uint64_t *ids) {
    uint32_t slot;
    for (slot = pool->oldest; slot != NONE; slot = entry_of(pool, slot)->newer) {
        *ids++ = entry_of(pool, slot)->id;
    }
}
