#include "case.h"

#include "../src/bits.h"

#define CASE_WORDS 20u
#define NAME_WORDS 12u
#define INPUT_WORDS 5u

uint32_t golden_crc_word(uint32_t crc, uint32_t word) {
    int bit;
    crc ^= word;
    for (bit = 0; bit < 32; bit++) {
        crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
    }
    return crc;
}

static uint32_t mix(uint32_t h) {
    h ^= h >> 16;
    h *= 0x85EBCA6Bu;
    h ^= h >> 13;
    h *= 0xC2B2AE35u;
    return h ^ h >> 16;
}

/* n * 2^(exponent-23) as binary32 bits, |n| <= 2^23: exact, and by integers alone. */
static uint32_t scaled(int32_t n, int32_t exponent) {
    const uint32_t sign = n < 0 ? 0x80000000u : 0u;
    uint32_t magnitude = n < 0 ? 0u - (uint32_t)n : (uint32_t)n;
    int32_t biased = exponent + 127;
    if (magnitude == 0) {
        return 0;
    }
    while ((magnitude & 0x800000u) == 0 && biased > 1) {
        magnitude <<= 1;
        biased--;
    }
    if ((magnitude & 0x800000u) == 0) {
        return sign | magnitude; /* subnormal */
    }
    return sign | (uint32_t)biased << 23 | (magnitude & 0x7FFFFFu);
}

uint32_t golden_word(const golden_input *input, uint32_t index) {
    uint32_t h;
    if (index >= input->count) {
        return 0;
    }
    if (input->words != NULL) {
        return input->words[index];
    }
    if (input->rule == 3) {
        return input->seed + index * (uint32_t)input->a;
    }
    h = mix(input->seed + index * 0x9E3779B9u);
    if (input->rule == 1) {
        return scaled((int32_t)(h >> 8) - 0x800000, input->a);
    }
    return (h & 0x807FFFFFu) |
           ((uint32_t)input->a + mix(h ^ 0x5BD1E995u) % (uint32_t)(input->b - input->a + 1)) << 23;
}

void golden_fill(const golden_input *input, size_t first, size_t count, void *out) {
    unsigned char *to = out;
    size_t i;
    for (i = 0; i < count; i++) {
        const uint32_t word = golden_word(input, (uint32_t)(first + i));
        memcpy(to + i * sizeof word, &word, sizeof word);
    }
}

int golden_input_at(const golden_case *c, uint32_t index, golden_input *input) {
    const uint32_t *at = c->inputs;
    uint32_t i;
    for (i = 0; i < c->n_inputs; i++) {
        input->rule = at[0];
        input->count = at[1];
        input->seed = at[2];
        input->a = (int32_t)at[3];
        input->b = (int32_t)at[4];
        input->words = at[0] == 0 ? at + INPUT_WORDS : NULL;
        if (i == index) {
            return 1;
        }
        at += INPUT_WORDS + (at[0] == 0 ? at[1] : 0);
    }
    return 0;
}

int golden_case_read(const uint32_t *file, size_t word, size_t end, golden_case *c, size_t *next) {
    const uint32_t *at = file + word;
    size_t words, used, stored;
    uint32_t i;
    if (end - word < CASE_WORDS || at[0] % 4 != 0) {
        return 0;
    }
    words = at[0] / 4;
    if (words < CASE_WORDS || words > end - word) {
        return 0;
    }
    c->kernel = at[1];
    c->status = at[2];
    c->n_params = at[3];
    c->n_inputs = at[4];
    c->n_out = at[5];
    c->stride = at[6];
    c->crc = at[7];
    c->name = (const char *)(const void *)(at + 8);
    if (c->name[4 * NAME_WORDS - 1] != 0 || c->stride == 0 || c->n_params > words - CASE_WORDS) {
        return 0;
    }
    c->params = at + CASE_WORDS;
    c->inputs = c->params + c->n_params;
    used = CASE_WORDS + c->n_params;
    for (i = 0; i < c->n_inputs; i++) {
        const uint32_t *input = at + used;
        if (words - used < INPUT_WORDS || input[0] > 3 || (input[0] == 2 && (int32_t)input[4] < (int32_t)input[3])) {
            return 0;
        }
        used += INPUT_WORDS;
        if (input[0] == 0) {
            if (input[1] > words - used) {
                return 0;
            }
            used += input[1];
        }
    }
    stored = c->n_out / c->stride + (c->n_out % c->stride != 0);
    if (stored != words - used) {
        return 0;
    }
    c->stored = at + used;
    *next = word + words;
    return 1;
}

void *golden_take(golden_arena *arena, size_t count, size_t size) {
    const size_t free = arena->base != NULL ? arena->size - arena->used : SIZE_MAX - 8 - arena->used;
    size_t bytes;
    if (arena->failed || (size != 0 && count > (SIZE_MAX - 8) / size)) {
        arena->failed = 1;
        return NULL;
    }
    bytes = (count * size + 7) & ~(size_t)7;
    if (bytes > free) {
        arena->failed = 1;
        return NULL;
    }
    arena->used += bytes;
    if (arena->used > arena->peak) {
        arena->peak = arena->used;
    }
    return arena->base != NULL ? arena->base + arena->used - bytes : NULL;
}

void golden_sink_open(golden_sink *sink, const golden_case *c, const char *path, size_t start) {
    memset(sink, 0, sizeof *sink);
    sink->c = c;
    sink->index = sink->start = start;
    sink->running = 0xFFFFFFFFu;
    sink->result.name = c->name;
    sink->result.path = path;
    sink->result.expected_status = (aether_status)c->status;
}

static void mismatch(golden_sink *sink, size_t first, uint32_t expected, uint32_t got) {
    if (sink->result.mismatches++ == 0) {
        sink->result.first = first;
        sink->result.expected = expected;
        sink->result.got = got;
    }
}

void golden_put(golden_sink *sink, uint32_t word) {
    const golden_case *c = sink->c;
    const size_t i = sink->index++;
    sink->running = golden_crc_word(sink->running, word);
    if (i >= c->n_out) {
        mismatch(sink, i, 0, word);
    } else if (i % c->stride == 0) {
        sink->result.compared++;
        if (c->stored[i / c->stride] != word) {
            mismatch(sink, i, c->stored[i / c->stride], word);
        }
    }
}

void golden_put_bytes(golden_sink *sink, const void *bytes, size_t count) {
    const unsigned char *from = bytes;
    size_t i;
    for (i = 0; i < count; i += 4) {
        uint32_t word;
        memcpy(&word, from + i, sizeof word);
        golden_put(sink, word);
    }
}

void golden_put_floats(golden_sink *sink, const float *x, size_t count) {
    golden_put_bytes(sink, x, count * sizeof(float));
}

void golden_close(golden_run *run, golden_sink *sink, aether_status status, int whole) {
    aether_golden_result *result = &sink->result;
    const uint32_t crc = ~sink->running;
    result->status = status;
    if (whole && result->mismatches == 0) {
        if (sink->index != sink->c->n_out) {
            mismatch(sink, sink->index, sink->c->n_out, (uint32_t)sink->index);
        } else if (sink->start == 0 && crc != sink->c->crc) {
            mismatch(sink, SIZE_MAX, sink->c->crc, crc);
        }
    }
    result->passed = status == result->expected_status && result->mismatches == 0;
    run->totals.checks++;
    run->totals.failed += !result->passed;
    run->totals.compared += result->compared;
    if (run->report != NULL) {
        run->report(run->user, result);
    }
}

int golden_config(const golden_case *c, uint32_t further, aether_config *config) {
    const uint32_t *p = c->params;
    if (c->n_params < GOLDEN_CONFIG_WORDS || c->n_params - GOLDEN_CONFIG_WORDS < further ||
        c->n_params - GOLDEN_CONFIG_WORDS - further < p[13]) {
        return 0;
    }
    config->backend = p[0] == GOLDEN_PYRAMID ? AETHER_SPARSE : (aether_backend)p[0];
    config->pattern = p[0] == GOLDEN_PYRAMID ? AETHER_PYRAMID : AETHER_REFERENCE;
    config->q_heads = p[1];
    config->kv_heads = p[2];
    config->head_dim = p[3];
    config->window = p[4] | (uint64_t)p[5] << 32;
    config->block_size = p[6] | (uint64_t)p[7] << 32;
    config->history = p[8] | (uint64_t)p[9] << 32;
    config->causal = (uint8_t)p[10];
    config->use_log_stride = (uint8_t)p[11];
    config->use_landmarks = (uint8_t)p[12];
    config->n_globals = p[13];
    config->globals = p + c->n_params - p[13];
    return 1;
}
