/* soak MODEL PUSHES CONTEXT float32|float16 SEED AGE: pushes frames into one stream, compares it at random moments with others
   (firmware/app/soak.h), and steps a cache of a pyramid without history to AGE tokens. tools/soak compiles and runs it. */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "soak.h"

#define LINES 10u
#define TIMED 2000u /* steps whose median is printed */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static long resident(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_maxrss;
}

static int failed(const char *what, uint64_t at) {
    printf("DIFFERENT: %s, at frame %llu\n", what, (unsigned long long)at);
    return 1;
}

static uint64_t drawn;

static uint64_t draw(uint64_t below) {
    drawn = drawn * 6364136223846793005u + 1442695040888963407u;
    return (drawn >> 33) % below;
}

/* Ten lines; between them, at random moments, a comparison about a thousand times in all. */
static int run_stream(soak *s, uint64_t pushes) {
    const uint64_t interval = pushes / 1000 + 1;
    uint64_t line, comparisons = 0;
    printf("%14s %14s %12s %14s\n", "frames", "us a frame", "memory KiB", "comparisons");
    for (line = 1; line <= LINES; line++) {
        const uint64_t end = pushes / LINES * line;
        double spent = 0.0;
        uint64_t counted = 0;
        while (s->stream.length < end) {
            const uint64_t left = end - s->stream.length, want = 1 + draw(2 * interval), n = want < left ? want : left;
            const double begin = now();
            if (!soak_push(s, n)) {
                return failed("a push failed", s->stream.length);
            }
            spent += now() - begin;
            counted += n;
            if (!soak_forgets(s)) {
                return failed("a stream of the newest frames predicts something else", s->stream.length);
            }
            if (!soak_restores(s)) {
                return failed("a stream loaded from a saved state predicts something else", s->stream.length);
            }
            comparisons += 2;
        }
        printf("%14llu %14.3f %12ld %14llu\n", (unsigned long long)s->stream.length, 1e6 * spent / (double)counted, resident(),
               (unsigned long long)comparisons);
        fflush(stdout);
    }
    return 0;
}

static int run_ends(soak *s) {
    static const struct {
        uint64_t end;
        const char *what;
    } ends[2] = {{(uint64_t)1 << 32, "across 2^32"}, {(uint64_t)1 << 62, "to the last of 2^62"}};
    size_t i;
    for (i = 0; i < 2; i++) {
        if (!soak_ages(s, ends[i].end)) {
            return failed(ends[i].what, s->stream.length);
        }
        printf("equal %s frames\n", ends[i].what);
    }
    return 0;
}

/* -- a cache that forgets nothing --------------------------------------------------------------------------------------------- */

enum { Q_HEADS = 4, DIM = 32, TOGETHER = 4096 };

static void rows(uint64_t token, float *x, size_t n) {
    uint64_t r = token * 0x9E3779B97F4A7C15u + 1;
    while (n-- > 0) {
        r = r * 6364136223846793005u + 1442695040888963407u;
        *x++ = (float)(r >> 40) * (1.0f / 8388608.0f) - 1.0f;
    }
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A new cache that takes all tokens in bulk has the same state. */
static int same_in_bulk(const aether_cache *cache, const aether_head *head, size_t bytes) {
    static float kv[TOGETHER][2 * DIM], k[TOGETHER][DIM], v[TOGETHER][DIM];
    const size_t size = aether_cache_saved_size(cache);
    void *memory = malloc(bytes);
    unsigned char *one = malloc(size), *two = malloc(size);
    aether_cache bulk;
    int equal = memory != NULL && one != NULL && two != NULL &&
               aether_cache_init(&bulk, head, cache->capacity, AETHER_BINARY32, AETHER_ON_FULL_ERROR, memory, bytes) == AETHER_OK;
    uint64_t t = 0;
    while (equal && t < cache->length) {
        const uint64_t left = cache->length - t;
        const size_t n = left < TOGETHER ? (size_t)left : TOGETHER;
        size_t i;
        for (i = 0; i < n; i++) {
            rows(t + i, kv[i], 2 * DIM);
            memcpy(k[i], kv[i], sizeof k[i]);
            memcpy(v[i], kv[i] + DIM, sizeof v[i]);
        }
        equal = aether_cache_append(&bulk, k[0], v[0], n) == AETHER_OK;
        t += n;
    }
    equal = equal && aether_cache_save(cache, one, size) == AETHER_OK && aether_cache_save(&bulk, two, size) == AETHER_OK &&
           memcmp(one, two, size) == 0;
    free(memory);
    free(one);
    free(two);
    return equal;
}

static int run_cache(uint64_t age) {
    static double times[TIMED];
    static float q[Q_HEADS * DIM], kv[2 * DIM], out[Q_HEADS * DIM];
    size_t bytes, need = 0, n = 0;
    aether_config config;
    aether_cache cache;
    aether_head head;
    void *memory, *scratch;
    uint64_t stop = 100;
    aether_config_default(&config);
    config.q_heads = Q_HEADS, config.kv_heads = 1, config.head_dim = DIM, config.window = 8, config.block_size = 4;
    config.pattern = AETHER_PYRAMID, config.use_log_stride = config.use_landmarks = 0, config.n_globals = 0;
    if (aether_head_init(&head, &config, NULL, NULL) != AETHER_OK ||
        aether_cache_size(&head, (uint64_t)1 << 32, AETHER_BINARY32, &bytes) != AETHER_OK || (memory = malloc(bytes)) == NULL ||
        aether_cache_init(&cache, &head, (uint64_t)1 << 32, AETHER_BINARY32, AETHER_ON_FULL_ERROR, memory, bytes) != AETHER_OK ||
        aether_cache_scratch(&cache, 1, &need) != AETHER_OK || (scratch = malloc(need)) == NULL) {
        return failed("a cache for 2^32 tokens", 0);
    }
    rows(0, q, Q_HEADS * DIM);
    printf("\na cache for 2^32 tokens, window 8, block 4: %zu bytes\n%14s %14s\n", bytes, "tokens", "us a step");
    while (cache.length < age) {
        const double begin = now();
        double spent;
        rows(cache.length, kv, 2 * DIM);
        if (aether_cache_step(&cache, &head, q, kv, kv + DIM, out, scratch, need) != AETHER_OK) {
            return failed("a step failed", cache.length);
        }
        spent = now() - begin;
        if (cache.length + TIMED > stop || stop <= TIMED) {
            times[n++ % TIMED] = spent;
        }
        if (cache.length == stop) {
            n = n < TIMED ? n : TIMED;
            qsort(times, n, sizeof times[0], ascending);
            printf("%14llu %14.3f\n", (unsigned long long)stop, 1e6 * times[n / 2]);
            fflush(stdout);
            if (!same_in_bulk(&cache, &head, bytes)) {
                return failed("a cache that takes the tokens in bulk has another state", stop);
            }
            stop *= 10;
            n = 0;
        }
    }
    free(memory);
    free(scratch);
    return 0;
}

int main(int count, char **words) {
    static uint64_t blob[1 << 17];
    const aether_dtype dtype = count == 7 && strcmp(words[4], "float32") == 0 ? AETHER_BINARY32 : AETHER_BINARY16;
    size_t bytes, need = 0;
    aether_model model;
    aether_status status;
    void *memory;
    int wrong;
    FILE *file = count == 7 ? fopen(words[1], "rb") : NULL;
    soak s;
    if (file == NULL) {
        fprintf(stderr, "soak: expected MODEL PUSHES CONTEXT float32|float16 SEED AGE, with a file MODEL\n");
        return 2;
    }
    bytes = fread(blob, 1, sizeof blob, file);
    fclose(file);
    drawn = strtoull(words[5], NULL, 10);
    status = aether_model_open(&model, blob, bytes, NULL, NULL);
    if (status == AETHER_OK) {
        status = soak_size(&model, strtoull(words[3], NULL, 10), dtype, &need);
    }
    memory = malloc(need + 1);
    if (status == AETHER_OK && memory != NULL) {
        status = soak_begin(&s, &model, strtoull(words[3], NULL, 10), dtype, (uint32_t)drawn, memory, need);
    }
    if (status != AETHER_OK || memory == NULL) {
        fprintf(stderr, "soak: %s: %s\n", words[1], aether_status_text(status));
        return 2;
    }
    wrong = run_stream(&s, strtoull(words[2], NULL, 10)) || run_ends(&s) || run_cache(strtoull(words[6], NULL, 10));
    free(memory);
    return wrong;
}
