/* An attention case, computed in every way the core offers: whole, in rows, step by step, with a prefill, after a bulk append,
   after a reset, across saved state. All of them have to give the same rows. */
#include "../src/bits.h"

#include "case.h"

enum { FORWARD = 1, SPLIT = 2, STEP = 4, PREFILL = 8, APPEND = 16, RESET = 32 };

#define NOT_AT_ALL 0xFFFFFFFFu
#define UNTOUCHED 0xA5A5A5A5u
#define SAVED_EXTRA 128u /* a saved state is the memory of the cache, a header and a CRC */

typedef struct attention_case {
    aether_config config;
    aether_head head;
    golden_input q, k, v;
    size_t tokens, q_row, kv_row;
    aether_dtype dtype;
    uint64_t capacity; /* of a cache */
    aether_policy policy;
    uint32_t modes, poison_at, save_at;
} attention_case;

static int read_case(golden_run *run, attention_case *a) {
    const uint32_t *p = run->c.params + GOLDEN_CONFIG_WORDS;
    if (!golden_config(&run->c, 7, &a->config) || !golden_input_at(&run->c, 0, &a->q) ||
        !golden_input_at(&run->c, 1, &a->k) || !golden_input_at(&run->c, 2, &a->v) ||
        aether_head_init(&a->head, &a->config, run->kernels, NULL) != AETHER_OK) {
        return 0;
    }
    a->tokens = p[0];
    a->dtype = (aether_dtype)p[1];
    a->capacity = p[2] != 0 ? p[2] : p[0] != 0 ? p[0] : 1;
    a->policy = (aether_policy)p[3];
    a->modes = p[4];
    a->poison_at = p[5];
    a->save_at = p[6];
    a->q_row = (size_t)a->config.q_heads * a->config.head_dim;
    a->kv_row = (size_t)a->config.kv_heads * a->config.head_dim;
    return 1;
}

/* The head as a cache of this capacity sees it: that is what forward must agree with. */
static aether_status limited_head(const golden_run *run, const attention_case *a, aether_head *head) {
    const aether_status status = aether_head_init(head, &a->config, run->kernels, NULL);
    if (status == AETHER_OK && run->c.params[GOLDEN_CONFIG_WORDS + 2] != 0) {
        *head = aether_head_within(head, a->capacity);
    }
    return status;
}

typedef struct whole {
    float *q, *k, *v, *out;
} whole;

static whole take_whole(golden_run *run, const attention_case *a) {
    whole w;
    w.q = golden_take(&run->arena, a->tokens * a->q_row, sizeof(float));
    w.k = golden_take(&run->arena, a->tokens * a->kv_row, sizeof(float));
    w.v = golden_take(&run->arena, a->tokens * a->kv_row, sizeof(float));
    w.out = golden_take(&run->arena, a->tokens * a->q_row, sizeof(float));
    return w;
}

static void fill_whole(const attention_case *a, const whole *w) {
    const uint32_t untouched = UNTOUCHED;
    size_t i;
    golden_fill(&a->q, 0, a->tokens * a->q_row, w->q);
    golden_fill(&a->k, 0, a->tokens * a->kv_row, w->k);
    golden_fill(&a->v, 0, a->tokens * a->kv_row, w->v);
    for (i = 0; i < a->tokens * a->q_row; i++) {
        memcpy(w->out + i, &untouched, sizeof untouched);
    }
}

/* A rejected call leaves its output as it was. */
static void put_untouched(golden_sink *sink, const float *out, size_t count) {
    size_t i;
    for (i = 0; i < count; i++) {
        uint32_t word;
        memcpy(&word, out + i, sizeof word);
        if (word != UNTOUCHED && sink->result.mismatches++ == 0) {
            sink->result.first = i;
            sink->result.expected = UNTOUCHED;
            sink->result.got = word;
        }
    }
}

static void run_forward(golden_run *run, const attention_case *a) {
    aether_head head;
    aether_status status = limited_head(run, a, &head);
    const whole w = take_whole(run, a);
    golden_sink sink;
    size_t bytes = 0;
    void *workspace;
    if (status == AETHER_OK) {
        status = aether_attention_workspace(&head, a->tokens, a->dtype, &bytes);
    }
    workspace = golden_take(&run->arena, bytes, 1);
    if (!golden_ready(run)) {
        return;
    }
    fill_whole(a, &w);
    golden_sink_open(&sink, &run->c, "forward", 0);
    if (status == AETHER_OK) {
        status = aether_attention_forward(&head, w.q, w.k, w.v, a->tokens, a->dtype, w.out, workspace, bytes);
    }
    if (status == AETHER_OK) {
        golden_put_floats(&sink, w.out, a->tokens * a->q_row);
    } else if (status == AETHER_E_NOT_FINITE) {
        put_untouched(&sink, w.out, a->tokens * a->q_row);
    }
    golden_close(run, &sink, status, status == AETHER_OK);
}

/* Rows from the last to the first, in parts of 1, 2, 3, 5, 8, 13, 21 that begin anywhere. */
static aether_status rows_in_parts(const aether_plan *plan, const whole *w, size_t tokens, void *scratch, size_t bytes) {
    static const size_t parts[7] = {1, 2, 3, 5, 8, 13, 21};
    size_t end = tokens, turn = 0;
    aether_status status = AETHER_OK;
    while (end > 0 && status == AETHER_OK) {
        const size_t count = end < parts[turn % 7] ? end : parts[turn % 7];
        status = aether_attention_rows(plan, w->q, end - count, count, w->out, scratch, bytes);
        end -= count;
        turn++;
    }
    return status;
}

static void run_split(golden_run *run, const attention_case *a) {
    aether_head head;
    aether_plan plan;
    aether_status status = limited_head(run, a, &head);
    const whole w = take_whole(run, a);
    golden_sink sink;
    size_t plan_bytes = 0, rows_bytes = 0;
    void *workspace, *scratch;
    if (status == AETHER_OK) {
        status = aether_attention_plan_size(&head, a->tokens, a->dtype, &plan_bytes);
    }
    if (status == AETHER_OK) {
        status = aether_attention_rows_size(&head, a->tokens, &rows_bytes);
    }
    workspace = golden_take(&run->arena, plan_bytes, 1);
    scratch = golden_take(&run->arena, rows_bytes, 1);
    if (!golden_ready(run)) {
        return;
    }
    fill_whole(a, &w);
    golden_sink_open(&sink, &run->c, "split", 0);
    if (status == AETHER_OK) {
        status = aether_attention_prepare(&plan, &head, w.k, w.v, a->tokens, a->dtype, workspace, plan_bytes);
    }
    if (status == AETHER_OK) {
        status = rows_in_parts(&plan, &w, a->tokens, scratch, rows_bytes);
    }
    if (status == AETHER_OK) {
        golden_put_floats(&sink, w.out, a->tokens * a->q_row);
    }
    golden_close(run, &sink, status, status == AETHER_OK);
}

/* A cache, and rows of one token. */
typedef struct stream {
    aether_cache cache;
    void *memory, *scratch, *saved;
    size_t memory_bytes, scratch_bytes, saved_bytes;
    float *q, *k, *v, *out;
} stream;

static aether_status start(stream *s, const attention_case *a) {
    return aether_cache_init(&s->cache, &a->head, a->capacity, a->dtype, a->policy, s->memory, s->memory_bytes);
}

/* Takes the memory. Sizes are asked of a cache that has none yet: they depend on its head and capacity alone. */
static aether_status take_stream(golden_run *run, const attention_case *a, size_t at_once, stream *s) {
    aether_status status;
    memset(s, 0, sizeof *s);
    status = aether_cache_size(&a->head, a->capacity, a->dtype, &s->memory_bytes);
    if (status != AETHER_OK) {
        return status;
    }
    s->memory = golden_take(&run->arena, s->memory_bytes, 1);
    s->q = golden_take(&run->arena, a->q_row, sizeof(float));
    s->k = golden_take(&run->arena, a->kv_row, sizeof(float));
    s->v = golden_take(&run->arena, a->kv_row, sizeof(float));
    s->out = golden_take(&run->arena, a->q_row, sizeof(float));
    if (run->arena.base == NULL) {
        s->cache.head = aether_head_within(&a->head, a->capacity);
        s->cache.capacity = a->capacity;
        s->cache.length = a->tokens;
        s->cache.dtype = a->dtype;
        s->cache.policy = a->policy;
        s->cache.n_globals = a->config.n_globals;
        s->cache.memory_bytes = s->memory_bytes;
    } else if (!run->arena.failed) {
        status = start(s, a);
    }
    if (status == AETHER_OK && !run->arena.failed) {
        status = aether_cache_scratch(&s->cache, at_once, &s->scratch_bytes);
    }
    if (status == AETHER_OK && !run->arena.failed) {
        s->saved_bytes = a->save_at != NOT_AT_ALL ? s->memory_bytes + SAVED_EXTRA + 4 * a->config.n_globals : 0;
        s->scratch = golden_take(&run->arena, s->scratch_bytes, 1);
        s->saved = golden_take(&run->arena, s->saved_bytes, 1);
    }
    return status;
}

static aether_status step(stream *s, const attention_case *a, size_t t) {
    golden_fill(&a->q, t * a->q_row, a->q_row, s->q);
    golden_fill(&a->k, t * a->kv_row, a->kv_row, s->k);
    golden_fill(&a->v, t * a->kv_row, a->kv_row, s->v);
    return aether_cache_step(&s->cache, &a->head, s->q, s->k, s->v, s->out, s->scratch, s->scratch_bytes);
}

/* Saves, forgets everything, restores. */
static aether_status save_and_load(stream *s, const attention_case *a) {
    const size_t bytes = aether_cache_saved_size(&s->cache);
    aether_status status = bytes <= s->saved_bytes ? aether_cache_save(&s->cache, s->saved, bytes) : AETHER_E_MEMORY;
    if (status == AETHER_OK) {
        memset(s->memory, 0xA5, s->memory_bytes);
        status = start(s, a);
    }
    return status == AETHER_OK ? aether_cache_load(&s->cache, s->saved, bytes, NULL) : status;
}

/* One token three times with a value that is rejected; each time nothing may change. */
static int poison(stream *s, const attention_case *a, size_t t) {
    const uint32_t bad[3] = {0x7F800000u, 0xFF800000u, 0x7FC00000u};
    size_t part;
    for (part = 0; part < 3; part++) {
        float *const rows[3] = {s->q, s->k, s->v};
        const size_t last = (part == 0 ? a->q_row : a->kv_row) - 1;
        uint32_t word = UNTOUCHED;
        golden_fill(&a->q, t * a->q_row, a->q_row, s->q);
        golden_fill(&a->k, t * a->kv_row, a->kv_row, s->k);
        golden_fill(&a->v, t * a->kv_row, a->kv_row, s->v);
        memcpy(s->out, &word, sizeof word);
        memcpy(rows[part] + last, &bad[part], sizeof bad[part]);
        if (aether_cache_step(&s->cache, &a->head, s->q, s->k, s->v, s->out, s->scratch, s->scratch_bytes) !=
            AETHER_E_NOT_FINITE) {
            return 0;
        }
        memcpy(&word, s->out, sizeof word);
        if (word != UNTOUCHED) {
            return 0;
        }
    }
    return 1;
}

/* Steps for the tokens [first, tokens), each row compared as it comes. */
static void run_steps(golden_run *run, const attention_case *a, stream *s, const char *path, size_t first,
                      aether_status status) {
    golden_sink sink;
    size_t t;
    golden_sink_open(&sink, &run->c, path, first * a->q_row);
    for (t = first; t < a->tokens && status == AETHER_OK; t++) {
        if (t == a->poison_at && !poison(s, a, t)) {
            sink.result.mismatches++;
            sink.result.first = t * a->q_row;
        }
        if (t == a->save_at) {
            status = save_and_load(s, a);
        }
        if (status == AETHER_OK) {
            status = step(s, a, t);
        }
        if (status == AETHER_OK) {
            golden_put_floats(&sink, s->out, a->q_row);
        }
    }
    golden_close(run, &sink, status, 1);
}

static void run_step(golden_run *run, const attention_case *a, int reset) {
    stream s;
    aether_status status = take_stream(run, a, 1, &s);
    size_t t;
    if (!golden_ready(run)) {
        return;
    }
    for (t = 0; reset && t < a->tokens && t < 5 && t < a->capacity && status == AETHER_OK; t++) {
        status = step(&s, a, a->tokens - 1 - t);
    }
    if (reset && s.cache.memory != NULL) { /* none when this head has no cache */
        aether_cache_reset(&s.cache);
    }
    run_steps(run, a, &s, reset ? "reset" : "step", 0, status);
}

static void run_append(golden_run *run, const attention_case *a) {
    const size_t first = a->tokens / 2;
    float *k = golden_take(&run->arena, first * a->kv_row, sizeof(float));
    float *v = golden_take(&run->arena, first * a->kv_row, sizeof(float));
    stream s;
    aether_status status = take_stream(run, a, 1, &s);
    if (!golden_ready(run)) {
        return;
    }
    if (status == AETHER_OK && first > 0) {
        golden_fill(&a->k, 0, first * a->kv_row, k);
        golden_fill(&a->v, 0, first * a->kv_row, v);
        status = aether_cache_append(&s.cache, k, v, first);
    }
    run_steps(run, a, &s, "append", first, status);
}

/* A third at once into the empty cache, then all but the last token at once, then a step. */
static void run_prefill(golden_run *run, const attention_case *a) {
    const whole w = take_whole(run, a);
    const size_t cuts[4] = {0, a->tokens / 3, a->tokens - (a->tokens > 0), a->tokens};
    stream s;
    aether_status status = take_stream(run, a, a->tokens, &s);
    golden_sink sink;
    size_t part;
    if (!golden_ready(run)) {
        return;
    }
    fill_whole(a, &w);
    golden_sink_open(&sink, &run->c, "prefill", 0);
    for (part = 0; part < 3 && status == AETHER_OK; part++) {
        const size_t from = cuts[part], count = cuts[part + 1] - from;
        const float *q = w.q + from * a->q_row;
        const float *k = w.k + from * a->kv_row;
        const float *v = w.v + from * a->kv_row;
        float *out = w.out + from * a->q_row;
        status = part < 2 || count == 0
                     ? aether_cache_prefill(&s.cache, &a->head, q, k, v, count, out, s.scratch, s.scratch_bytes)
                     : aether_cache_step(&s.cache, &a->head, q, k, v, out, s.scratch, s.scratch_bytes);
    }
    if (status == AETHER_OK) {
        golden_put_floats(&sink, w.out, a->tokens * a->q_row);
    }
    golden_close(run, &sink, status, status == AETHER_OK);
}

/* The bytes of a saved cache after all tokens. */
static void run_state(golden_run *run, const attention_case *a) {
    const size_t most = SAVED_EXTRA + 4 * a->config.n_globals;
    stream s;
    aether_status status = take_stream(run, a, 1, &s);
    unsigned char *saved = golden_take(&run->arena, status == AETHER_OK ? s.memory_bytes + most : 0, 1);
    golden_sink sink;
    size_t t, bytes;
    if (!golden_ready(run)) {
        return;
    }
    golden_sink_open(&sink, &run->c, "saved", 0);
    for (t = 0; t < a->tokens && status == AETHER_OK; t++) {
        status = step(&s, a, t);
    }
    if (status == AETHER_OK) {
        bytes = aether_cache_saved_size(&s.cache);
        status = bytes <= s.memory_bytes + most ? aether_cache_save(&s.cache, saved, bytes) : AETHER_E_MEMORY;
    }
    if (status == AETHER_OK) {
        golden_put_bytes(&sink, saved, bytes);
    }
    golden_close(run, &sink, status, 1);
}

void golden_run_attention(golden_run *run) {
    attention_case a;
    uint32_t mode;
    if (!read_case(run, &a)) {
        return;
    }
    if (run->c.kernel == GOLDEN_CACHE_STATE) {
        run->arena.used = 0;
        run_state(run, &a);
        return;
    }
    for (mode = FORWARD; mode <= RESET && !run->arena.failed; mode <<= 1) {
        run->arena.used = 0;
        switch (a.modes & mode) {
        case FORWARD:
            run_forward(run, &a);
            break;
        case SPLIT:
            run_split(run, &a);
            break;
        case STEP:
            run_step(run, &a, 0);
            break;
        case PREFILL:
            run_prefill(run, &a);
            break;
        case APPEND:
            run_append(run, &a);
            break;
        case RESET:
            run_step(run, &a, 1);
            break;
        default:
            break;
        }
    }
}
