/* Attends over a sequence of 100 tokens twice: in one call, and token by token with a cache. Both give the same bits. */
#include <aether/cache.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKENS 100u

/* Numbers in [-1, 1). */
static void fill(float *x, size_t n, uint32_t seed) {
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) * 0x1p-23f - 1.0f;
    }
}

static void check(aether_status status) {
    if (status != AETHER_OK) {
        fprintf(stderr, "attention: %s\n", aether_status_text(status));
        exit(1);
    }
}

int main(void) {
    aether_config config;
    aether_head head;
    aether_cache cache;
    size_t bytes, different = 0;
    void *memory, *scratch;
    aether_config_default(&config);
    check(aether_head_init(&head, &config, NULL, NULL));

    /* q and out are [token][q_head][head_dim]; k and v are [token][kv_head][head_dim]. */
    const size_t q_row = (size_t)config.q_heads * config.head_dim, kv_row = (size_t)config.kv_heads * config.head_dim;
    float *const q = malloc(TOKENS * q_row * sizeof *q), *const k = malloc(TOKENS * kv_row * sizeof *k);
    float *const v = malloc(TOKENS * kv_row * sizeof *v), *const whole = malloc(TOKENS * q_row * sizeof *whole);
    float *const out = malloc(q_row * sizeof *out);
    fill(q, TOKENS * q_row, 1);
    fill(k, TOKENS * kv_row, 2);
    fill(v, TOKENS * kv_row, 3);

    /* The whole sequence in one call. */
    check(aether_attention_workspace(&head, TOKENS, AETHER_BINARY32, &bytes));
    scratch = malloc(bytes);
    check(aether_attention_forward(&head, q, k, v, TOKENS, AETHER_BINARY32, whole, scratch, bytes));
    free(scratch);
    printf("sequence: %lu bytes of workspace\n", (unsigned long)bytes);

    /* Token by token: the cache keeps the keys and values that a later query can see. */
    check(aether_cache_size(&head, TOKENS, AETHER_BINARY32, &bytes));
    memory = malloc(bytes);
    check(aether_cache_init(&cache, &head, TOKENS, AETHER_BINARY32, AETHER_ON_FULL_RING, memory, bytes));
    printf("steps: %lu bytes of cache", (unsigned long)bytes);
    check(aether_cache_scratch(&cache, 1, &bytes));
    scratch = malloc(bytes);
    printf(", %lu bytes of scratch\n", (unsigned long)bytes);
    for (size_t t = 0; t < TOKENS; t++) {
        check(aether_cache_step(&cache, &head, q + t * q_row, k + t * kv_row, v + t * kv_row, out, scratch, bytes));
        different += memcmp(out, whole + t * q_row, q_row * sizeof *out) != 0;
    }
    printf("%u rows compared, %lu different\n", TOKENS, (unsigned long)different);
    free(scratch);
    free(memory);
    free(q);
    free(k);
    free(v);
    free(whole);
    free(out);
    return different != 0;
}
