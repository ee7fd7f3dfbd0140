/* Many streams at once, beside as many single ones: pools, and steps of many caches. Prints what is wrong; ends with its count. */
#include <string.h>

#include "draft_blob.h"

#define PLACES 5u
#define NAMES 8u
#define TURNS 400u
#define CONTEXT 8u

static uint32_t drawn = 1;
static uint64_t words[1 << 14];
static unsigned char *const memory = (unsigned char *)words;

static uint32_t draw(void) {
    drawn = drawn * 1664525u + 1013904223u;
    return drawn >> 8;
}

static void fill(float *x, size_t n) {
    while (n-- > 0) {
        *x++ = (float)draw() * 0x1p-24f - 0.5f;
    }
}

static int same_state(const aether_stream *a, const aether_stream *b) {
    static unsigned char state[2][1 << 13];
    const size_t size = aether_stream_saved_size(a);
    EXPECT(size <= sizeof state[0] && size == aether_stream_saved_size(b));
    EXPECT(aether_stream_save(a, state[0], size) == AETHER_OK && aether_stream_save(b, state[1], size) == AETHER_OK);
    return a->length == b->length && memcmp(state[0], state[1], size) == 0;
}

/* Random batches beside streams of their own: the same outputs and states, and the least recently used one goes. */
static void check_bits(const aether_model *model, aether_dtype dtype) {
    static uint64_t of_streams[NAMES][1 << 10];
    const int embeds = model->embed_dim != 0;
    uint64_t used[NAMES] = {0}, ids[PLACES], evicted[PLACES], now = 0;
    float frames[FEATURES * PLACES], logits[CLASSES * PLACES], embeddings[EMBED * PLACES];
    aether_status results[PLACES];
    aether_stream alone[NAMES];
    aether_pool pool;
    uint32_t turn;
    size_t i, n, size, seen = 0, failed = 0;
    EXPECT(aether_pool_size(model, CONTEXT, dtype, PLACES, &size) == AETHER_OK && size <= sizeof words);
    EXPECT(aether_pool_init(&pool, model, CONTEXT, dtype, PLACES, memory, size) == AETHER_OK && pool.most == PLACES);
    for (i = 0; i < NAMES; i++) {
        EXPECT(aether_stream_init(&alone[i], model, CONTEXT, dtype, of_streams[i], sizeof of_streams[i]) == AETHER_OK);
    }
    for (turn = 0; turn < TURNS; turn++) {
        aether_pushed pushed = {NULL, NULL, NULL, NULL, 0};
        pushed.logits = logits, pushed.results = results, pushed.evicted = evicted;
        pushed.embeddings = embeds && turn % 3 != 0 ? embeddings : NULL;
        n = turn % (PLACES + 1);
        for (i = 0; i < n; i++) {
            ids[i] = draw() % NAMES;
        }
        fill(frames, FEATURES * n);
        frames[1] = turn % 17 == 0 ? 3e38f : frames[1];
        EXPECT(aether_pool_push(&pool, ids, n, frames, &pushed) == AETHER_OK && pool.count <= PLACES);
        for (i = 0; i < n; i++) { /* what is there is used first */
            used[ids[i]] = used[ids[i]] != 0 ? ++now : 0;
        }
        for (i = 0; i < pushed.n_evicted; i++) { /* nothing in the pool was used before it */
            const uint64_t gone = evicted[i];
            size_t j;
            for (j = 0; j < NAMES; j++) {
                EXPECT(used[j] == 0 || used[j] >= used[gone]);
            }
            EXPECT(used[gone] != 0 && aether_pool_at(&pool, gone) == NULL);
            used[gone] = 0;
            aether_stream_reset(&alone[gone]);
            seen++;
        }
        for (i = 0; i < n; i++) {
            aether_stream *s = &alone[ids[i]];
            const aether_stream *found = aether_pool_at(&pool, ids[i]);
            const float *row = logits + CLASSES * i, *embedded = embeddings + EMBED * i;
            EXPECT(found != NULL && aether_stream_push(s, frames + FEATURES * i) == results[i]);
            if (results[i] == AETHER_OK) {
                EXPECT(memcmp(row, aether_stream_logits(s), CLASSES * sizeof *row) == 0);
                EXPECT(pushed.embeddings == NULL || memcmp(embedded, aether_stream_embedding(s), EMBED * sizeof *embedded) == 0);
            } else {
                EXPECT(row[0] != row[0] && (pushed.embeddings == NULL || embedded[0] != embedded[0]));
                failed++;
            }
            used[ids[i]] = ++now;
        }
        for (i = 0; i < n; i++) {
            EXPECT(same_state(aether_pool_at(&pool, ids[i]), &alone[ids[i]]));
        }
        if (turn % 7 == 3 && n > 0) {
            EXPECT(aether_pool_drop(&pool, ids[0]) == AETHER_OK && aether_pool_at(&pool, ids[0]) == NULL);
            used[ids[0]] = 0;
            aether_stream_reset(&alone[ids[0]]);
        }
    }
    EXPECT(seen > TURNS / 4);
    EXPECT(failed > 0);
}

/* Every argument missing, unaligned, too small or unknown; what fails changes nothing. */
static void check_pool_calls(const aether_model *model) {
    static unsigned char state[1 << 13];
    static float values[8 * PLACES], result[8 * PLACES];
    float *const odd = (float *)(void *)((unsigned char *)values + 1);
    const uint64_t ids[3] = {7, 8, 9}, *const odd_ids = (const uint64_t *)(const void *)((const unsigned char *)ids + 4);
    uint64_t evicted[3], found[2];
    aether_status results[3];
    aether_pushed pushed = {NULL, NULL, NULL, NULL, 0}, lacking;
    aether_pool pool;
    size_t need, size;
    fill(values, sizeof values / sizeof values[0]);
    EXPECT(aether_pool_size(NULL, 8, AETHER_BINARY32, 2, &need) == AETHER_E_ARGUMENT);
    EXPECT(aether_pool_size(model, 8, AETHER_BINARY32, 2, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_pool_size(model, 8, (aether_dtype)7, 2, &need) == AETHER_E_ARGUMENT);
    EXPECT(aether_pool_size(model, 8, AETHER_BINARY32, 0, &need) == AETHER_E_CONFIG);
    EXPECT(aether_pool_size(model, 8, AETHER_BINARY32, UINT32_MAX, &need) == AETHER_E_CONFIG);
    EXPECT(aether_pool_size(model, 0, AETHER_BINARY32, 2, &need) == AETHER_E_CONFIG);
    EXPECT(aether_pool_size(model, 8, AETHER_BINARY32, 2, &need) == AETHER_OK && need < sizeof words);
    EXPECT(aether_pool_init(NULL, model, 8, AETHER_BINARY32, 2, memory, need) == AETHER_E_ARGUMENT);
    EXPECT(aether_pool_init(&pool, NULL, 8, AETHER_BINARY32, 2, memory, need) == AETHER_E_ARGUMENT);
    EXPECT(aether_pool_init(&pool, model, 8, AETHER_BINARY32, 2, NULL, need) == AETHER_E_ARGUMENT);
    EXPECT(aether_pool_init(&pool, model, 8, AETHER_BINARY32, 0, memory, need) == AETHER_E_CONFIG);
    EXPECT(aether_pool_init(&pool, model, 8, AETHER_BINARY32, 2, memory, need - 1) == AETHER_E_MEMORY);
    EXPECT(aether_pool_init(&pool, model, 8, AETHER_BINARY32, 2, memory + 4, need) == AETHER_E_ALIGNMENT);
    EXPECT(aether_pool_init(&pool, model, 8, AETHER_BINARY32, 2, memory, need) == AETHER_OK && pool.count == 0);
    pushed.logits = result, pushed.results = results, pushed.evicted = evicted;
#define PUSH(p, i, n, f, o) aether_pool_push(p, i, n, f, o)
#define LACKING(member, value, code)                              \
    do {                                                          \
        lacking = pushed;                                         \
        lacking.member = value;                                   \
        EXPECT(PUSH(&pool, ids, 2, values, &lacking) == (code));   \
        EXPECT(pool.count == 0);                                  \
    } while (0)
    EXPECT(PUSH(NULL, ids, 2, values, &pushed) == AETHER_E_ARGUMENT);
    EXPECT(PUSH(&pool, NULL, 2, values, &pushed) == AETHER_E_ARGUMENT);
    EXPECT(PUSH(&pool, ids, 2, NULL, &pushed) == AETHER_E_ARGUMENT);
    EXPECT(PUSH(&pool, ids, 2, values, NULL) == AETHER_E_ARGUMENT);
    LACKING(logits, NULL, AETHER_E_ARGUMENT);
    LACKING(results, NULL, AETHER_E_ARGUMENT);
    LACKING(evicted, NULL, AETHER_E_ARGUMENT);
    LACKING(logits, odd, AETHER_E_ALIGNMENT);
    LACKING(evicted, (uint64_t *)(void *)((unsigned char *)evicted + 4), AETHER_E_ALIGNMENT);
    LACKING(embeddings, odd, model->embed_dim != 0 ? AETHER_E_ALIGNMENT : AETHER_E_SHAPE);
    EXPECT(PUSH(&pool, ids, 3, values, &pushed) == AETHER_E_SHAPE);
    EXPECT(PUSH(&pool, ids, 2, odd, &pushed) == AETHER_E_ALIGNMENT);
    EXPECT(PUSH(&pool, odd_ids, 2, values, &pushed) == AETHER_E_ALIGNMENT);
    EXPECT(PUSH(&pool, NULL, 0, NULL, &pushed) == AETHER_OK && pushed.n_evicted == 0);
    values[0] = __builtin_inff();
    EXPECT(PUSH(&pool, ids, 2, values, &pushed) == AETHER_E_NOT_FINITE && pool.count == 0);
    values[0] = -0.5f;
    EXPECT(PUSH(&pool, ids, 2, values, &pushed) == AETHER_OK && pool.count == 2);
    EXPECT(aether_pool_at(&pool, 7)->length == 1 && aether_pool_at(&pool, 9) == NULL);
    size = aether_stream_saved_size(aether_pool_at(&pool, 7));
    EXPECT(size <= sizeof state && aether_stream_save(aether_pool_at(&pool, 7), state, size) == AETHER_OK);
    EXPECT(aether_pool_load(NULL, 7, state, size, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_pool_load(&pool, 7, NULL, size, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_pool_load(&pool, 9, state, size, NULL) == AETHER_E_CACHE_FULL);
    EXPECT(aether_pool_load(&pool, 7, state, size - 1, NULL) == AETHER_E_STATE && aether_pool_at(&pool, 7)->length == 1);
    EXPECT(aether_pool_drop(NULL, 7) == AETHER_E_ARGUMENT);
    EXPECT(aether_pool_drop(&pool, 9) == AETHER_E_ARGUMENT && pool.count == 2);
    EXPECT(aether_pool_drop(&pool, 8) == AETHER_OK && pool.count == 1);
    EXPECT(aether_pool_load(&pool, 9, state, size - 1, NULL) == AETHER_E_STATE && pool.count == 1);
    EXPECT(aether_pool_load(&pool, 9, state, size, NULL) == AETHER_OK && aether_pool_at(&pool, 9)->length == 1);
    aether_pool_ids(&pool, found);
    EXPECT(pool.count == 2 && found[0] == 7 && found[1] == 9);
    EXPECT(aether_pool_load(&pool, 7, state, size, NULL) == AETHER_OK);
    aether_pool_ids(&pool, found);
    EXPECT(pool.count == 2 && found[0] == 9 && found[1] == 7);
}

#define CACHES 4u
#define ROW 4u       /* one key/value head of dim 4 */
#define QUERY 8u     /* two query heads */

static void init_head(aether_head *head, aether_pattern pattern) {
    aether_config c;
    aether_config_default(&c);
    c.q_heads = 2, c.kv_heads = 1, c.head_dim = ROW, c.window = 3, c.block_size = 2, c.pattern = pattern;
    if (pattern == AETHER_PYRAMID) {
        c.use_log_stride = c.use_landmarks = 0, c.n_globals = 0;
    }
    EXPECT(aether_head_init(head, &c, NULL, NULL) == AETHER_OK);
}

static int same_cache(const aether_cache *a, const aether_cache *b) {
    static unsigned char saved[2][1 << 12];
    const size_t size = aether_cache_saved_size(a);
    EXPECT(size <= sizeof saved[0] && size == aether_cache_saved_size(b));
    EXPECT(aether_cache_save(a, saved[0], size) == AETHER_OK && aether_cache_save(b, saved[1], size) == AETHER_OK);
    return a->length == b->length && memcmp(saved[0], saved[1], size) == 0;
}

/* Steps of many caches of different ages beside steps of single ones; then what is wrong, which changes none of them. */
static void check_steps(aether_pattern pattern, aether_dtype dtype) {
    static uint64_t memories[2][CACHES][1 << 9], aligned_scratch[1 << 9];
    unsigned char *const scratch = (unsigned char *)aligned_scratch;
    float q[QUERY * CACHES], k[ROW * CACHES], v[ROW * CACHES], out[QUERY * CACHES], one[QUERY];
    float *const odd = (float *)(void *)((unsigned char *)q + 1);
    aether_cache many[CACHES], alone[CACHES], *caches[CACHES];
    aether_head head, wide;
    uint32_t turn;
    size_t i, need = 0;
    init_head(&head, pattern);
    wide = head;
    wide.config.window++;
#define INIT(cache, size, policy, place)                                                                             \
    EXPECT(aether_cache_init(cache, &head, size, dtype, policy, place, sizeof memories[0][0]) == AETHER_OK)
    for (i = 0; i < CACHES; i++) { /* the last two of another capacity */
        INIT(&many[i], i < 2 ? 16 : 12, AETHER_ON_FULL_RING, memories[0][i]);
        INIT(&alone[i], i < 2 ? 16 : 12, AETHER_ON_FULL_RING, memories[1][i]);
        caches[i] = &many[i];
    }
    EXPECT(aether_cache_scratch(&many[0], 1, &need) == AETHER_OK && need <= sizeof aligned_scratch);
    fill(k, ROW), fill(v, ROW);
    EXPECT(aether_cache_append(&many[3], k, v, 1) == AETHER_OK && aether_cache_append(&alone[3], k, v, 1) == AETHER_OK);
    for (turn = 0; turn < 40; turn++) {
        const size_t n = turn < 20 ? CACHES : 1 + turn % CACHES;
        fill(q, QUERY * n), fill(k, ROW * n), fill(v, ROW * n);
        EXPECT(aether_cache_step_many(caches, n, &head, q, k, v, out, scratch, need) == AETHER_OK);
        for (i = 0; i < n; i++) {
            EXPECT(aether_cache_step(&alone[i], &head, q + QUERY * i, k + ROW * i, v + ROW * i, one, scratch, need) == AETHER_OK);
            EXPECT(memcmp(one, out + QUERY * i, sizeof one) == 0 && same_cache(&many[i], &alone[i]));
        }
    }
#define MANY(c, n, h, qq, kk, vv, o, s, b) aether_cache_step_many(c, n, h, qq, kk, vv, o, s, b)
    EXPECT(MANY(caches, 2, NULL, q, k, v, out, scratch, need) == AETHER_E_ARGUMENT);
    EXPECT(MANY(NULL, 2, &head, q, k, v, out, scratch, need) == AETHER_E_ARGUMENT);
    EXPECT(MANY(caches, 2, &head, NULL, k, v, out, scratch, need) == AETHER_E_ARGUMENT);
    EXPECT(MANY(caches, 2, &head, q, NULL, v, out, scratch, need) == AETHER_E_ARGUMENT);
    EXPECT(MANY(caches, 2, &head, q, k, NULL, out, scratch, need) == AETHER_E_ARGUMENT);
    EXPECT(MANY(caches, 2, &head, q, k, v, NULL, scratch, need) == AETHER_E_ARGUMENT);
    EXPECT(MANY(caches, 2, &head, q, k, v, out, NULL, need) == AETHER_E_ARGUMENT);
    EXPECT(MANY(caches, 2, &head, odd, k, v, out, scratch, need) == AETHER_E_ALIGNMENT);
    EXPECT(MANY(caches, 2, &head, q, odd, v, out, scratch, need) == AETHER_E_ALIGNMENT);
    EXPECT(MANY(caches, 2, &head, q, k, odd, out, scratch, need) == AETHER_E_ALIGNMENT);
    EXPECT(MANY(caches, 2, &head, q, k, v, odd, scratch, need) == AETHER_E_ALIGNMENT);
    EXPECT(MANY(caches, 2, &head, q, k, v, out, scratch + 1, need) == AETHER_E_ALIGNMENT);
    EXPECT(MANY(caches, 2, &wide, q, k, v, out, scratch, need) == AETHER_E_CACHE_MISMATCH);
    EXPECT(MANY(caches, 2, &head, q, k, v, out, scratch, 8) == AETHER_E_MEMORY);
    EXPECT(MANY(caches, 0, &head, NULL, NULL, NULL, NULL, NULL, 0) == AETHER_OK);
    k[ROW] = __builtin_inff();
    EXPECT(MANY(caches, 2, &head, q, k, v, out, scratch, need) == AETHER_E_NOT_FINITE);
    k[ROW] = 0.5f, v[ROW] = __builtin_nanf("");
    EXPECT(MANY(caches, 2, &head, q, k, v, out, scratch, need) == AETHER_E_NOT_FINITE);
    v[ROW] = 0.5f, q[0] = __builtin_inff();
    EXPECT(MANY(caches, 2, &head, q, k, v, out, scratch, need) == AETHER_E_NOT_FINITE);
    q[0] = 3e38f, k[0] = dtype == AETHER_BINARY32 ? 3e38f : 6e4f; /* their product overflows */
    EXPECT(MANY(caches, 2, &head, q, k, v, out, scratch, need) == AETHER_E_OVERFLOW);
    q[0] = 0.5f, k[ROW] = 7e4f; /* beyond binary16 */
    EXPECT(dtype == AETHER_BINARY32 || MANY(caches, 2, &head, q, k, v, out, scratch, need) == AETHER_E_OVERFLOW);
    EXPECT(dtype == AETHER_BINARY32 || aether_cache_append(&many[1], k, v, 2) == AETHER_E_OVERFLOW);
    k[0] = k[ROW] = 0.5f;
    for (i = 0; i < CACHES; i++) {
        EXPECT(same_cache(&many[i], &alone[i]));
    }
    INIT(&many[1], 1, AETHER_ON_FULL_ERROR, memories[0][1]);
    EXPECT(MANY(caches, 2, &head, q, k, v, out, scratch, sizeof aligned_scratch) == AETHER_OK && many[1].length == 1);
    EXPECT(aether_cache_step(&alone[0], &head, q, k, v, one, scratch, need) == AETHER_OK);
    EXPECT(MANY(caches, 2, &head, q, k, v, out, scratch, sizeof aligned_scratch) == AETHER_E_CACHE_FULL);
    EXPECT(many[1].length == 1 && same_cache(&many[0], &alone[0]));
}

/* Sums of blocks that overflow are found before the first token is taken. */
static void check_append(aether_pattern pattern) {
    static uint64_t place[1 << 9];
    float k[ROW * 16], v[ROW * 16];
    aether_cache cache;
    aether_head head;
    size_t t, before;
    init_head(&head, pattern);
    for (before = 0; before < 4; before++) {
        EXPECT(aether_cache_init(&cache, &head, 16, AETHER_BINARY32, AETHER_ON_FULL_RING, place, sizeof place) == AETHER_OK);
        fill(k, ROW * 16), fill(v, ROW * 16);
        EXPECT(aether_cache_append(&cache, k, v, before) == AETHER_OK);
        for (t = 0; t < 2; t++) { /* blocks of two: sums of both halves */
            (t == 0 ? k : v)[ROW * 4] = (t == 0 ? k : v)[ROW * 5] = 3e38f;
            (t == 0 ? k : v)[ROW * 6] = (t == 0 ? k : v)[ROW * 7] = 3e38f;
            EXPECT(aether_cache_append(&cache, k, v, 16) == AETHER_E_OVERFLOW && cache.length == before);
            fill(t == 0 ? k : v, ROW * 16);
        }
        EXPECT(aether_cache_append(&cache, k, v, 16) == AETHER_OK && cache.length == before + 16);
    }
}

int main(void) {
    static const unsigned plain[] = {AETHER_SECTION_CONVOLUTION, AETHER_SECTION_BIAS,      AETHER_SECTION_FEED_FORWARD,
                                     AETHER_SECTION_POOLING,     AETHER_SECTION_EMBEDDING, AETHER_SECTION_STEM};
    int kind, dtype;
    for (kind = 0; kind < 4; kind++) { /* every section or few; binary32 or binary16; the reference pattern or the pyramid */
        draft d = whole(kind == 1);
        aether_model model;
        size_t i;
        d.left_out[AETHER_SECTION_AGC] = 1; /* which would keep large frames from overflowing */
        for (i = 0; kind == 2 && i < sizeof plain / sizeof plain[0]; i++) {
            d.left_out[plain[i]] = 1;
        }
        if (kind == 3) {
            d.bytes[AETHER_SECTION_PATTERN] = 0;
            word(&d, AETHER_SECTION_PATTERN, 4), word(&d, AETHER_SECTION_PATTERN, 2), word(&d, AETHER_SECTION_PATTERN, 0);
            word(&d, AETHER_SECTION_PATTERN, 8), word(&d, AETHER_SECTION_PATTERN, 0);
        }
        encode(&d);
        EXPECT(aether_model_open(&model, blob, length, NULL, NULL) == AETHER_OK);
        check_pool_calls(&model);
        for (dtype = AETHER_BINARY32; dtype <= AETHER_BINARY16; dtype++) {
            check_bits(&model, (aether_dtype)dtype);
        }
    }
    for (kind = AETHER_REFERENCE; kind <= AETHER_PYRAMID; kind++) {
        check_append((aether_pattern)kind);
        for (dtype = AETHER_BINARY32; dtype <= AETHER_BINARY16; dtype++) {
            check_steps((aether_pattern)kind, (aether_dtype)dtype);
        }
    }
    return ended();
}
