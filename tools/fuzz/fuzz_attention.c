/* A random head, sequence and capacity: every kernel variant must give the bits of the portable one, and a cache the bits of
   forward with that history, also across a saved and restored state. */
#include "fuzz.h"

typedef struct sequence {
    size_t tokens;
    float *q, *k, *v;
} sequence;

typedef struct reader {
    const uint8_t *data;
    size_t size;
} reader;

static uint32_t take(reader *r) {
    if (r->size == 0) {
        return 0;
    }
    r->size--;
    return *r->data++;
}

/* 0 .. 254 as they are; 255 means far beyond everything. */
static uint64_t distance(uint32_t byte) {
    return byte == 255 ? UINT64_MAX : byte;
}

static void configure(aether_config *config, uint32_t globals[4], reader *r) {
    const uint32_t group = 1 + take(r) % 5;
    memset(config, 0, sizeof *config);
    config->kv_heads = 1 + take(r) % 3;
    config->q_heads = config->kv_heads * group;
    config->head_dim = 1 + take(r) % 37;
    config->window = distance(take(r));
    config->block_size = distance(take(r));
    config->history = take(r);
    const uint32_t bits = take(r);
    config->backend = (bits & 7u) == 7u ? AETHER_DENSE : AETHER_SPARSE;
    config->causal = (bits & 8u) == 0;
    config->use_log_stride = (bits & 16u) == 0;
    config->use_landmarks = (bits & 32u) == 0;
    uint32_t next = 0;
    config->globals = globals;
    config->n_globals = bits >> 6;
    if ((bits & 0x70u) == 0x70u) { /* both switches are off, as the pyramid requires */
        config->pattern = AETHER_PYRAMID;
        config->n_globals = 0;
        if (config->block_size < 128) {
            config->block_size = (uint64_t)1 << config->block_size % 8;
        }
    }
    for (size_t i = 0; i < config->n_globals; i++) {
        globals[i] = next + take(r);
        next = globals[i] + 1;
    }
}

/* Whether the values of docs/spec/pattern.md are in range. */
static int fits_pyramid(const aether_config *config) {
    const uint64_t block = config->block_size;
    return config->window <= 1048576 && block <= 65536 && (block & (block - 1)) == 0 &&
           (config->history == 0 || config->history > config->window);
}

static aether_status forward(const aether_head *head, const sequence *s, aether_dtype dtype, float *out) {
    size_t bytes = 0;
    const aether_status sized = aether_attention_workspace(head, s->tokens, dtype, &bytes);
    FUZZ_CHECK(sized == AETHER_OK && bytes <= 64 * FUZZ_MEMORY_LIMIT);
    void *workspace = fuzz_exact(bytes);
    const aether_status status = aether_attention_forward(head, s->q, s->k, s->v, s->tokens, dtype, out, workspace, bytes);
    free(workspace);
    return status;
}

/* A cache in memory of its own; the scratch is for prefill of a whole sequence too. */
typedef struct session {
    aether_cache cache;
    void *memory, *scratch;
    size_t scratch_bytes;
} session;

static void open_session(session *x, const aether_head *head, uint64_t capacity, aether_dtype dtype, size_t tokens) {
    size_t bytes = 0;
    FUZZ_CHECK(aether_cache_size(head, capacity, dtype, &bytes) == AETHER_OK);
    x->memory = fuzz_exact(bytes);
    memset(x->memory, 0xA5, bytes);
    FUZZ_CHECK(aether_cache_init(&x->cache, head, capacity, dtype, AETHER_ON_FULL_RING, x->memory, bytes) == AETHER_OK);
    FUZZ_CHECK(aether_cache_scratch(&x->cache, tokens, &x->scratch_bytes) == AETHER_OK);
    x->scratch = fuzz_exact(x->scratch_bytes);
}

static void close_session(session *x) {
    free(x->scratch);
    free(x->memory);
}

static aether_status prefill(session *x, const aether_head *head, const sequence *s, size_t tokens, float *out) {
    return aether_cache_prefill(&x->cache, head, s->q, s->k, s->v, tokens, out, x->scratch, x->scratch_bytes);
}

static void restore(session *x, const aether_head *head, size_t tokens) {
    aether_detail detail = {0};
    const size_t saved_bytes = aether_cache_saved_size(&x->cache);
    uint8_t *saved = fuzz_exact(saved_bytes);
    session y;
    FUZZ_CHECK(aether_cache_save(&x->cache, saved, saved_bytes) == AETHER_OK);
    open_session(&y, head, x->cache.capacity, x->cache.dtype, tokens);
    FUZZ_CHECK(aether_cache_load(&y.cache, saved, saved_bytes, &detail) == AETHER_OK);
    free(saved);
    close_session(x);
    *x = y;
}

/* Prefill of `split` tokens, then steps, saved and restored on the way. */
static void check_stream(const aether_head *head, const sequence *s, uint64_t capacity, aether_dtype dtype, size_t split,
                         const float *expected, float *out) {
    const size_t q_row = (size_t)head->config.q_heads * head->config.head_dim;
    const size_t kv_row = (size_t)head->config.kv_heads * head->config.head_dim;
    session x;
    open_session(&x, head, capacity, dtype, s->tokens);
    FUZZ_CHECK(prefill(&x, head, s, split, out) == AETHER_OK);
    for (size_t t = split; t < s->tokens; t++) {
        if (t == split || t == (split + s->tokens) / 2) {
            restore(&x, head, s->tokens);
        }
        FUZZ_CHECK(aether_cache_step(&x.cache, head, s->q + t * q_row, s->k + t * kv_row, s->v + t * kv_row,
                                     out + t * q_row, x.scratch, x.scratch_bytes) == AETHER_OK);
    }
    FUZZ_CHECK(x.cache.length == s->tokens);
    FUZZ_CHECK(memcmp(out, expected, s->tokens * q_row * sizeof *out) == 0);
    close_session(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    reader r = {data, size};
    aether_config config;
    uint32_t globals[4];
    aether_head head;
    aether_detail detail = {0};
    configure(&config, globals, &r);
    const uint32_t kept = take(&r);
    const aether_dtype dtype = kept & 1u ? AETHER_BINARY16 : AETHER_BINARY32;
    const int wild = dtype == AETHER_BINARY32 && (take(&r) & 3u) == 0;
    const uint64_t capacity = 1 + take(&r);
    sequence s = {take(&r), NULL, NULL, NULL};
    const size_t split = s.tokens != 0 ? take(&r) % s.tokens : 0;
    uint32_t seed = take(&r) << 8 | take(&r);
    const aether_status status = aether_head_init(&head, &config, aether_kernels_portable(), &detail);
    fuzz_named(status, &detail);
    if (status != AETHER_OK) {
        FUZZ_CHECK(config.block_size == 0 || (config.pattern == AETHER_PYRAMID && !fits_pyramid(&config)));
        return 0;
    }

    const size_t q_count = s.tokens * config.q_heads * config.head_dim;
    const size_t kv_count = s.tokens * config.kv_heads * config.head_dim;
    s.q = fuzz_exact(q_count * sizeof *s.q);
    s.k = fuzz_exact(kv_count * sizeof *s.k);
    s.v = fuzz_exact(kv_count * sizeof *s.v);
    fuzz_values(s.q, q_count, &seed, wild);
    fuzz_values(s.k, kv_count, &seed, wild);
    fuzz_values(s.v, kv_count, &seed, wild);
    float *expected = fuzz_exact(q_count * sizeof *expected), *out = fuzz_exact(q_count * sizeof *out);

    const aether_status portable = forward(&head, &s, dtype, expected);
    FUZZ_CHECK(portable == AETHER_OK || portable == AETHER_E_OVERFLOW);
    for (size_t i = 1; aether_kernels_at(i) != NULL; i++) {
        if (aether_kernels_usable(aether_kernels_at(i))) {
            aether_head fast = head;
            fast.kernels = aether_kernels_at(i);
            FUZZ_CHECK(forward(&fast, &s, dtype, out) == portable);
            FUZZ_CHECK(portable != AETHER_OK || memcmp(out, expected, q_count * sizeof *out) == 0);
        }
    }
    if (config.backend == AETHER_SPARSE && config.causal) {
        const aether_head bounded = aether_head_within(&head, capacity);
        if (forward(&bounded, &s, dtype, expected) == AETHER_OK) {
            check_stream(&head, &s, capacity, dtype, split, expected, out);
            FUZZ_CHECK(aether_kernels_find(NULL, &head.kernels) == AETHER_OK);
            check_stream(&head, &s, capacity, dtype, split, expected, out);
        }
    }
    free(out);
    free(expected);
    free(s.v);
    free(s.k);
    free(s.q);
    return 0;
}
