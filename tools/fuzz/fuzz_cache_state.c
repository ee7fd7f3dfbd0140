/* Any bytes as the saved state of a cache: what peek accepts is restored, stepped and saved again; what load rejects leaves the
   cache as it was. */
#include "fuzz.h"

#define MAX_GLOBALS 64

static const uint32_t KNOWN_GLOBALS[2] = {0, 5};

typedef struct session {
    aether_head head;
    aether_cache cache;
    uint32_t globals[MAX_GLOBALS];
    void *memory;
} session;

static int open_session(session *x, const aether_config *config, uint64_t capacity, aether_dtype dtype,
                        aether_policy policy) {
    size_t bytes = 0;
    aether_detail detail = {0};
    x->memory = NULL;
    const aether_status made = aether_head_init(&x->head, config, NULL, &detail);
    fuzz_named(made, &detail);
    if (made != AETHER_OK || aether_cache_size(&x->head, capacity, dtype, &bytes) != AETHER_OK ||
        bytes > FUZZ_MEMORY_LIMIT) {
        return 0;
    }
    x->memory = fuzz_exact(bytes);
    FUZZ_CHECK(aether_cache_init(&x->cache, &x->head, capacity, dtype, policy, x->memory, bytes) == AETHER_OK);
    return 1;
}

static uint8_t *save(const aether_cache *cache, size_t *bytes) {
    *bytes = aether_cache_saved_size(cache);
    uint8_t *saved = fuzz_exact(*bytes);
    FUZZ_CHECK(aether_cache_save(cache, saved, *bytes) == AETHER_OK);
    return saved;
}

static void step(session *x, size_t tokens, uint32_t seed) {
    const size_t q = (size_t)x->head.config.q_heads * x->head.config.head_dim;
    const size_t kv = (size_t)x->head.config.kv_heads * x->head.config.head_dim;
    size_t bytes = 0;
    if (aether_cache_scratch(&x->cache, 1, &bytes) != AETHER_OK || bytes > FUZZ_MEMORY_LIMIT ||
        (q + kv) * sizeof(float) > FUZZ_MEMORY_LIMIT) {
        return;
    }
    void *scratch = fuzz_exact(bytes);
    float *in = fuzz_exact((q + 2 * kv) * sizeof *in), *out = fuzz_exact(q * sizeof *out);
    for (size_t t = 0; t < tokens; t++) {
        const uint64_t before = x->cache.length;
        fuzz_values(in, q + 2 * kv, &seed, 0);
        const aether_status status =
            aether_cache_step(&x->cache, &x->head, in, in + q, in + q + kv, out, scratch, bytes);
        FUZZ_CHECK(status == AETHER_OK || status == AETHER_E_CACHE_FULL || status == AETHER_E_OVERFLOW);
        FUZZ_CHECK(x->cache.length == before + (status == AETHER_OK));
    }
    free(out);
    free(in);
    free(scratch);
}

/* A cache of the fuzzer's own, with some tokens in it. */
static void open_known(session *x, uint32_t seed) {
    aether_config config;
    aether_config_default(&config);
    config.head_dim = 3;
    config.window = 4;
    config.block_size = 3;
    config.history = seed & 1u ? 9 : 0;
    config.globals = KNOWN_GLOBALS;
    config.n_globals = 2;
    FUZZ_CHECK(open_session(x, &config, 8 + (seed >> 1 & 15u), seed & 32u ? AETHER_BINARY16 : AETHER_BINARY32,
                            seed & 64u ? AETHER_ON_FULL_ERROR : AETHER_ON_FULL_RING));
    step(x, seed >> 7 & 31u, seed);
}

static void restore(const uint8_t *data, size_t size, const aether_saved *saved) {
    aether_config config = saved->config;
    aether_detail detail = {0};
    session x;
    size_t bytes = 0;
    if (config.n_globals > MAX_GLOBALS) {
        return;
    }
    FUZZ_CHECK(saved->globals_offset + 4 * config.n_globals + 4 <= size);
    for (size_t i = 0; i < config.n_globals; i++) {
        x.globals[i] = fuzz_u32(data + saved->globals_offset + 4 * i);
    }
    config.globals = x.globals;
    if (!open_session(&x, &config, saved->capacity, saved->dtype, saved->policy)) {
        return;
    }
    const aether_status loaded = aether_cache_load(&x.cache, data, size, &detail);
    fuzz_named(loaded, &detail);
    if (loaded == AETHER_OK) {
        uint8_t *first = save(&x.cache, &bytes); /* rows that nothing can see may differ from data, not from now on */
        FUZZ_CHECK(bytes == size && aether_cache_load(&x.cache, first, bytes, NULL) == AETHER_OK);
        uint8_t *second = save(&x.cache, &bytes);
        FUZZ_CHECK(bytes == size && memcmp(first, second, size) == 0);
        free(second);
        free(first);
        step(&x, 20, (uint32_t)size);
    }
    free(x.memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    aether_detail detail = {0};
    aether_saved saved;
    session known;
    size_t before_bytes = 0, after_bytes = 0;
    uint8_t *bytes = fuzz_copy(data, size);
    const aether_status peeked = aether_cache_peek(bytes, size, &saved, &detail);
    fuzz_named(peeked, &detail);
    if (peeked == AETHER_OK) {
        restore(bytes, size, &saved);
    }
    open_known(&known, (uint32_t)size * 77u);
    uint8_t *before = save(&known.cache, &before_bytes);
    const aether_status loaded = aether_cache_load(&known.cache, bytes, size, &detail);
    fuzz_named(loaded, &detail);
    if (loaded != AETHER_OK) {
        uint8_t *after = save(&known.cache, &after_bytes);
        FUZZ_CHECK(before_bytes == after_bytes && memcmp(before, after, after_bytes) == 0);
        free(after);
    }
    free(before);
    free(known.memory);
    free(bytes);
    return 0;
}

/* Short inputs become a true saved state; all but a few get their CRC corrected. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    if (size < 16) {
        session known;
        open_known(&known, seed);
        uint8_t *saved = save(&known.cache, &size);
        size = size <= max_size ? size : max_size;
        memcpy(data, saved, size);
        free(saved);
        free(known.memory);
        return size;
    }
    size = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 16 != 0) {
        fuzz_seal(data, size);
    }
    return size;
}
