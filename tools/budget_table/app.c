/* Runs the models of the image frame by frame, each call between two marks at which count.c looks, and says what it used.
   Lines "KEY VALUE", the value in hexadecimal; run.py knows their order. */
#include "aether/aether.h"
#include "platform.h"

#if defined(BUDGET_SELF_TEST)
#include "golden.h"
#include "self_test_vectors.h"
#endif

#define PAINT 0xA5A5A5A5u
#define ARENA_BYTES 98304u /* bytes for one stream, or the self-test */
#define NOINLINE __attribute__((noinline))

/* One way to run one model, from a saved state on. The table ends with a NULL blob. */
typedef struct budget_case {
    const uint32_t *blob, *saved;
    uint32_t bytes, saved_bytes, context, dtype, pushes;
} budget_case;
extern const budget_case budget_cases[];

extern uint32_t aether_stack_low[];
static uint64_t arena[ARENA_BYTES / 8];

NOINLINE void budget_begin(void) {
    __asm__ volatile("" ::: "memory");
}

NOINLINE void budget_end(void) {
    __asm__ volatile("" ::: "memory");
}

static void say(const char *key, uint32_t value) {
    char line[64];
    size_t n = 0;
    int shift;
    while (*key != 0) {
        line[n++] = *key++;
    }
    line[n++] = ' ';
    for (shift = 28; shift >= 0; shift -= 4) {
        line[n++] = "0123456789ABCDEF"[value >> shift & 15u];
    }
    line[n++] = '\n';
    platform_write(line, n);
}

/* Paints the stack below the caller; what is not paint afterwards was used by what the caller called. */
static NOINLINE void stack_clear(void) {
    volatile uint32_t *const end = (volatile uint32_t *)__builtin_frame_address(0) - 32;
    volatile uint32_t *word;
    for (word = aether_stack_low; word < end; word++) {
        *word = PAINT;
    }
}

/* Bytes between `top`, an address in the caller's frame, and the deepest word that was used. */
static NOINLINE uint32_t stack_depth(uintptr_t top) {
    const volatile uint32_t *word = aether_stack_low;
    while (*word == PAINT) {
        word++;
    }
    return (uint32_t)(top - (uintptr_t)word);
}

static uint32_t top_of_stack(void) {
    return (uint32_t)(uintptr_t)__builtin_frame_address(0);
}

/* Values in [-1, 1), exact; the same sequence on the computer. */
static void next_frame(uint32_t *state, float *frame, size_t n) {
    size_t i;
    for (i = 0; i < n; i++) {
        *state = *state * 1664525u + 1013904223u;
        frame[i] = (float)((int32_t)(*state >> 8) - 0x800000) * (1.0f / 8388608.0f);
    }
}

static NOINLINE aether_status run_open(const budget_case *c, aether_model *model) {
    aether_status status;
    stack_clear();
    budget_begin();
    status = aether_model_open(model, c->blob, c->bytes, NULL, NULL);
    budget_end();
    say("stack", stack_depth(top_of_stack()));
    return status;
}

static NOINLINE aether_status run_init(const budget_case *c, const aether_model *model, aether_stream *stream) {
    const aether_dtype dtype = (aether_dtype)c->dtype;
    aether_memory memory = {0, 0, 0, 0, 0};
    size_t bytes = 0, i;
    aether_status status = aether_stream_size(model, c->context, dtype, &bytes);
    if (status == AETHER_OK) {
        status = aether_model_memory(model, c->context, dtype, &memory);
    }
    if (status != AETHER_OK || bytes > sizeof arena) {
        return status != AETHER_OK ? status : AETHER_E_MEMORY;
    }
    if (aether_stream_init(stream, model, c->context, dtype, arena, bytes - 1) != AETHER_E_MEMORY) {
        return AETHER_E_STATE; /* one byte less must not be enough */
    }
    for (i = 0; i < sizeof arena / 8; i++) {
        arena[i] = PAINT;
    }
    say("flash", (uint32_t)memory.flash);
    say("ram", (uint32_t)bytes);
    say("state", (uint32_t)memory.state);
    budget_begin();
    status = aether_stream_init(stream, model, c->context, dtype, arena, bytes);
    budget_end();
    return status;
}

static NOINLINE aether_status run_push(aether_stream *stream, const float *frame) {
    aether_status status;
    budget_begin();
    status = aether_stream_push(stream, frame);
    budget_end();
    return status;
}

static NOINLINE const float *read_logits(const aether_stream *stream) {
    const float *logits;
    budget_begin();
    logits = aether_stream_logits(stream);
    budget_end();
    return logits;
}

/* Bytes at the front of the arena that were written. */
static uint32_t arena_used(void) {
    size_t i = sizeof arena / 8;
    while (i > 0 && arena[i - 1] == PAINT) {
        i--;
    }
    return (uint32_t)(i * 8);
}

static aether_status run_case(const budget_case *c) {
    static float frame[64];
    aether_model model;
    aether_stream stream;
    uint32_t state = 1, crc = 0, i;
    aether_status status = run_open(c, &model);
    if (status == AETHER_OK) {
        status = model.header.input_dim <= 64 ? run_init(c, &model, &stream) : AETHER_E_SHAPE;
    }
#if defined(BUDGET_SELF_TEST) /* the other images are for the size of a head, which does without */
    if (status == AETHER_OK) {
        status = aether_stream_load(&stream, c->saved, c->saved_bytes, NULL);
    }
#endif
    stack_clear();
    for (i = 0; i < c->pushes && status == AETHER_OK; i++) {
        next_frame(&state, frame, model.header.input_dim);
        status = run_push(&stream, frame);
        if (status == AETHER_OK) {
            crc = aether_crc32(crc, aether_stream_logits(&stream), model.header.n_classes * sizeof(float));
        }
    }
    if (status == AETHER_OK) {
        say("stack", stack_depth(top_of_stack()));
        (void)read_logits(&stream);
        say("used", arena_used());
        say("crc", crc);
    }
    return status;
}

#if defined(BUDGET_SELF_TEST)
static NOINLINE aether_status run_self_test(void) {
    aether_golden_totals totals = {0, 0, 0, 0};
    size_t need = 0;
    aether_status status = aether_golden_scratch(ruv_self_test_vectors, ruv_self_test_bytes, NULL, &need);
    if (status != AETHER_OK) {
        return status;
    }
    say("scratch", (uint32_t)need);
    stack_clear();
    budget_begin();
    status = aether_golden_run(ruv_self_test_vectors, ruv_self_test_bytes, NULL, arena, sizeof arena, NULL, NULL, &totals);
    budget_end();
    say("stack", stack_depth(top_of_stack()));
    say("cases", (uint32_t)totals.cases);
    say("failed", (uint32_t)totals.failed);
    return status;
}
#endif

int firmware_main(void) {
    const budget_case *c;
    aether_status status = AETHER_OK;
    budget_begin(); /* the marks themselves */
    budget_end();
    for (c = budget_cases; c->blob != NULL && status == AETHER_OK; c++) {
        status = run_case(c);
    }
#if defined(BUDGET_SELF_TEST)
    if (status == AETHER_OK) {
        status = run_self_test();
    }
#endif
    say("status", (uint32_t)status);
    return status != AETHER_OK;
}
