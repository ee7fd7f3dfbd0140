/* What a caller of the core can do wrong, call by call, and what then stays as it was. Prints what is wrong; ends with its count. */
#include <stdlib.h>
#include <string.h>

#include "aether/aether.h"

#include "expect.h"

#define TOKENS 5u
#define Q 8u /* 2 query heads of dim 4 */
#define KV 4u

static float values[64], result[64];
static unsigned char memory[1 << 16];

static void check_status(void) {
    unsigned s;
    for (s = 0; s < AETHER_STATUS_COUNT; s++) {
        EXPECT(strcmp(aether_status_name((aether_status)s), "unknown status") != 0);
        EXPECT(strcmp(aether_status_text((aether_status)s), "unknown status") != 0);
    }
    EXPECT(strcmp(aether_status_name(AETHER_STATUS_COUNT), "unknown status") == 0);
    EXPECT(strcmp(aether_status_text(AETHER_STATUS_COUNT), "unknown status") == 0);
}

static void check_kernels(void) {
    const aether_kernels *found;
    size_t k;
    for (k = 0; aether_kernels_at(k) != NULL; k++) {
        const aether_kernels *kernels = aether_kernels_at(k);
        const aether_status status = aether_kernels_find(kernels->name, &found);
        EXPECT(aether_kernels_usable(kernels) ? status == AETHER_OK && found == kernels : status == AETHER_E_KERNELS);
    }
    EXPECT(aether_kernels_usable(NULL) == 0);
    EXPECT(aether_kernels_find("none of them", &found) == AETHER_E_KERNELS);
    EXPECT(aether_kernels_find(NULL, &found) == AETHER_OK && found == aether_kernels_fastest());
    EXPECT(aether_kernels_find("portable", NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_kernels_usable(aether_kernels_fastest()));
}

static aether_status init_with(aether_config c, const char *field) {
    aether_head head;
    aether_detail detail = {NULL, NULL, 0, 0};
    const aether_status status = aether_head_init(&head, &c, NULL, &detail);
    EXPECT(aether_head_init(&head, &c, NULL, NULL) == status);
    EXPECT((status == AETHER_OK) == (field == NULL));
    if (field != NULL) {
        EXPECT(detail.field != NULL && strcmp(detail.field, field) == 0);
    }
    return status;
}

static aether_config small(void) {
    aether_config c;
    aether_config_default(&c);
    c.q_heads = 2;
    c.kv_heads = 1;
    c.head_dim = 4;
    c.window = 3;
    c.block_size = 2;
    return c;
}

#define BAD(member, value, field)              \
    do {                                       \
        aether_config bad = small();           \
        bad.member = value;                    \
        EXPECT(init_with(bad, field) != AETHER_OK); \
    } while (0)

static void check_head(void) {
    static const uint32_t falling[2] = {3, 3};
    aether_config c = small();
    aether_head head;
    EXPECT(aether_head_init(NULL, &c, NULL, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_head_init(&head, NULL, NULL, NULL) == AETHER_E_ARGUMENT);
    EXPECT(init_with(c, NULL) == AETHER_OK);
    BAD(q_heads, 0, "q_heads");
    BAD(kv_heads, 0, "kv_heads");
    BAD(kv_heads, 3, "kv_heads");
    BAD(head_dim, 0, "head_dim");
    BAD(block_size, 0, "block_size");
    BAD(backend, (aether_backend)7, "backend");
    BAD(pattern, (aether_pattern)7, "pattern");
    BAD(causal, 2, "causal");
    BAD(use_log_stride, 2, "use_log_stride");
    BAD(use_landmarks, 2, "use_landmarks");
    c.globals = falling;
    c.n_globals = 2;
    EXPECT(init_with(c, "globals") != AETHER_OK);
    c.globals = (const uint32_t *)(const void *)(memory + 1);
    EXPECT(init_with(c, "globals") == AETHER_E_ALIGNMENT);
    if (sizeof(size_t) > 4) { /* 4 * q_heads * head_dim beyond 2^64 */
        c = small();
        c.q_heads = c.head_dim = UINT32_MAX;
        c.kv_heads = 1;
        EXPECT(init_with(c, "head_dim") == AETHER_E_TOO_LARGE);
    }
    c = small();
    c.globals = NULL;
    c.n_globals = 1;
    EXPECT(aether_head_init(&head, &c, NULL, NULL) != AETHER_OK);
    c = small();
    c.pattern = AETHER_PYRAMID;
    c.use_log_stride = c.use_landmarks = 0;
    c.n_globals = 0;
    EXPECT(init_with(c, NULL) == AETHER_OK);
    c.use_landmarks = 1;
    EXPECT(init_with(c, "use_landmarks") == AETHER_E_CONFIG);
    c.use_log_stride = 1;
    EXPECT(init_with(c, "use_log_stride") == AETHER_E_CONFIG);
    c.use_log_stride = c.use_landmarks = 0;
    c.block_size = 3;
    EXPECT(init_with(c, "block_size") == AETHER_E_CONFIG);
    c.block_size = (uint64_t)1 << 40;
    EXPECT(init_with(c, "block_size") == AETHER_E_CONFIG);
    c.block_size = 2;
    c.window = (uint64_t)1 << 40;
    EXPECT(init_with(c, "window") == AETHER_E_CONFIG);
    c.window = 3;
    c.history = 2;
    EXPECT(init_with(c, "history") == AETHER_E_CONFIG);
    c.history = 0;
    c.globals = falling;
    c.n_globals = 1;
    EXPECT(init_with(c, "globals") == AETHER_E_CONFIG);
}

/* Every single argument of these calls missing, unaligned, too small or unknown. */
static void check_attention(const aether_head *head) {
    const aether_dtype none = (aether_dtype)7;
    float *const odd = (float *)(void *)((unsigned char *)values + 1);
    aether_plan plan;
    size_t need = 0, rows = 0, plan_bytes = 0;
    EXPECT(aether_attention_plan_size(NULL, TOKENS, AETHER_BINARY32, &need) == AETHER_E_ARGUMENT);
    EXPECT(aether_attention_plan_size(head, TOKENS, none, &need) == AETHER_E_ARGUMENT);
    EXPECT(aether_attention_plan_size(head, TOKENS, AETHER_BINARY32, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_attention_plan_size(head, SIZE_MAX / 2, AETHER_BINARY16, &need) == AETHER_E_TOO_LARGE);
    EXPECT(aether_attention_rows_size(NULL, TOKENS, &need) == AETHER_E_ARGUMENT);
    EXPECT(aether_attention_rows_size(head, TOKENS, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_attention_workspace(head, TOKENS, AETHER_BINARY32, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_attention_workspace(NULL, TOKENS, AETHER_BINARY32, &need) == AETHER_E_ARGUMENT);
    EXPECT(aether_attention_workspace(head, SIZE_MAX / 2, AETHER_BINARY32, &need) == AETHER_E_TOO_LARGE);
    EXPECT(aether_attention_plan_size(head, TOKENS, AETHER_BINARY16, &plan_bytes) == AETHER_OK);
    EXPECT(aether_attention_rows_size(head, TOKENS, &rows) == AETHER_OK);
    EXPECT(aether_attention_workspace(head, TOKENS, AETHER_BINARY16, &need) == AETHER_OK);
    EXPECT(need == plan_bytes + rows && need <= sizeof memory);
#define PREPARE(p, h, k, v, n, t, m, b) aether_attention_prepare(p, h, k, v, n, t, m, b)
    EXPECT(PREPARE(NULL, head, values, values, TOKENS, AETHER_BINARY16, memory, plan_bytes) == AETHER_E_ARGUMENT);
    EXPECT(PREPARE(&plan, NULL, values, values, TOKENS, AETHER_BINARY16, memory, plan_bytes) == AETHER_E_ARGUMENT);
    EXPECT(PREPARE(&plan, head, NULL, values, TOKENS, AETHER_BINARY16, memory, plan_bytes) == AETHER_E_ARGUMENT);
    EXPECT(PREPARE(&plan, head, values, NULL, TOKENS, AETHER_BINARY16, memory, plan_bytes) == AETHER_E_ARGUMENT);
    EXPECT(PREPARE(&plan, head, values, values, TOKENS, AETHER_BINARY16, NULL, plan_bytes) == AETHER_E_ARGUMENT);
    EXPECT(PREPARE(&plan, head, values, values, TOKENS, none, memory, plan_bytes) == AETHER_E_ARGUMENT);
    EXPECT(PREPARE(&plan, head, values, values, SIZE_MAX / 2, AETHER_BINARY16, memory, plan_bytes) == AETHER_E_TOO_LARGE);
    EXPECT(PREPARE(&plan, head, values, values, TOKENS, AETHER_BINARY16, memory, plan_bytes - 1) == AETHER_E_MEMORY);
    EXPECT(PREPARE(&plan, head, values, values, TOKENS, AETHER_BINARY16, memory + 1, plan_bytes) == AETHER_E_ALIGNMENT);
    EXPECT(PREPARE(&plan, head, odd, values, TOKENS, AETHER_BINARY16, memory, plan_bytes) == AETHER_E_ALIGNMENT);
    EXPECT(PREPARE(&plan, head, values, odd, TOKENS, AETHER_BINARY16, memory, plan_bytes) == AETHER_E_ALIGNMENT);
    EXPECT(PREPARE(&plan, head, NULL, NULL, 0, AETHER_BINARY16, NULL, plan_bytes) == AETHER_OK);
    EXPECT(PREPARE(&plan, head, values, values, TOKENS, AETHER_BINARY16, memory, plan_bytes) == AETHER_OK);
#define ROWS(p, q, f, n, o, m, b) aether_attention_rows(p, q, f, n, o, m, b)
    EXPECT(ROWS(NULL, values, 0, 1, result, memory + plan_bytes, rows) == AETHER_E_ARGUMENT);
    EXPECT(ROWS(&plan, values, TOKENS + 1, 0, result, memory + plan_bytes, rows) == AETHER_E_SHAPE);
    EXPECT(ROWS(&plan, values, 1, TOKENS, result, memory + plan_bytes, rows) == AETHER_E_SHAPE);
    EXPECT(ROWS(&plan, NULL, 0, 0, NULL, NULL, 0) == AETHER_OK);
    EXPECT(ROWS(&plan, NULL, 0, 1, result, memory + plan_bytes, rows) == AETHER_E_ARGUMENT);
    EXPECT(ROWS(&plan, values, 0, 1, NULL, memory + plan_bytes, rows) == AETHER_E_ARGUMENT);
    EXPECT(ROWS(&plan, values, 0, 1, result, NULL, rows) == AETHER_E_ARGUMENT);
    EXPECT(rows == 0 || ROWS(&plan, values, 0, 1, result, memory + plan_bytes, rows - 1) == AETHER_E_MEMORY);
    EXPECT(ROWS(&plan, odd, 0, 1, result, memory + plan_bytes, rows) == AETHER_E_ALIGNMENT);
    EXPECT(ROWS(&plan, values, 0, 1, odd, memory + plan_bytes, rows) == AETHER_E_ALIGNMENT);
    EXPECT(ROWS(&plan, values, 0, 1, result, memory + plan_bytes + 1, rows + 8) == AETHER_E_ALIGNMENT);
#define FORWARD(q, o, m, b) aether_attention_forward(head, q, values, values, TOKENS, AETHER_BINARY16, o, m, b)
    EXPECT(FORWARD(NULL, result, memory, need) == AETHER_E_ARGUMENT);
    EXPECT(FORWARD(values, NULL, memory, need) == AETHER_E_ARGUMENT);
    EXPECT(FORWARD(values, result, memory, plan_bytes - 1) == AETHER_E_MEMORY);
    EXPECT(FORWARD(values, result, NULL, need) == AETHER_E_ARGUMENT);
    EXPECT(FORWARD(values, result, memory, need) == AETHER_OK);
    values[KV] = 1e30f; /* beyond binary16 */
    EXPECT(FORWARD(values, result, memory, need) == AETHER_E_OVERFLOW);
    values[KV] = 0.5f;
}

static void check_cache(const aether_head *head) {
    const aether_dtype none = (aether_dtype)7;
    float *const odd = (float *)(void *)((unsigned char *)values + 1);
    static unsigned char buffer[1 << 15], saved[1 << 12];
    aether_head dense = *head, wide = *head, forward = *head;
    aether_cache cache, full;
    aether_saved peeked;
    size_t bytes = 0, scratch = 0, size;
    dense.config.backend = AETHER_DENSE;
    forward.config.causal = 0;
    wide.config.window++;
    EXPECT(aether_cache_size(head, 4, AETHER_BINARY32, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_cache_size(NULL, 4, AETHER_BINARY32, &bytes) == AETHER_E_ARGUMENT);
    EXPECT(aether_cache_size(head, 4, none, &bytes) == AETHER_E_ARGUMENT);
    EXPECT(aether_cache_size(head, 0, AETHER_BINARY32, &bytes) == AETHER_E_CONFIG);
    EXPECT(aether_cache_size(&dense, 4, AETHER_BINARY32, &bytes) == AETHER_E_NO_STREAMING);
    EXPECT(aether_cache_size(&forward, 4, AETHER_BINARY32, &bytes) == AETHER_E_NO_STREAMING);
    EXPECT(aether_cache_size(head, 4, AETHER_BINARY32, &bytes) == AETHER_OK && bytes <= sizeof memory);
#define INIT(c, h, n, t, p, m, b) aether_cache_init(c, h, n, t, p, m, b)
    EXPECT(INIT(NULL, head, 4, AETHER_BINARY32, AETHER_ON_FULL_RING, memory, bytes) == AETHER_E_ARGUMENT);
    EXPECT(INIT(&cache, head, 4, AETHER_BINARY32, AETHER_ON_FULL_RING, NULL, bytes) == AETHER_E_ARGUMENT);
    EXPECT(INIT(&cache, head, 4, AETHER_BINARY32, (aether_policy)5, memory, bytes) == AETHER_E_ARGUMENT);
    EXPECT(INIT(&cache, &dense, 4, AETHER_BINARY32, AETHER_ON_FULL_RING, memory, bytes) == AETHER_E_NO_STREAMING);
    EXPECT(INIT(&cache, head, 4, AETHER_BINARY32, AETHER_ON_FULL_RING, memory, bytes - 1) == AETHER_E_MEMORY);
    EXPECT(INIT(&cache, head, 4, AETHER_BINARY32, AETHER_ON_FULL_RING, memory + 1, bytes) == AETHER_E_ALIGNMENT);
    EXPECT(INIT(&cache, head, 4, AETHER_BINARY32, AETHER_ON_FULL_RING, memory, bytes) == AETHER_OK);
    EXPECT(INIT(&full, head, 1, AETHER_BINARY32, AETHER_ON_FULL_ERROR, memory + (1 << 15), 1 << 15) == AETHER_OK);
    EXPECT(aether_cache_scratch(NULL, 1, &scratch) == AETHER_E_ARGUMENT);
    EXPECT(aether_cache_scratch(&cache, 1, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_cache_scratch(&cache, SIZE_MAX / 2, &scratch) == AETHER_E_TOO_LARGE);
    EXPECT(aether_cache_scratch(&cache, 3, &scratch) == AETHER_OK && scratch <= sizeof buffer);
#define STEP(c, h, q, k, v, o, m, b) aether_cache_step(c, h, q, k, v, o, m, b)
    EXPECT(STEP(NULL, head, values, values, values, result, buffer, scratch) == AETHER_E_ARGUMENT);
    EXPECT(STEP(&cache, NULL, values, values, values, result, buffer, scratch) == AETHER_E_ARGUMENT);
    EXPECT(STEP(&cache, &wide, values, values, values, result, buffer, scratch) == AETHER_E_CACHE_MISMATCH);
    EXPECT(STEP(&cache, head, NULL, values, values, result, buffer, scratch) == AETHER_E_ARGUMENT);
    EXPECT(STEP(&cache, head, values, NULL, values, result, buffer, scratch) == AETHER_E_ARGUMENT);
    EXPECT(STEP(&cache, head, values, values, NULL, result, buffer, scratch) == AETHER_E_ARGUMENT);
    EXPECT(STEP(&cache, head, values, values, values, NULL, buffer, scratch) == AETHER_E_ARGUMENT);
    EXPECT(STEP(&cache, head, values, values, values, result, NULL, scratch) == AETHER_E_ARGUMENT);
    EXPECT(STEP(&cache, head, values, values, values, result, buffer, 8) == AETHER_E_MEMORY);
    EXPECT(STEP(&cache, head, odd, values, values, result, buffer, scratch) == AETHER_E_ALIGNMENT);
    EXPECT(STEP(&cache, head, values, odd, values, result, buffer, scratch) == AETHER_E_ALIGNMENT);
    EXPECT(STEP(&cache, head, values, values, odd, result, buffer, scratch) == AETHER_E_ALIGNMENT);
    EXPECT(STEP(&cache, head, values, values, values, odd, buffer, scratch) == AETHER_E_ALIGNMENT);
    EXPECT(STEP(&cache, head, values, values, values, result, buffer + 1, scratch) == AETHER_E_ALIGNMENT);
    EXPECT(cache.length == 0);
#define PREFILL(c, h, q, k, v, n, o, m, b) aether_cache_prefill(c, h, q, k, v, n, o, m, b)
    EXPECT(PREFILL(NULL, head, values, values, values, 3, result, buffer, scratch) == AETHER_E_ARGUMENT);
    EXPECT(PREFILL(&cache, NULL, values, values, values, 3, result, buffer, scratch) == AETHER_E_ARGUMENT);
    EXPECT(PREFILL(&cache, head, NULL, values, values, 3, result, buffer, scratch) == AETHER_E_ARGUMENT);
    EXPECT(PREFILL(&cache, head, values, NULL, values, 3, result, buffer, scratch) == AETHER_E_ARGUMENT);
    EXPECT(PREFILL(&cache, head, values, values, NULL, 3, result, buffer, scratch) == AETHER_E_ARGUMENT);
    EXPECT(PREFILL(&cache, head, values, values, values, 3, NULL, buffer, scratch) == AETHER_E_ARGUMENT);
    EXPECT(PREFILL(&cache, head, values, values, values, 3, result, NULL, scratch) == AETHER_E_ARGUMENT);
    EXPECT(PREFILL(&cache, head, values, values, values, 3, result, buffer, scratch - 1) == AETHER_E_MEMORY);
    EXPECT(PREFILL(&cache, &wide, values, values, values, 3, result, buffer, scratch) == AETHER_E_CACHE_MISMATCH);
    EXPECT(PREFILL(&full, head, values, values, values, 3, result, buffer, sizeof buffer) == AETHER_E_CACHE_FULL);
    EXPECT(PREFILL(&cache, head, NULL, NULL, NULL, 0, NULL, NULL, 0) == AETHER_OK);
    EXPECT(PREFILL(&cache, head, values, values, values, 3, result, buffer, scratch) == AETHER_OK && cache.length == 3);
    EXPECT(PREFILL(&cache, head, values, values, values, 3, result, buffer, scratch) == AETHER_OK && cache.length == 6);
    EXPECT(PREFILL(&cache, head, values, values, values, 1, result, buffer, scratch) == AETHER_OK && cache.length == 7);
    EXPECT(aether_cache_append(NULL, values, values, 2) == AETHER_E_ARGUMENT);
    EXPECT(aether_cache_append(&cache, NULL, values, 2) == AETHER_E_ARGUMENT);
    EXPECT(aether_cache_append(&cache, values, NULL, 2) == AETHER_E_ARGUMENT);
    EXPECT(aether_cache_append(&cache, odd, values, 2) == AETHER_E_ALIGNMENT);
    EXPECT(aether_cache_append(&cache, values, odd, 2) == AETHER_E_ALIGNMENT);
    EXPECT(aether_cache_append(&full, values, values, 2) == AETHER_E_CACHE_FULL);
    EXPECT(aether_cache_append(&cache, NULL, NULL, 0) == AETHER_OK);
    EXPECT(aether_cache_append(&cache, values, values, 2) == AETHER_OK && cache.length == 9);
    EXPECT(aether_cache_stage(NULL, values, values) == AETHER_E_ARGUMENT);
    EXPECT(aether_cache_attend(NULL, values, result, buffer, scratch) == AETHER_E_ARGUMENT);
    size = aether_cache_saved_size(&cache);
    EXPECT(size <= sizeof saved);
    EXPECT(aether_cache_save(NULL, saved, size) == AETHER_E_ARGUMENT);
    EXPECT(aether_cache_save(&cache, NULL, size) == AETHER_E_ARGUMENT);
    EXPECT(aether_cache_save(&cache, saved, size - 1) == AETHER_E_MEMORY);
    EXPECT(aether_cache_save(&cache, saved, size) == AETHER_OK);
    EXPECT(aether_cache_peek(NULL, size, &peeked, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_cache_peek(saved, size, NULL, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_cache_peek(saved, size, &peeked, NULL) == AETHER_OK && peeked.length == 9);
    EXPECT(aether_cache_load(NULL, saved, size, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_cache_load(&cache, NULL, size, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_cache_load(&cache, saved, size - 1, NULL) == AETHER_E_STATE);
    EXPECT(aether_cache_load(&full, saved, size, NULL) == AETHER_E_CACHE_MISMATCH);
    EXPECT(aether_cache_load(&cache, saved, size, NULL) == AETHER_OK);
    values[KV] = __builtin_inff();
    EXPECT(aether_cache_append(&cache, values, values, 2) == AETHER_E_NOT_FINITE && cache.length == 9);
    EXPECT(PREFILL(&cache, head, values, values, values, 3, result, buffer, scratch) == AETHER_E_NOT_FINITE && cache.length == 9);
    values[KV] = 0.5f;
}

/* Pairs of query and key, query by query. */
static uint64_t rows_together(const aether_config *config, uint64_t tokens) {
    static uint64_t singles[512], blocks[AETHER_MAX_BLOCKS];
    static uint8_t levels[AETHER_MAX_BLOCKS];
    aether_row row = {0, 0, 0, 0, 0, singles, blocks, levels};
    uint64_t sum = 0, i;
    EXPECT(aether_pattern_max_singles(config) <= sizeof singles / sizeof singles[0]);
    for (i = 0; i < tokens; i++) {
        aether_pattern_row(config, tokens, i, &row);
        sum += row.hi - row.lo + 1 + row.n_below + row.n_above + row.n_blocks;
    }
    return sum;
}

/* The count of edges is that of the rows, exact below 2^64 and UINT64_MAX beyond, and never falls with more tokens. */
static void check_edges(void) {
    static const uint32_t globals[3] = {0, 7, UINT32_MAX};
    static const uint64_t sizes[] = {1, 2, 3, 7, 40, 0xFFFFFFFFu, (uint64_t)1 << 33, (uint64_t)3 << 61, UINT64_MAX};
    const size_t n_sizes = sizeof sizes / sizeof sizes[0];
    aether_config c = small();
    size_t window, history, block;
    unsigned switches;
    for (switches = 0; switches < 64; switches++) {
        for (window = 0; window < n_sizes; window++) {
            for (history = 0; history <= n_sizes; history++) {
                for (block = 0; block < n_sizes; block++) {
                    uint64_t tokens, before = 0;
                    unsigned bit;
                    c.backend = switches & 1u ? AETHER_DENSE : AETHER_SPARSE;
                    c.causal = switches >> 1 & 1u;
                    c.use_log_stride = switches >> 2 & 1u;
                    c.use_landmarks = switches >> 3 & 1u;
                    c.globals = globals;
                    c.n_globals = switches >> 4;
                    c.window = sizes[window] - 1;
                    c.history = history < n_sizes ? sizes[history] : 0;
                    c.block_size = sizes[block];
                    if ((window + history + block) % 3 == 0) {
                        for (tokens = 0; tokens < 20; tokens += 6) {
                            EXPECT(aether_pattern_edges(&c, tokens) == rows_together(&c, tokens));
                        }
                    }
                    for (bit = 0; bit < 64; bit += 3) {
                        const uint64_t many = ((uint64_t)1 << bit) + bit, edges = aether_pattern_edges(&c, many);
                        EXPECT(edges >= before && edges >= many);
                        before = edges;
                    }
                    EXPECT(aether_pattern_edges(&c, UINT64_MAX) >= before);
                }
            }
        }
    }
    c = small();
    c.use_log_stride = c.use_landmarks = 0;
    c.n_globals = 0;
    EXPECT(aether_pattern_edges(&c, (uint64_t)1 << 62) == UINT64_MAX - 5); /* 4 of each, less 3 + 2 + 1 at the start */
    EXPECT(aether_pattern_edges(&c, ((uint64_t)1 << 62) + 1) == UINT64_MAX - 1);
    EXPECT(aether_pattern_edges(&c, ((uint64_t)1 << 62) + 2) == UINT64_MAX);
    c.window = 0;
    EXPECT(aether_pattern_edges(&c, UINT64_MAX - 1) == UINT64_MAX - 1);
    c.use_log_stride = 1;
    EXPECT(aether_pattern_edges(&c, (uint64_t)1 << 58) == 58 * ((uint64_t)1 << 58) + 1); /* its own token, and 58 strides */
    c.causal = 0;
    EXPECT(aether_pattern_edges(&c, (uint64_t)1 << 57) == 113 * ((uint64_t)1 << 57) + 2); /* in both directions */
    c.pattern = AETHER_PYRAMID;
    c.use_log_stride = 0;
    c.causal = 1;
    for (window = 0; window < 2; window++) {
        for (block = 0; block < 17; block += 4) {
            for (history = 0; history < 64; history += 7) {
                uint64_t tokens, before = 0;
                unsigned bit;
                c.window = window == 0 ? 3 : (uint64_t)1 << 20;
                c.block_size = (uint64_t)1 << block;
                c.history = history == 0 ? 0 : c.window + ((uint64_t)1 << history);
                for (tokens = 1; tokens < 60; tokens += 11) {
                    EXPECT(aether_pattern_edges(&c, tokens) == rows_together(&c, tokens));
                }
                for (bit = 0; bit < 64; bit++) {
                    const uint64_t many = ((uint64_t)1 << bit) + bit, edges = aether_pattern_edges(&c, many);
                    EXPECT(edges >= before && edges >= many);
                    before = edges;
                }
                EXPECT(aether_pattern_edges(&c, UINT64_MAX) >= before);
            }
        }
    }
}

/* Numbers beyond what the types hold. */
static void check_numeric(void) {
    uint16_t half = 7;
    EXPECT(aether_narrow(1.0f, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_narrow(65520.0f, &half) == AETHER_E_OVERFLOW && half == 7);
    EXPECT(aether_narrow(-__builtin_inff(), &half) == AETHER_E_OVERFLOW && half == 7);
    EXPECT(aether_narrow(-65519.0f, &half) == AETHER_OK && half == 0xFBFF);
    EXPECT(aether_sqrt(-1.0f) != aether_sqrt(-1.0f)); /* NaN */
    EXPECT(1.0f / aether_sqrt(-0.0f) < 0.0f);
    EXPECT(aether_sqrt(__builtin_inff()) == __builtin_inff());
}

/* Every single setting in which a head, and a saved state, can differ from those of a cache. */
static void check_other_heads(void) {
    static const uint32_t globals[2] = {1, 4}, others[2] = {1, 5}, same[2] = {1, 4};
    static unsigned char saved[1 << 12], buffer[1 << 12];
    aether_head head, other, twin;
    aether_cache cache, made;
    aether_config c = small();
    size_t bytes = 0, size, scratch = 0;
    unsigned field;
    c.globals = globals;
    c.n_globals = 2;
    c.history = 9;
    EXPECT(aether_head_init(&head, &c, NULL, NULL) == AETHER_OK);
    EXPECT(aether_cache_size(&head, 9, AETHER_BINARY32, &bytes) == AETHER_OK && bytes <= sizeof memory / 2);
    EXPECT(aether_cache_init(&cache, &head, 9, AETHER_BINARY32, AETHER_ON_FULL_RING, memory, bytes) == AETHER_OK);
    EXPECT(aether_cache_append(&cache, values, values, 3) == AETHER_OK);
    EXPECT(aether_cache_scratch(&cache, 1, &scratch) == AETHER_OK && scratch <= sizeof buffer);
    size = aether_cache_saved_size(&cache);
    EXPECT(size <= sizeof saved && aether_cache_save(&cache, saved, size) == AETHER_OK);
    twin = head;
    twin.config.globals = same;
    EXPECT(aether_cache_step(&cache, &twin, values, values, values, result, buffer, scratch) == AETHER_OK && cache.length == 4);
    for (field = 0; field < 13; field++) {
        aether_config *o = &other.config;
        aether_dtype dtype = AETHER_BINARY32;
        aether_policy policy = AETHER_ON_FULL_RING;
        aether_detail detail;
        uint64_t capacity = 9;
        other = head;
        switch (field) {
        case 0: o->q_heads = 3; break;
        case 1: o->q_heads = 4, o->kv_heads = 2; break;
        case 2: o->head_dim = 5; break;
        case 3: o->window = 4; break;
        case 4: o->block_size = 3; break;
        case 5: o->history = 8; break;
        case 6: o->use_log_stride = 0; break;
        case 7: o->use_landmarks = 0; break;
        case 8: o->n_globals = 1; break;
        case 9: o->globals = others; break;
        case 10: o->pattern = AETHER_PYRAMID, o->use_log_stride = o->use_landmarks = 0, o->n_globals = 0; break;
        case 11: dtype = AETHER_BINARY16; break;
        default: policy = AETHER_ON_FULL_ERROR; break;
        }
        if (field < 11) {
            EXPECT(aether_cache_step(&cache, &other, values, values, values, result, buffer, scratch) == AETHER_E_CACHE_MISMATCH);
        }
        EXPECT(aether_cache_init(&made, &other, capacity, dtype, policy, memory + sizeof memory / 2, sizeof memory / 2) == AETHER_OK);
        EXPECT(aether_cache_load(&made, saved, size, &detail) == AETHER_E_CACHE_MISMATCH && made.length == 0);
    }
    other = head;
    other.config.kv_heads = 2;
    EXPECT(aether_cache_step(&cache, &other, values, values, values, result, buffer, scratch) == AETHER_E_CACHE_MISMATCH);
    other = head;
    other.config.backend = AETHER_DENSE;
    EXPECT(aether_cache_step(&cache, &other, values, values, values, result, buffer, scratch) == AETHER_E_CACHE_MISMATCH);
    other = head;
    other.config.causal = 0;
    EXPECT(aether_cache_step(&cache, &other, values, values, values, result, buffer, scratch) == AETHER_E_CACHE_MISMATCH);
    EXPECT(aether_cache_init(&made, &head, 10, AETHER_BINARY32, AETHER_ON_FULL_RING, memory + sizeof memory / 2, sizeof memory / 2) == AETHER_OK);
    EXPECT(aether_cache_load(&made, saved, size, NULL) == AETHER_E_CACHE_MISMATCH);
    EXPECT(cache.length == 4);
}

#define WEIGHTS 104u /* 4 * 8, twice 4 * 4, 8 * 4, 4 * 2 */

/* A model of 4 features, one layer and two classes, without sections. */
static void check_model(void) {
    const aether_rvne_header given = {0, 4, 2, 1, 4, 1, 2, 4 * WEIGHTS};
    static float weights[WEIGHTS];
    static unsigned char blob[4 * WEIGHTS + 28], state[1 << 12];
    float *const odd = (float *)(void *)((unsigned char *)values + 1);
    const aether_dtype none = (aether_dtype)7;
    aether_rvne_header header = given, read;
    aether_detail detail;
    aether_model model;
    aether_stream stream, other;
    aether_array array;
    aether_memory needs;
    size_t need = 0, size, i;
    for (i = 0; i < WEIGHTS; i++) {
        weights[i] = (float)(i % 5) * 0.125f - 0.25f;
    }
    EXPECT(aether_rvne_write(NULL, weights, blob, sizeof blob, &detail) == AETHER_E_ARGUMENT);
    EXPECT(aether_rvne_write(&header, NULL, blob, sizeof blob, &detail) == AETHER_E_ARGUMENT);
    EXPECT(aether_rvne_write(&header, weights, NULL, sizeof blob, &detail) == AETHER_E_ARGUMENT);
    EXPECT(aether_rvne_write(&header, weights, blob, sizeof blob - 1, &detail) == AETHER_E_MEMORY);
    EXPECT(aether_rvne_check(NULL, &detail) == AETHER_E_ARGUMENT);
#define HEADER(member, value)                                                                          \
    do {                                                                                               \
        header = given;                                                                                \
        header.member = value;                                                                         \
        EXPECT(aether_rvne_check(&header, &detail) != AETHER_OK);                                      \
        EXPECT(aether_rvne_write(&header, weights, blob, sizeof blob, NULL) != AETHER_OK);             \
    } while (0)
    HEADER(flags, 0x80);
    HEADER(input_dim, 0);
    HEADER(n_q_heads, 0);
    HEADER(n_kv_heads, 0);
    HEADER(n_kv_heads, 3);
    HEADER(head_dim, 0);
    HEADER(n_layers, 0);
    HEADER(n_classes, 0);
    header = given;
    EXPECT(aether_rvne_write(&header, weights, blob, sizeof blob, &detail) == AETHER_OK);
    EXPECT(aether_rvne_parse(NULL, sizeof blob, &read, &detail) == AETHER_E_ARGUMENT);
    EXPECT(aether_rvne_parse(blob, sizeof blob, NULL, &detail) == AETHER_E_ARGUMENT);
    EXPECT(aether_rvne_parse(blob, 20, &read, &detail) == AETHER_E_BLOB_SHORT);
    EXPECT(aether_rvne_parse(blob, sizeof blob - 1, &read, &detail) == AETHER_E_BLOB_LENGTH);
    EXPECT(aether_rvne_parse(blob, sizeof blob, &read, &detail) == AETHER_OK && read.n_classes == 2);
    EXPECT(aether_model_open(NULL, blob, sizeof blob, NULL, &detail) == AETHER_E_ARGUMENT);
    EXPECT(aether_model_open(&model, NULL, sizeof blob, NULL, &detail) == AETHER_E_ARGUMENT);
    EXPECT(aether_model_open(&model, blob, sizeof blob, NULL, &detail) == AETHER_OK);
    EXPECT(aether_model_array(NULL, 0, &array) == AETHER_E_ARGUMENT);
    EXPECT(aether_model_array(&model, 0, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_model_array(&model, 99, &array) == AETHER_E_ARGUMENT);
    EXPECT(aether_model_array(&model, 0, &array) == AETHER_OK && array.dims[0] == 4);
    EXPECT(aether_model_memory(NULL, 8, AETHER_BINARY32, &needs) == AETHER_E_ARGUMENT);
    EXPECT(aether_model_memory(&model, 8, AETHER_BINARY32, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_model_memory_on(&model, 8, AETHER_BINARY32, 5, &needs) == AETHER_E_ARGUMENT);
    EXPECT(aether_model_memory(&model, 0, AETHER_BINARY32, &needs) == AETHER_E_CONFIG);
    EXPECT(aether_model_memory_on(&model, 8, AETHER_BINARY16, 4, &needs) == AETHER_OK && needs.flash == sizeof blob);
    EXPECT(aether_model_memory(&model, 100000, AETHER_BINARY32, &needs) == AETHER_OK);
    EXPECT(aether_model_workspace(NULL, 3, 8, AETHER_BINARY32, &need) == AETHER_E_ARGUMENT);
    EXPECT(aether_model_workspace(&model, 3, 8, none, &need) == AETHER_E_ARGUMENT);
    EXPECT(aether_model_workspace(&model, 3, 8, AETHER_BINARY32, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_model_workspace(&model, SIZE_MAX / 2, 8, AETHER_BINARY32, &need) == AETHER_E_TOO_LARGE);
    EXPECT(aether_model_workspace(&model, 3, 8, AETHER_BINARY32, &need) == AETHER_OK && need < sizeof memory);
#define RUN(m, f, n, t, l, e, w, b) aether_model_forward(m, f, n, 8, t, l, e, w, b)
    EXPECT(RUN(NULL, values, 3, AETHER_BINARY32, result, NULL, memory, need) == AETHER_E_ARGUMENT);
    EXPECT(RUN(&model, NULL, 3, AETHER_BINARY32, result, NULL, memory, need) == AETHER_E_ARGUMENT);
    EXPECT(RUN(&model, values, 3, AETHER_BINARY32, NULL, NULL, memory, need) == AETHER_E_ARGUMENT);
    EXPECT(RUN(&model, values, 3, AETHER_BINARY32, result, NULL, NULL, need) == AETHER_E_ARGUMENT);
    EXPECT(RUN(&model, values, 3, none, result, NULL, memory, need) == AETHER_E_ARGUMENT);
    EXPECT(RUN(&model, values, 3, AETHER_BINARY32, result, result, memory, need) == AETHER_E_SHAPE);
    EXPECT(RUN(&model, values, 3, AETHER_BINARY32, result, NULL, memory, need - 1) == AETHER_E_MEMORY);
    EXPECT(RUN(&model, odd, 3, AETHER_BINARY32, result, NULL, memory, need) == AETHER_E_ALIGNMENT);
    EXPECT(RUN(&model, values, 3, AETHER_BINARY32, odd, NULL, memory, need) == AETHER_E_ALIGNMENT);
    EXPECT(RUN(&model, values, 3, AETHER_BINARY32, result, NULL, memory + 4, need) == AETHER_E_ALIGNMENT);
    EXPECT(RUN(&model, NULL, 0, AETHER_BINARY32, NULL, NULL, NULL, 0) == AETHER_OK);
    EXPECT(RUN(&model, values, 3, AETHER_BINARY32, result, NULL, memory, need) == AETHER_OK);
    EXPECT(aether_csi_frame(&model, NULL, NULL, 4, 0, result) == AETHER_E_ARGUMENT);
    EXPECT(aether_csi_frame(&model, NULL, (const int8_t *)blob, 4, 0, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_csi_frame(&model, NULL, (const int8_t *)blob, 4, 0, odd) == AETHER_E_ALIGNMENT);
    EXPECT(aether_csi_frame(&model, NULL, (const int8_t *)blob, 5, 0, result) == AETHER_E_SHAPE);
    EXPECT(aether_csi_frame(&model, NULL, (const int8_t *)blob, 4, 2, result) == AETHER_OK && result[0] == 0.0f);
    EXPECT(aether_stream_size(NULL, 8, AETHER_BINARY32, &need) == AETHER_E_ARGUMENT);
    EXPECT(aether_stream_size(&model, 8, AETHER_BINARY32, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_stream_size(&model, 0, AETHER_BINARY32, &need) == AETHER_E_CONFIG);
    EXPECT(aether_stream_size(&model, 8, none, &need) == AETHER_E_ARGUMENT);
    EXPECT(aether_stream_size(&model, 8, AETHER_BINARY32, &need) == AETHER_OK && need < sizeof memory / 2);
    EXPECT(aether_stream_init(NULL, &model, 8, AETHER_BINARY32, memory, need) == AETHER_E_ARGUMENT);
    EXPECT(aether_stream_init(&stream, NULL, 8, AETHER_BINARY32, memory, need) == AETHER_E_ARGUMENT);
    EXPECT(aether_stream_init(&stream, &model, 8, AETHER_BINARY32, NULL, need) == AETHER_E_ARGUMENT);
    EXPECT(aether_stream_init(&stream, &model, 0, AETHER_BINARY32, memory, need) == AETHER_E_CONFIG);
    EXPECT(aether_stream_init(&stream, &model, 8, AETHER_BINARY32, memory, need - 1) == AETHER_E_MEMORY);
    EXPECT(aether_stream_init(&stream, &model, 8, AETHER_BINARY32, memory + 4, need) == AETHER_E_ALIGNMENT);
    EXPECT(aether_stream_init(&stream, &model, 8, AETHER_BINARY32, memory, need) == AETHER_OK);
    EXPECT(aether_stream_init(&other, &model, 5, AETHER_BINARY32, memory + sizeof memory / 2, sizeof memory / 2) == AETHER_OK);
    EXPECT(aether_stream_push(NULL, values) == AETHER_E_ARGUMENT);
    EXPECT(aether_stream_push(&stream, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_stream_push(&stream, odd) == AETHER_E_ALIGNMENT);
    EXPECT(aether_stream_push(&stream, values) == AETHER_OK && stream.length == 1);
    EXPECT(aether_stream_logits(&stream) != NULL);
    EXPECT(aether_stream_embedding(&stream) == NULL);
    size = aether_stream_saved_size(&stream);
    EXPECT(size <= sizeof state);
    EXPECT(aether_stream_save(NULL, state, size) == AETHER_E_ARGUMENT);
    EXPECT(aether_stream_save(&stream, NULL, size) == AETHER_E_ARGUMENT);
    EXPECT(aether_stream_save(&stream, state, size - 1) == AETHER_E_MEMORY);
    EXPECT(aether_stream_save(&stream, state, size) == AETHER_OK);
    EXPECT(aether_stream_load(NULL, state, size, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_stream_load(&stream, NULL, size, NULL) == AETHER_E_ARGUMENT);
    EXPECT(aether_stream_load(&stream, state, size - 1, NULL) == AETHER_E_STATE);
    EXPECT(aether_stream_load(&other, state, size, NULL) == AETHER_E_CACHE_MISMATCH);
    aether_stream_reset(&stream);
    EXPECT(stream.length == 0 && aether_stream_load(&stream, state, size, NULL) == AETHER_OK && stream.length == 1);
    values[0] = __builtin_inff();
    EXPECT(aether_stream_push(&stream, values) == AETHER_E_NOT_FINITE && stream.length == 1);
    EXPECT(RUN(&model, values, 3, AETHER_BINARY32, result, NULL, memory, sizeof memory) == AETHER_E_NOT_FINITE);
    values[0] = values[1] = values[2] = values[3] = 3e38f;
    EXPECT(aether_stream_push(&stream, values) == AETHER_E_OVERFLOW && stream.length == 1);
    values[0] = -0.5f;
}

int main(void) {
    aether_config c = small();
    aether_head head;
    size_t i;
    for (i = 0; i < sizeof values / sizeof values[0]; i++) {
        values[i] = (float)(i % 7) * 0.25f - 0.5f;
    }
    check_status();
    check_kernels();
    check_head();
    EXPECT(aether_head_init(&head, &c, NULL, NULL) == AETHER_OK);
    check_attention(&head);
    check_cache(&head);
    check_other_heads();
    check_edges();
    check_numeric();
    check_model();
    return ended();
}
