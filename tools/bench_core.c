/* Medians of the core's hot paths, one thread, every usable variant: bench_core [variant]. Microseconds of processor time, so
   that a busy machine disturbs little. */
#define _POSIX_C_SOURCE 199309L

#include "aether/attention.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REPEATS 200
#define BUDGET 0.4 /* seconds a figure */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median of up to REPEATS timings; each runs `inner` calls so that the clock's own time does not count. */
static double median(void (*run)(void *), void *context, int inner) {
    double times[REPEATS];
    const double begin = now();
    int n = 0, i;
    run(context);
    while (n < REPEATS && (n < 3 || now() - begin < BUDGET)) {
        const double t = now();
        for (i = 0; i < inner; i++) {
            run(context);
        }
        times[n++] = (now() - t) / inner;
    }
    qsort(times, (size_t)n, sizeof times[0], ascending);
    return 1e6 * times[n / 2];
}

static float *values(size_t n) {
    static uint32_t state = 12345;
    float *p = malloc(n * sizeof *p);
    size_t i;
    if (p == NULL) {
        exit(2);
    }
    for (i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        p[i] = (float)(int32_t)state * (1.0f / 1073741824.0f);
    }
    return p;
}

typedef struct forward {
    aether_head head;
    size_t tokens, bytes;
    float *q, *k, *v, *out;
    void *workspace;
    aether_dtype dtype;
} forward;

static void run_forward(void *context) {
    forward *f = context;
    if (aether_attention_forward(&f->head, f->q, f->k, f->v, f->tokens, f->dtype, f->out, f->workspace, f->bytes)) {
        exit(2);
    }
}

static void run_prepare(void *context) {
    forward *f = context;
    aether_plan plan;
    if (aether_attention_prepare(&plan, &f->head, f->k, f->v, f->tokens, f->dtype, f->workspace, f->bytes)) {
        exit(2);
    }
}

static double bench_forward(const aether_kernels *kernels, const aether_config *config, size_t tokens, aether_dtype dtype,
                            void (*run)(void *)) {
    forward f;
    double us;
    const size_t dim = config->head_dim;
    f.tokens = tokens;
    f.dtype = dtype;
    if (aether_head_init(&f.head, config, kernels, NULL) != AETHER_OK ||
        aether_attention_workspace(&f.head, tokens, dtype, &f.bytes) != AETHER_OK) {
        exit(2);
    }
    f.q = values(tokens * config->q_heads * dim);
    f.k = values(tokens * config->kv_heads * dim);
    f.v = values(tokens * config->kv_heads * dim);
    f.out = values(tokens * config->q_heads * dim);
    f.workspace = malloc(f.bytes);
    us = median(run, &f, tokens < 1024 ? (int)(2048 / tokens) : 1);
    free(f.q);
    free(f.k);
    free(f.v);
    free(f.out);
    free(f.workspace);
    return us;
}

typedef struct query_bench {
    const aether_kernels *kernels;
    aether_query job;
} query_bench;

static void run_attend_query(void *context) {
    const query_bench *g = context;
    g->kernels->attend_query(&g->job);
}

static double bench_attend_query(const aether_kernels *kernels, size_t n, aether_dtype stored) {
    enum { GROUP = 4, DIM = 32 };
    const void *keys[256], *rows[256];
    float *x = values(2 * n * DIM), *q = values(GROUP * DIM), *out = values(GROUP * DIM);
    uint16_t *half = malloc(2 * n * DIM * sizeof *half);
    float *scores = malloc(aether_query_floats(n, GROUP, DIM) * sizeof *scores);
    const size_t n_stored = n - n / 8;
    query_bench g;
    double us;
    size_t j;
    kernels->narrow(x, half, NULL, 2 * n * DIM);
    for (j = 0; j < n; j++) {
        const int is_half = stored == AETHER_BINARY16 && j < n_stored;
        keys[j] = is_half ? (const void *)(half + j * DIM) : (const void *)(x + j * DIM);
        rows[j] = is_half ? (const void *)(half + (n + j) * DIM) : (const void *)(x + (n + j) * DIM);
    }
    g.kernels = kernels;
    g.job = (aether_query){q, keys, rows, n, n_stored, stored, NULL, GROUP, DIM, 0.17677669f, scores, out};
    us = median(run_attend_query, &g, 1000);
    free(x);
    free(q);
    free(out);
    free(half);
    free(scores);
    return us;
}

typedef struct layer {
    const aether_kernels *kernels;
    const float *x, *bias;
    const void *w;
    aether_dtype type;
    size_t rows, in, out;
    float *y;
} layer;

static void run_linear(void *context) {
    const layer *l = context;
    l->kernels->linear(l->x, l->rows, l->in, l->w, l->type, l->bias, l->out, l->y);
}

static double bench_linear(const aether_kernels *kernels, size_t rows, size_t in, size_t out, aether_dtype type) {
    float *x = values(rows * in), *w = values(in * out), *bias = values(out), *y = values(rows * out);
    uint16_t *half = malloc(in * out * sizeof *half);
    layer l = {kernels, x, bias, w, type, rows, in, out, y};
    double us;
    kernels->narrow(w, half, NULL, in * out);
    l.w = type == AETHER_BINARY16 ? (const void *)half : (const void *)w;
    us = median(run_linear, &l, rows == 1 ? 1000 : 10);
    free(x);
    free(w);
    free(bias);
    free(y);
    free(half);
    return us;
}

int main(int argc, char **argv) {
    static const size_t lengths[] = {32, 64, 128, 256, 1024, 8192};
    const aether_kernels *kernels;
    size_t i, n;
    for (i = 0; (kernels = aether_kernels_at(i)) != NULL; i++) {
        aether_config config;
        if (!aether_kernels_usable(kernels) || (argc > 1 && strcmp(argv[1], kernels->name) != 0)) {
            continue;
        }
        aether_config_default(&config);
        printf("%s\n", kernels->name);
        for (n = 0; n < sizeof lengths / sizeof lengths[0]; n++) {
            printf("  forward T=%-5zu default %10.1f (prepare %.1f)  binary16 %10.1f", lengths[n],
                   bench_forward(kernels, &config, lengths[n], AETHER_BINARY32, run_forward),
                   bench_forward(kernels, &config, lengths[n], AETHER_BINARY32, run_prepare),
                   bench_forward(kernels, &config, lengths[n], AETHER_BINARY16, run_forward));
            config.backend = AETHER_DENSE;
            if (lengths[n] <= 1024) {
                printf("  dense %10.1f", bench_forward(kernels, &config, lengths[n], AETHER_BINARY32, run_forward));
            }
            config.backend = AETHER_SPARSE;
            config.kv_heads = 4;
            printf("  mha %10.1f\n", bench_forward(kernels, &config, lengths[n], AETHER_BINARY32, run_forward));
            config.kv_heads = 1;
        }
        for (n = 16; n <= 64; n += 24) {
            printf("  attend_query n=%-3zu group 4 dim 32: %.3f  binary16 %.3f\n", n, bench_attend_query(kernels, n, AETHER_BINARY32),
                   bench_attend_query(kernels, n, AETHER_BINARY16));
        }
        printf("  linear 1x16x128: %.3f  1x128x16: %.3f  1x64x64: %.3f  binary16 %.3f\n",
               bench_linear(kernels, 1, 16, 128, AETHER_BINARY32), bench_linear(kernels, 1, 128, 16, AETHER_BINARY32),
               bench_linear(kernels, 1, 64, 64, AETHER_BINARY32), bench_linear(kernels, 1, 64, 64, AETHER_BINARY16));
        printf("  linear 1024x16x128: %.1f  1024x128x16: %.1f  1024x64x64: %.1f  binary16 %.1f\n",
               bench_linear(kernels, 1024, 16, 128, AETHER_BINARY32), bench_linear(kernels, 1024, 128, 16, AETHER_BINARY32),
               bench_linear(kernels, 1024, 64, 64, AETHER_BINARY32), bench_linear(kernels, 1024, 64, 64, AETHER_BINARY16));
    }
    return 0;
}
