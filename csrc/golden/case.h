/* The pieces every golden case is run with: the case in the file, its inputs, memory, and the comparison. */
#ifndef AETHER_GOLDEN_CASE_H
#define AETHER_GOLDEN_CASE_H

#include "golden.h"

/* What can be asked of the core. */
enum golden_kernel {
    GOLDEN_EXP = 1,
    GOLDEN_SQRT,
    GOLDEN_NARROW,
    GOLDEN_WIDEN,
    GOLDEN_CRC32,
    GOLDEN_LINEAR,
    GOLDEN_SCALE,
    GOLDEN_PATTERN,
    GOLDEN_BLOCK_MEAN,
    GOLDEN_ATTEND_QUERY,
    GOLDEN_ATTENTION,
    GOLDEN_MODEL,
    GOLDEN_BLOB_OPEN,
    GOLDEN_BLOB_WRITE,
    GOLDEN_AMPLITUDE,
    GOLDEN_CACHE_STATE,
    GOLDEN_STREAM_STATE,
    GOLDEN_RESAMPLE
};

typedef struct golden_case {
    uint32_t kernel, status, n_params, n_inputs, n_out, stride, crc;
    const char *name;
    const uint32_t *params;
    const uint32_t *inputs; /* n_inputs descriptors, each followed by its words when explicit */
    const uint32_t *stored; /* every stride-th of n_out words */
} golden_case;

/* Reads the case at `word` of a checked file; 0 when it does not fit into `end` words. *next is where the next one begins. */
int golden_case_read(const uint32_t *file, size_t word, size_t end, golden_case *c, size_t *next);

/* One input: `count` words, any of which can be asked for alone. */
typedef struct golden_input {
    uint32_t rule, count, seed;
    int32_t a, b;
    const uint32_t *words; /* NULL unless explicit */
} golden_input;

int golden_input_at(const golden_case *c, uint32_t index, golden_input *input); /* 0: no such input */
uint32_t golden_word(const golden_input *input, uint32_t index);

/* count words from `first` on, as they are, into out. Past the end of the input: zeros. */
void golden_fill(const golden_input *input, size_t first, size_t count, void *out);

/* Memory in a row, freed by going back. Without a base it only measures. */
typedef struct golden_arena {
    unsigned char *base;
    size_t size, used, peak;
    int failed;
} golden_arena;

/* 8-byte aligned, or NULL while measuring and when there is not enough (failed is then set). */
void *golden_take(golden_arena *arena, size_t count, size_t size);

/* Compares words as they come. */
typedef struct golden_sink {
    const golden_case *c;
    size_t index;    /* of the next word */
    size_t start;    /* words before it were not computed: the CRC says nothing then */
    uint32_t running;
    aether_golden_result result;
} golden_sink;

void golden_sink_open(golden_sink *sink, const golden_case *c, const char *path, size_t start);
void golden_put(golden_sink *sink, uint32_t word);
void golden_put_bytes(golden_sink *sink, const void *bytes, size_t count); /* a multiple of 4 */
void golden_put_floats(golden_sink *sink, const float *x, size_t count);

typedef struct golden_run {
    golden_case c;
    const aether_kernels *kernels;
    golden_arena arena;
    int too_large; /* while measuring: a size that cannot be expressed */
    aether_golden_report report;
    void *user;
    aether_golden_totals totals;
} golden_run;

/* Ends a comparison and reports it. With whole == 0 only the status counts. */
void golden_close(golden_run *run, golden_sink *sink, aether_status status, int whole);

/* While measuring, and when memory is short, a case goes no further than taking its memory. */
static inline int golden_ready(golden_run *run) {
    return run->arena.base != NULL && !run->arena.failed;
}

/* The configuration block at the front of the parameters; the globals are the last of them. 0: the case is too short. */
#define GOLDEN_CONFIG_WORDS 14u
#define GOLDEN_PYRAMID 2u /* in the word of the backend: sparse, with the pyramid pattern */
int golden_config(const golden_case *c, uint32_t further, aether_config *config);

/* One more word of a file's CRC-32: bit by bit and of its own, so that a broken aether_crc32 cannot hide behind itself. */
uint32_t golden_crc_word(uint32_t crc, uint32_t word);

/* Who runs it. */
void golden_run_numeric(golden_run *run);
void golden_run_attention(golden_run *run);
void golden_run_model(golden_run *run);
void golden_run_resample(golden_run *run);

#endif
