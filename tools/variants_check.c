/* Compares every usable kernel variant with the portable definition, all bits, over random cases.
   variants_check [cases] [seed]; exit status 0 when all agree. The memory handed out is exactly as large as asked for, so that
   the address sanitizer sees a variant that reads or writes beyond it. */
#include "aether/attention.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;

static uint32_t next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

/* 0 .. n-1 */
static uint32_t below(uint32_t n) {
    return (uint32_t)(((uint64_t)next() * n) >> 32);
}

static int one_in(uint32_t n) {
    return below(n) == 0;
}

static void *allocate(size_t bytes) {
    void *p = malloc(bytes + 1);
    if (p == NULL) {
        fprintf(stderr, "variants_check: no memory\n");
        exit(2);
    }
    return p;
}

static float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* How values are spread: ordinary, small enough for subnormal products, large enough for overflowing scores, with zeros. */
typedef enum spread { ORDINARY, TINY, LARGE, PLAIN_SPREADS } spread;

static float value(spread kind) {
    const float x = (float)(int32_t)next() * (1.0f / 1073741824.0f);
    if (one_in(16)) {
        return one_in(2) ? 0.0f : -0.0f;
    }
    switch (kind) {
    case TINY: return x * 1.0e-20f;
    case LARGE: return x * (one_in(8) ? 1.0e19f : 1.0e3f);
    default: return x;
    }
}

static float *values(size_t n, spread kind) {
    float *p = allocate(n * sizeof(float));
    size_t i;
    for (i = 0; i < n; i++) {
        p[i] = value(kind);
    }
    return p;
}

static int bad;

static void report(const char *variant, const char *what) {
    if (bad++ < 20) {
        fprintf(stderr, "variants_check: %s differs from portable: %s\n", variant, what);
    }
}

/* Same bits; two NaNs are the same. Index of the first difference, n when there is none. */
static size_t differs(const float *a, const float *b, size_t n) {
    size_t i;
    for (i = 0; i < n; i++) {
        if (memcmp(&a[i], &b[i], sizeof a[i]) != 0 && (a[i] == a[i] || b[i] == b[i])) {
            return i;
        }
    }
    return n;
}

typedef struct shape {
    aether_config config;
    uint32_t globals[40];
    size_t tokens;
    aether_dtype dtype;
    spread kind;
} shape;

static void describe(const shape *s, const char *variant, size_t at) {
    char text[512];
    const aether_config *c = &s->config;
    int n = snprintf(text, sizeof text,
                     "attention: T %zu heads %u/%u D %u %s W %llu B %llu H %llu causal %d strides %d landmarks %d half %d "
                     "spread %d; output %zu (token %zu); globals",
                     s->tokens, c->q_heads, c->kv_heads, c->head_dim, c->backend == AETHER_DENSE ? "dense" : "sparse",
                     (unsigned long long)c->window, (unsigned long long)c->block_size, (unsigned long long)c->history,
                     c->causal, c->use_log_stride, c->use_landmarks, (int)s->dtype, (int)s->kind, at,
                     at / c->q_heads / c->head_dim);
    size_t g;
    for (g = 0; g < c->n_globals && n > 0 && (size_t)n < sizeof text; g++) {
        n += snprintf(text + n, sizeof text - (size_t)n, " %u", c->globals[g]);
    }
    report(variant, text);
}

static void random_shape(shape *s) {
    aether_config *c = &s->config;
    uint32_t token = 0;
    size_t g;
    memset(c, 0, sizeof *c);
    s->tokens = one_in(8) ? 1 + below(600) : 1 + below(200);
    s->dtype = (aether_dtype)below(2);
    s->kind = one_in(2) ? ORDINARY : (spread)below(PLAIN_SPREADS);
    c->backend = one_in(8) ? AETHER_DENSE : AETHER_SPARSE;
    c->kv_heads = one_in(2) ? 1 : 1 + below(4);
    c->q_heads = c->kv_heads * (1 + below(8));
    c->head_dim = one_in(2) ? 32 : 1 + below(80);
    c->window = one_in(3) ? 32 : one_in(8) ? AETHER_UNLIMITED - below(3) : below(one_in(2) ? 20 : 300);
    c->block_size = one_in(2) ? 16 : one_in(16) ? UINT64_MAX - below(2) : 1 + below(40);
    c->history = one_in(3) ? 1 + below(250) : one_in(8) ? UINT64_MAX - below(2) : 0;
    c->causal = (uint8_t)(below(3) != 0);
    c->use_log_stride = (uint8_t)(below(4) != 0);
    c->use_landmarks = (uint8_t)(below(4) != 0);
    c->globals = s->globals;
    c->n_globals = one_in(3) ? below(40) : below(3);
    if (c->backend == AETHER_SPARSE && one_in(4)) {
        c->pattern = AETHER_PYRAMID;
        c->use_log_stride = c->use_landmarks = 0;
        c->n_globals = 0;
        c->window = below(one_in(2) ? 20 : 300);
        c->block_size = (uint64_t)1 << below(6);
        c->history = one_in(2) ? 0 : c->window + 1 + below(250);
    }
    for (g = 0; g < c->n_globals; g++) {
        token += g == 0 ? below(2) * below(100) : 1 + (one_in(2) ? 0 : below(30));
        s->globals[g] = token;
    }
}

/* The whole sequence with `kernels`, in a random split when `split`; NULL when it is rejected. */
static float *attend(const shape *s, const aether_kernels *kernels, const float *q, const float *k, const float *v,
                     int split, aether_status *status) {
    const size_t width = (size_t)s->config.q_heads * s->config.head_dim;
    const size_t skew = split ? sizeof(float) : 0; /* 4-byte alignment must do */
    aether_head head;
    aether_plan plan;
    size_t plan_bytes, rows_bytes, first = 0;
    unsigned char *memory, *scratch;
    float *out;
    *status = aether_head_init(&head, &s->config, kernels, NULL);
    if (*status != AETHER_OK || aether_attention_plan_size(&head, s->tokens, s->dtype, &plan_bytes) != AETHER_OK ||
        aether_attention_rows_size(&head, s->tokens, &rows_bytes) != AETHER_OK) {
        fprintf(stderr, "variants_check: a case was rejected\n");
        exit(2);
    }
    memory = allocate(plan_bytes + skew);
    scratch = allocate(rows_bytes + skew);
    out = allocate(s->tokens * width * sizeof(float));
    memset(memory, 0x7F, plan_bytes + skew);
    memset(scratch, 0x7F, rows_bytes + skew);
    *status = aether_attention_prepare(&plan, &head, k, v, s->tokens, s->dtype, memory + skew, plan_bytes);
    while (*status == AETHER_OK && first < s->tokens) {
        const size_t left = s->tokens - first;
        const size_t count = split ? 1 + below((uint32_t)(one_in(3) ? left : left < 40 ? left : 40)) : left;
        if (split) { /* exactly the rows that may be touched */
            float *part_q = allocate(count * width * sizeof(float)), *part_out = allocate(count * width * sizeof(float));
            const uintptr_t back = first * width * sizeof(float);
            memcpy(part_q, q + first * width, count * width * sizeof(float));
            *status = aether_attention_rows(&plan, (const float *)((uintptr_t)part_q - back), first, count,
                                            (float *)((uintptr_t)part_out - back), scratch + skew, rows_bytes);
            memcpy(out + first * width, part_out, count * width * sizeof(float));
            free(part_q);
            free(part_out);
        } else {
            *status = aether_attention_rows(&plan, q, first, count, out, scratch, rows_bytes);
        }
        first += count;
    }
    free(memory);
    free(scratch);
    return out;
}

static void check_attention(const aether_kernels *const *variants, size_t n_variants) {
    shape s;
    random_shape(&s);
    const size_t n_q = s.tokens * s.config.q_heads * s.config.head_dim;
    const size_t n_k = s.tokens * s.config.kv_heads * s.config.head_dim;
    float *q = values(n_q, s.kind), *k = values(n_k, s.kind), *v = values(n_k, s.kind);
    aether_status expected, got;
    float *want = attend(&s, variants[0], q, k, v, 0, &expected);
    size_t i;
    for (i = 1; i < n_variants; i++) {
        int split;
        for (split = 0; split < 2; split++) {
            float *out = attend(&s, variants[i], q, k, v, split, &got);
            if (got != expected) {
                describe(&s, variants[i]->name, 0);
                fprintf(stderr, "  status %s instead of %s\n", aether_status_name(got), aether_status_name(expected));
            } else if (got == AETHER_OK) {
                const size_t at = differs(out, want, n_q);
                if (at < n_q) {
                    describe(&s, variants[i]->name, at);
                }
            }
            free(out);
        }
    }
    free(q);
    free(k);
    free(v);
    free(want);
}

/* n rounded, so that all lie in binary16's range. */
static uint16_t *halves(const float *x, size_t n) {
    uint16_t *half = allocate(n * sizeof(uint16_t));
    size_t i;
    for (i = 0; i < n; i++) {
        if (aether_narrow(x[i], &half[i]) != AETHER_OK) {
            half[i] = 0x7BFF;
        }
    }
    return half;
}

static void check_attend_query(const aether_kernels *const *variants, size_t n_variants) {
    const size_t group = 1 + below(9), dim = one_in(2) ? 32 : 1 + below(80), n = 1 + below(one_in(4) ? 200 : 70);
    const size_t n_stored = below((uint32_t)n + 1);
    const spread kind = (spread)below(PLAIN_SPREADS);
    const aether_dtype stored = one_in(2) ? AETHER_BINARY16 : AETHER_BINARY32;
    float *q = values(group * dim, kind), *want = allocate(group * dim * sizeof(float));
    const void **keys = allocate(n * sizeof *keys), **rows = allocate(n * sizeof *rows);
    aether_query job;
    char text[160];
    size_t i, j;
    for (j = 0; j < n; j++) { /* each row in memory of its own, so that nothing may be read past it */
        float *k = values(dim, kind), *v = values(dim, kind);
        if (stored == AETHER_BINARY16 && j < n_stored) {
            keys[j] = halves(k, dim);
            rows[j] = halves(v, dim);
            free(k);
            free(v);
        } else {
            keys[j] = k;
            rows[j] = v;
        }
    }
    memset(&job, 0, sizeof job);
    job.q = q;
    job.keys = keys;
    job.values = rows;
    job.n = n;
    job.n_stored = n_stored;
    job.stored = stored;
    job.sizes = NULL;
    job.group = group;
    job.dim = dim;
    job.scale = 0.1767766952f;
    job.scores = allocate(aether_query_floats(n, group, dim) * sizeof(float));
    job.out = want;
    variants[0]->attend_query(&job);
    for (i = 1; i < n_variants; i++) {
        job.out = allocate(group * dim * sizeof(float));
        variants[i]->attend_query(&job);
        if (differs(job.out, want, group * dim) < group * dim) {
            snprintf(text, sizeof text, "attend_query: n %zu stored %zu half %d group %zu dim %zu spread %d", n, n_stored,
                     (int)stored, group, dim, (int)kind);
            report(variants[i]->name, text);
        }
        free(job.out);
    }
    for (j = 0; j < n; j++) {
        free((void *)(uintptr_t)keys[j]);
        free((void *)(uintptr_t)rows[j]);
    }
    free(keys);
    free(rows);
    free(job.scores);
    free(q);
    free(want);
}

/* exp over its whole range, its cut in particular: row 0 has score 0 and so weight 1, and the other rows' values are unit
   vectors, so that the outputs are the weights. */
static void check_exp(const aether_kernels *const *variants, size_t n_variants) {
    enum { N = 33 };
    float q[N] = {1.0f}, keys[N][N] = {{0.0f}}, rows[N][N] = {{0.0f}}, want[N], out[N];
    const void *key_at[N], *row_at[N];
    aether_query job;
    size_t i, j;
    for (j = 0; j < N; j++) {
        key_at[j] = keys[j];
        row_at[j] = rows[j];
        if (j > 0) {
            keys[j][0] = one_in(2) ? -from_bits(0x42AEAC4Fu - 40u + below(80)) : -from_bits(below(0x42D00000u));
            rows[j][j] = 1.0f;
        }
    }
    memset(&job, 0, sizeof job);
    job.q = q;
    job.keys = key_at;
    job.values = row_at;
    job.n = N;
    job.n_stored = N;
    job.stored = AETHER_BINARY32;
    job.sizes = NULL;
    job.group = 1;
    job.dim = N;
    job.scale = 1.0f;
    job.scores = allocate(aether_query_floats(N, 1, N) * sizeof(float));
    job.out = want;
    variants[0]->attend_query(&job);
    job.out = out;
    for (i = 1; i < n_variants; i++) {
        variants[i]->attend_query(&job);
        if (differs(out, want, N) < N) {
            report(variants[i]->name, "exp");
        }
    }
    free(job.scores);
}

static void check_linear(const aether_kernels *const *variants, size_t n_variants) {
    const size_t rows = 1 + below(20), in = one_in(16) ? 0 : 1 + below(70), out = 1 + below(one_in(3) ? 300 : 70);
    const spread kind = (spread)below(PLAIN_SPREADS);
    float *x = values(rows * in, kind), *w = values(in * out, kind), *b = one_in(2) ? values(out, kind) : NULL;
    uint16_t *half = halves(w, in * out);
    float *want = allocate(rows * out * sizeof(float)), *y = allocate(rows * out * sizeof(float));
    char text[160];
    size_t i;
    int type;
    for (type = 0; type < 2; type++) {
        const aether_dtype dtype = type ? AETHER_BINARY16 : AETHER_BINARY32;
        const void *weights = type ? (const void *)half : (const void *)w;
        variants[0]->linear(x, rows, in, weights, dtype, b, out, want);
        for (i = 1; i < n_variants; i++) {
            memset(y, 0x7F, rows * out * sizeof(float));
            variants[i]->linear(x, rows, in, weights, dtype, b, out, y);
            if (differs(y, want, rows * out) < rows * out) {
                snprintf(text, sizeof text, "linear: rows %zu in %zu out %zu half %d bias %d", rows, in, out, type, b != NULL);
                report(variants[i]->name, text);
            }
        }
    }
    free(x);
    free(w);
    free(b);
    free(half);
    free(want);
    free(y);
}

/* Conversions of arrays, and finiteness with one bad element anywhere. */
static void check_arrays(const aether_kernels *const *variants, size_t n_variants) {
    const size_t n = below(80);
    uint16_t *half = allocate(n * sizeof(uint16_t)), *want_half = allocate(n * sizeof(uint16_t));
    uint16_t *got_half = allocate(n * sizeof(uint16_t));
    float *x = allocate(n * sizeof(float)), *want = allocate(n * sizeof(float)), *got = allocate(n * sizeof(float));
    size_t i, j;
    for (j = 0; j < n; j++) {
        /* any half; any float around binary16's exponents, ties of the rounding among them */
        const uint32_t tie = one_in(2) ? 0xFFFFFFFFu << below(24) : 0xFFFFFFFFu;
        half[j] = (uint16_t)next();
        x[j] = from_bits(((next() & 0x80000000u) | ((98u + below(45)) << 23) | (next() & 0x7FFFFFu)) & tie);
    }
    if (n > 0 && one_in(4)) {
        x[below((uint32_t)n)] = from_bits(one_in(2) ? 0x477FEFFFu + below(3) : (0x7F7FFFFFu + below(3)) | (next() & 0x80000000u));
    }
    for (i = 1; i < n_variants; i++) {
        int fits;
        if (variants[0]->all_finite(x, n) != variants[i]->all_finite(x, n)) {
            report(variants[i]->name, "all_finite");
        }
        variants[0]->widen(half, want, n);
        variants[i]->widen(half, got, n);
        if (differs(got, want, n) < n) {
            report(variants[i]->name, "widen");
        }
        fits = variants[0]->narrow(x, want_half, want, n) == 0;
        if ((variants[i]->narrow(x, got_half, got, n) == 0) != fits) {
            report(variants[i]->name, "narrow: range");
        } else if (fits && memcmp(got_half, want_half, n * sizeof(uint16_t)) != 0) {
            report(variants[i]->name, "narrow");
        } else if (fits && differs(got, want, n) < n) {
            report(variants[i]->name, "narrow: rounded");
        }
    }
    free(half);
    free(want_half);
    free(got_half);
    free(x);
    free(want);
    free(got);
}

/* NULL is the fastest variant that this processor can run, wherever kernels are asked for. */
static void check_null(const aether_kernels *fastest) {
    const aether_kernels *found = NULL;
    aether_config config;
    aether_head head;
    aether_config_default(&config);
    if (aether_kernels_find(NULL, &found) != AETHER_OK || found != fastest) {
        report(fastest->name, "aether_kernels_find(NULL) finds another variant");
    }
    if (aether_head_init(&head, &config, NULL, NULL) != AETHER_OK || head.kernels != fastest) {
        report(fastest->name, "aether_head_init with NULL takes another variant");
    }
    if (aether_head_init(&head, &config, aether_kernels_portable(), NULL) != AETHER_OK ||
        head.kernels != aether_kernels_portable()) {
        report("portable", "aether_head_init does not take it when asked for");
    }
}

int main(int argc, char **argv) {
    const unsigned long cases = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    const aether_kernels *variants[8], *each;
    size_t n_variants = 0, i;
    unsigned long done;
    state = 0x9E3779B97F4A7C15u ^ (argc > 2 ? strtoul(argv[2], NULL, 10) : 1);
    for (i = 0; (each = aether_kernels_at(i)) != NULL && n_variants < 8; i++) {
        if (aether_kernels_usable(each)) {
            variants[n_variants++] = each;
        }
    }
    check_null(variants[n_variants - 1]);
    for (done = 0; done < cases; done++) {
        check_attention(variants, n_variants);
        check_attend_query(variants, n_variants);
        check_exp(variants, n_variants);
        check_linear(variants, n_variants);
        check_arrays(variants, n_variants);
    }
    printf("%lu cases, %d differences, against portable:", cases, bad);
    for (i = 1; i < n_variants; i++) {
        printf(" %s", variants[i]->name);
    }
    printf("\n");
    return bad != 0;
}
