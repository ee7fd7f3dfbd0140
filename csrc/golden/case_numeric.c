/* Cases of single operations: exp, roots, binary16, CRC, linear layers, patterns, block means, one query. */
#include "../src/bits.h"

#include "../src/fpenv.h"
#include "case.h"

/* Kernels called straight from their table run in the caller's floating-point environment; inside the core they never do. */
typedef void (*direct)(const void *job);

static AETHER_NOINLINE void call_standard(direct call, const void *job) {
    const aether_fpenv env = aether_fpenv_enter();
    call(job);
    aether_fpenv_leave(env);
}

static float float_of(uint32_t word) {
    float x;
    memcpy(&x, &word, sizeof x);
    return x;
}

/* exp, sqrt, widen: word to word, through the functions; widen also through the kernel. */
static void run_map(golden_run *run, const golden_input *in) {
    golden_sink sink;
    uint32_t i;
    golden_sink_open(&sink, &run->c, "function", 0);
    for (i = 0; i < in->count; i++) {
        const uint32_t word = golden_word(in, i);
        const float y = run->c.kernel == GOLDEN_EXP    ? aether_exp(float_of(word))
                        : run->c.kernel == GOLDEN_SQRT ? aether_sqrt(float_of(word))
                                                       : aether_widen((uint16_t)(word & 0xFFFFu));
        golden_put_floats(&sink, &y, 1);
    }
    golden_close(run, &sink, AETHER_OK, 1);
}

typedef struct halves_job {
    const aether_kernels *kernels;
    uint16_t *half;
    float *x, *rounded; /* rounded: of narrowing */
    size_t n;
    int *failed; /* narrowing when not NULL */
} halves_job;

static void halves_direct(const void *p) {
    const halves_job *job = p;
    if (job->failed != NULL) {
        *job->failed = job->kernels->narrow(job->x, job->half, job->rounded, job->n);
    } else {
        job->kernels->widen(job->half, job->x, job->n);
    }
}

/* In pieces of 1, 2, 3, ... values, so that whole vectors, tails and any alignment occur. */
#define PIECE 67u

/* No binary16. */
#define WRONG 0xFFFFFFFFu

static void run_widen_kernel(golden_run *run, const golden_input *in) {
    float x[PIECE];
    uint16_t half[PIECE];
    uint32_t i = 0, piece = 1, j;
    golden_sink sink;
    golden_sink_open(&sink, &run->c, "kernel", 0);
    while (i < in->count) {
        const uint32_t n = in->count - i < piece ? in->count - i : piece;
        const halves_job job = {run->kernels, half, x, NULL, n, NULL};
        for (j = 0; j < n; j++) {
            half[j] = (uint16_t)(golden_word(in, i + j) & 0xFFFFu);
        }
        call_standard(halves_direct, &job);
        golden_put_floats(&sink, x, n);
        i += n;
        piece = piece % PIECE + 1;
    }
    golden_close(run, &sink, AETHER_OK, 1);
}

static void run_narrow(golden_run *run, const golden_input *in) {
    float x[PIECE], rounded[PIECE];
    uint16_t half[PIECE];
    uint32_t i = 0, piece = 1, j;
    aether_status status = AETHER_OK;
    int failed = 0;
    golden_sink sink;
    golden_sink_open(&sink, &run->c, "function", 0);
    for (i = 0; i < in->count && status == AETHER_OK; i++) {
        status = aether_narrow(float_of(golden_word(in, i)), half);
        if (status == AETHER_OK) {
            golden_put(&sink, half[0]);
        }
    }
    golden_close(run, &sink, status, 1);
    golden_sink_open(&sink, &run->c, "kernel", 0);
    for (i = 0; i < in->count && !failed;) {
        const uint32_t n = in->count - i < piece ? in->count - i : piece;
        const halves_job job = {run->kernels, half, x, piece % 2 == 0 ? NULL : rounded, n, &failed};
        golden_fill(in, i, n, x);
        call_standard(halves_direct, &job);
        for (j = 0; j < n && !failed; j++) {
            const int same = job.rounded == NULL || aether_bits(rounded[j]) == aether_bits(aether_widen(half[j]));
            golden_put(&sink, same ? half[j] : WRONG);
        }
        i += n;
        piece = piece % PIECE + 1;
    }
    golden_close(run, &sink, failed ? AETHER_E_OVERFLOW : AETHER_OK, 1);
}

/* One value beyond binary16 among good ones must be found wherever it stands. */
static void run_narrow_positions(golden_run *run, const golden_input *in) {
    float x[40];
    uint16_t half[40];
    uint32_t at, i;
    int failed = 1;
    golden_sink sink;
    golden_sink_open(&sink, &run->c, "positions", 0);
    for (at = 0; at < 40 && failed; at++) {
        const halves_job job = {run->kernels, half, x, NULL, 40, &failed};
        for (i = 0; i < 40; i++) {
            x[i] = 1.0f;
        }
        golden_fill(in, 0, 1, x + at);
        call_standard(halves_direct, &job);
    }
    golden_close(run, &sink, failed ? AETHER_E_OVERFLOW : AETHER_OK, 0);
}

static void run_crc(golden_run *run, const golden_input *in) {
    const size_t bytes = run->c.n_params > 0 ? run->c.params[0] : 0;
    unsigned char *data = golden_take(&run->arena, (size_t)in->count + 1, sizeof(uint32_t));
    const size_t cut = bytes / 3;
    golden_sink sink;
    if (!golden_ready(run) || bytes > 4 * (size_t)in->count) {
        return;
    }
    golden_fill(in, 0, in->count, data);
    golden_sink_open(&sink, &run->c, "whole", 0);
    golden_put(&sink, aether_crc32(0, data, bytes));
    golden_close(run, &sink, AETHER_OK, 1);
    golden_sink_open(&sink, &run->c, "pieces", 0);
    golden_put(&sink, aether_crc32(aether_crc32(0, data, cut), data + cut, bytes - cut));
    golden_close(run, &sink, AETHER_OK, 1);
    memmove(data + 1, data, bytes);
    golden_sink_open(&sink, &run->c, "unaligned", 0);
    golden_put(&sink, aether_crc32(0, data + 1, bytes));
    golden_close(run, &sink, AETHER_OK, 1);
}

static void run_scale(golden_run *run) {
    golden_sink sink;
    aether_config config;
    aether_head head;
    aether_status status = AETHER_OK;
    uint32_t i;
    aether_config_default(&config);
    golden_sink_open(&sink, &run->c, "head", 0);
    for (i = 0; i < run->c.n_params && status == AETHER_OK; i++) {
        config.head_dim = run->c.params[i];
        status = aether_head_init(&head, &config, run->kernels, NULL);
        if (status == AETHER_OK) {
            golden_put_floats(&sink, &head.scale, 1);
        }
    }
    golden_close(run, &sink, status, 1);
}

typedef struct linear_job {
    const aether_kernels *kernels;
    const float *x;
    size_t rows, in;
    const void *w;
    aether_dtype type;
    const float *bias;
    size_t out;
    float *y;
} linear_job;

static void linear_direct(const void *p) {
    const linear_job *j = p;
    j->kernels->linear(j->x, j->rows, j->in, j->w, j->type, j->bias, j->out, j->y);
}

static void run_linear(golden_run *run) {
    const uint32_t *p = run->c.params;
    golden_input x, w, bias;
    golden_sink sink;
    linear_job job;
    float *xs, *ws, *bs, *y;
    uint64_t weights;
    size_t r;
    if (run->c.n_params != 5 || !golden_input_at(&run->c, 0, &x) || !golden_input_at(&run->c, 1, &w) ||
        (p[4] && !golden_input_at(&run->c, 2, &bias))) {
        return;
    }
    weights = (uint64_t)p[1] * p[2];
    if (p[3] > 1 || (uint64_t)p[0] * p[1] > x.count || (p[3] ? weights / 2 + weights % 2 : weights) > w.count) {
        return;
    }
    xs = golden_take(&run->arena, x.count, sizeof(float));
    ws = golden_take(&run->arena, w.count, sizeof(float));
    bs = golden_take(&run->arena, p[2], sizeof(float));
    y = golden_take(&run->arena, (size_t)p[0] * p[2], sizeof(float));
    if (!golden_ready(run)) {
        return;
    }
    golden_fill(&x, 0, x.count, xs);
    golden_fill(&w, 0, w.count, ws);
    if (p[4]) {
        golden_fill(&bias, 0, p[2], bs);
    }
    job.kernels = run->kernels;
    job.x = xs;
    job.rows = p[0];
    job.in = p[1];
    job.w = ws;
    job.type = (aether_dtype)p[3];
    job.bias = p[4] ? bs : NULL;
    job.out = p[2];
    job.y = y;
    call_standard(linear_direct, &job);
    golden_sink_open(&sink, &run->c, "rows together", 0);
    golden_put_floats(&sink, y, (size_t)p[0] * p[2]);
    golden_close(run, &sink, AETHER_OK, 1);
    golden_sink_open(&sink, &run->c, "row by row", 0);
    job.rows = 1;
    for (r = 0; r < p[0]; r++) {
        job.x = xs + r * p[1];
        call_standard(linear_direct, &job);
        golden_put_floats(&sink, y, p[2]);
    }
    golden_close(run, &sink, AETHER_OK, 1);
}

static void run_pattern(golden_run *run) {
    const uint32_t *p = run->c.params + GOLDEN_CONFIG_WORDS;
    aether_config config;
    aether_head head;
    aether_status status;
    golden_sink sink;
    uint32_t i;
    if (!golden_config(&run->c, 3, &config) || p[2] > UINT32_MAX - 3 ||
        !golden_config(&run->c, 3 + p[2], &config)) {
        return;
    }
    for (i = 0; i < p[2]; i++) {
        if (p[3 + i] >= p[0]) {
            return;
        }
    }
    status = aether_head_init(&head, &config, run->kernels, NULL);
    if (status == AETHER_OK) {
        aether_row row;
        uint64_t token, edges;
        size_t j;
        row.singles = golden_take(&run->arena, aether_pattern_max_singles(&config), sizeof(uint64_t));
        row.blocks = golden_take(&run->arena, AETHER_MAX_BLOCKS, sizeof(uint64_t));
        row.levels = golden_take(&run->arena, AETHER_MAX_BLOCKS, sizeof(uint8_t));
        if (!golden_ready(run)) {
            return;
        }
        golden_sink_open(&sink, &run->c, "row", 0);
        for (i = 0; i < p[2]; i++) {
            aether_pattern_row(&config, p[0], p[3 + i], &row);
            golden_put(&sink, (uint32_t)(row.n_below + row.n_above + (row.hi - row.lo + 1)));
            for (j = 0; j < row.n_below; j++) {
                golden_put(&sink, (uint32_t)row.singles[j]);
            }
            for (token = row.lo; token <= row.hi; token++) {
                golden_put(&sink, (uint32_t)token);
            }
            for (j = 0; j < row.n_above; j++) {
                golden_put(&sink, (uint32_t)row.singles[row.n_below + j]);
            }
            golden_put(&sink, (uint32_t)row.n_blocks);
            for (j = 0; j < row.n_blocks; j++) {
                golden_put(&sink, (uint32_t)row.blocks[j]);
                if (config.pattern == AETHER_PYRAMID) {
                    golden_put(&sink, (uint32_t)1 << row.levels[j]);
                }
            }
        }
        edges = aether_pattern_edges(&config, p[1]);
        golden_put(&sink, (uint32_t)(edges & 0xFFFFFFFFu));
        golden_put(&sink, (uint32_t)(edges >> 32));
    } else {
        golden_sink_open(&sink, &run->c, "row", 0);
    }
    golden_close(run, &sink, status, 1);
}

static void run_block_mean(golden_run *run) {
    aether_config config;
    aether_head head;
    aether_plan plan;
    aether_status status;
    golden_input in[2];
    golden_sink sink;
    float *kv[2];
    void *workspace;
    size_t bytes, tokens, count, i;
    uint64_t row;
    if (!golden_config(&run->c, 1, &config) || !golden_input_at(&run->c, 0, &in[0]) ||
        !golden_input_at(&run->c, 1, &in[1]) || aether_head_init(&head, &config, run->kernels, NULL) != AETHER_OK) {
        return;
    }
    tokens = run->c.params[GOLDEN_CONFIG_WORDS];
    if (aether_attention_plan_size(&head, tokens, AETHER_BINARY32, &bytes) != AETHER_OK) {
        return;
    }
    row = (uint64_t)config.kv_heads * config.head_dim;
    for (i = 0; i < 2; i++) {
        if (row > UINT32_MAX || in[i].count != row * tokens) {
            return;
        }
        kv[i] = golden_take(&run->arena, in[i].count, sizeof(float));
    }
    workspace = golden_take(&run->arena, bytes, 1);
    if (!golden_ready(run)) {
        return;
    }
    for (i = 0; i < 2; i++) {
        golden_fill(&in[i], 0, in[i].count, kv[i]);
    }
    golden_sink_open(&sink, &run->c, "plan", 0);
    status = aether_attention_prepare(&plan, &head, kv[0], kv[1], tokens, AETHER_BINARY32, workspace, bytes);
    if (status == AETHER_OK) {
        count = plan.n_blocks * config.kv_heads * config.head_dim;
        golden_put_floats(&sink, plan.mean_k, count);
        golden_put_floats(&sink, plan.mean_v, count);
    }
    golden_close(run, &sink, status, 1);
}

typedef struct query_call {
    const aether_kernels *kernels;
    const aether_query *job;
} query_call;

static void attend_query_direct(const void *p) {
    const query_call *call = p;
    call->kernels->attend_query(call->job);
}

/* Rows lie in reverse order in memory, each but the last after a gap of one element, so that nothing can lean on their place. */
static void run_attend_query(golden_run *run) {
    const uint32_t *p = run->c.params;
    golden_input q, in[2];
    aether_query job;
    query_call call;
    golden_sink sink;
    float *qs, *row;
    const void **pointers[2];
    unsigned char *rows[2];
    size_t n, dim, pitch, i, a;
    if (run->c.n_params != 6 || !golden_input_at(&run->c, 0, &q) || !golden_input_at(&run->c, 1, &in[0]) ||
        !golden_input_at(&run->c, 2, &in[1])) {
        return;
    }
    if (p[0] == 0 || p[1] > p[0] || p[2] > 1 || (uint64_t)p[3] * p[4] > q.count) {
        return;
    }
    n = p[0];
    dim = p[4];
    pitch = (dim + 1) * sizeof(float);
    qs = golden_take(&run->arena, q.count, sizeof(float));
    row = golden_take(&run->arena, dim, sizeof(float));
    for (a = 0; a < 2; a++) {
        pointers[a] = golden_take(&run->arena, n, sizeof(void *));
        rows[a] = golden_take(&run->arena, n, pitch);
    }
    job.scores = golden_take(&run->arena, aether_query_floats(n, p[3], dim), sizeof(float));
    job.out = golden_take(&run->arena, (size_t)p[3] * dim, sizeof(float));
    if (!golden_ready(run)) {
        return;
    }
    golden_fill(&q, 0, q.count, qs);
    for (a = 0; a < 2; a++) {
        for (i = 0; i < n; i++) {
            unsigned char *to = rows[a] + (n - 1 - i) * pitch;
            golden_fill(&in[a], i * dim, dim, row);
            if (p[2] != 0 && i < p[1]) {
                size_t d;
                for (d = 0; d < dim; d++) {
                    (void)aether_narrow(row[d], (uint16_t *)(void *)(to + 2 * d));
                }
            } else {
                memcpy(to, row, dim * sizeof(float));
            }
            pointers[a][i] = to;
        }
    }
    job.q = qs;
    job.keys = pointers[0];
    job.values = pointers[1];
    job.n = n;
    job.n_stored = p[1];
    job.stored = (aether_dtype)p[2];
    job.sizes = NULL;
    job.group = p[3];
    job.dim = dim;
    job.scale = float_of(p[5]);
    call.kernels = run->kernels;
    call.job = &job;
    call_standard(attend_query_direct, &call);
    golden_sink_open(&sink, &run->c, "kernel", 0);
    golden_put_floats(&sink, job.out, (size_t)p[3] * dim);
    golden_close(run, &sink, AETHER_OK, 1);
}

static void run_amplitude(golden_run *run) {
    const uint32_t *p = run->c.params;
    golden_input iq, subcarriers;
    golden_sink sink;
    aether_status status;
    int8_t *bytes;
    uint16_t *selected;
    float *out;
    if (run->c.n_params != 3 || !golden_input_at(&run->c, 0, &iq) || (p[2] && !golden_input_at(&run->c, 1, &subcarriers)) ||
        p[0] > 2 * (size_t)iq.count || (p[2] && p[1] > 2 * (size_t)subcarriers.count)) {
        return;
    }
    bytes = golden_take(&run->arena, iq.count, sizeof(uint32_t));
    selected = golden_take(&run->arena, p[2] ? subcarriers.count : 1, sizeof(uint32_t));
    out = golden_take(&run->arena, p[1], sizeof(float));
    if (!golden_ready(run)) {
        return;
    }
    golden_fill(&iq, 0, iq.count, bytes);
    if (p[2]) {
        golden_fill(&subcarriers, 0, subcarriers.count, selected);
    }
    golden_sink_open(&sink, &run->c, "function", 0);
    status = aether_csi_amplitude(bytes, p[0], p[2] ? selected : NULL, p[1], out);
    if (status == AETHER_OK) {
        golden_put_floats(&sink, out, p[1]);
    }
    golden_close(run, &sink, status, 1);
}

/* Those that need no memory but the stack. */
static void run_words(golden_run *run, const golden_input *in) {
    if (!golden_ready(run)) {
        return;
    }
    if (run->c.kernel == GOLDEN_NARROW) {
        run_narrow(run, in);
        if (run->c.status != AETHER_OK) {
            run_narrow_positions(run, in);
        }
        return;
    }
    run_map(run, in);
    if (run->c.kernel == GOLDEN_WIDEN) {
        run_widen_kernel(run, in);
    }
}

void golden_run_numeric(golden_run *run) {
    golden_input in;
    switch (run->c.kernel) {
    case GOLDEN_EXP:
    case GOLDEN_SQRT:
    case GOLDEN_WIDEN:
    case GOLDEN_NARROW:
        if (golden_input_at(&run->c, 0, &in)) {
            run_words(run, &in);
        }
        break;
    case GOLDEN_CRC32:
        if (golden_input_at(&run->c, 0, &in)) {
            run_crc(run, &in);
        }
        break;
    case GOLDEN_LINEAR:
        run_linear(run);
        break;
    case GOLDEN_SCALE:
        if (golden_ready(run)) {
            run_scale(run);
        }
        break;
    case GOLDEN_PATTERN:
        run_pattern(run);
        break;
    case GOLDEN_BLOCK_MEAN:
        run_block_mean(run);
        break;
    case GOLDEN_ATTEND_QUERY:
        run_attend_query(run);
        break;
    case GOLDEN_AMPLITUDE:
        run_amplitude(run);
        break;
    default:
        break;
    }
}
