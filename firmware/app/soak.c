#include "soak.h"

#include <string.h>

#include "aether/crc32.h"

#define TOGETHER 32u /* frames that two streams take side by side after a comparison begins */
#define LENGTH_AT 24u
#define LAST_LENGTH (((uint64_t)1 << 62) - 1)

static uint64_t common_multiple(uint64_t a, uint64_t b) {
    uint64_t x = a, y = b, rest;
    while (y != 0) {
        rest = x % y;
        x = y;
        y = rest;
    }
    return b == 0 ? a : a / x * b;
}

static void fill(const soak *s, uint64_t t) {
    const size_t n = s->stream.model->header.input_dim;
    uint64_t x = (t * 0x9E3779B97F4A7C15u) ^ ((uint64_t)s->seed << 32);
    size_t i;
    for (i = 0; i < n; i++) {
        x ^= x >> 29;
        x = x * 0xBF58476D1CE4E5B9u + 0x94D049BB133111EBu;
        s->frame[i] = (float)(x >> 40) * (1.0f / 16777216.0f) + 0.5f; /* 0.5 to 1.5: amplitudes */
    }
}

static uint64_t effective_history(const aether_config *config, uint64_t context) {
    const uint64_t limited = config->history != 0 && config->history < context ? config->history : context;
    return config->pattern == AETHER_PYRAMID && limited <= config->window ? config->window + 1 : limited;
}

static void measure(soak *s) {
    const aether_model *m = s->stream.model;
    const aether_config *config = &m->head.config;
    const aether_cache_layout *at = &s->stream.cache.at;
    const uint64_t history = effective_history(config, s->stream.context);
    unsigned level;
    s->reach = m->stem_taps + m->header.n_layers * (history + config->block_size + m->taps) + m->pool_frames + 1;
    s->period = config->block_size;
    while (config->pattern == AETHER_PYRAMID && s->period < history + config->block_size + config->window) {
        s->period *= 2;
    }
    s->turn = common_multiple(common_multiple(s->period, at->n_rows), m->pool_kind == 1 ? m->pool_frames : 1);
    s->turn = common_multiple(common_multiple(s->turn, m->taps), m->stem_taps);
    for (level = 0; level < at->levels; level++) {
        s->turn = common_multiple(s->turn, (uint64_t)at->level_rows[level + 1] - at->level_rows[level]);
    }
    if (at->levels == 0) {
        s->turn = common_multiple(s->turn, at->n_blocks * config->block_size);
    }
}

/* Bytes of one stream, of its saved state and of a frame, each a multiple of 8. */
static aether_status parts(const aether_model *model, uint64_t context, aether_dtype dtype, size_t *of_stream, size_t *of_frame) {
    aether_status status = aether_stream_size(model, context, dtype, of_stream);
    if (status == AETHER_OK && model->head.config.n_globals > 0) {
        status = AETHER_E_CONFIG;
    }
    if (status == AETHER_OK) {
        *of_stream = (*of_stream + 7) / 8 * 8;
        *of_frame = ((size_t)model->header.input_dim * sizeof(float) + 7) / 8 * 8;
    }
    return status;
}

/* A saved state is never longer than the stream's memory and its own header. */
#define HEADER 64u

aether_status soak_size(const aether_model *model, uint64_t context, aether_dtype dtype, size_t *bytes) {
    size_t of_stream = 0, of_frame = 0;
    const aether_status status = parts(model, context, dtype, &of_stream, &of_frame);
    if (status == AETHER_OK) {
        *bytes = 3 * of_stream + HEADER + of_frame;
    }
    return status;
}

aether_status soak_begin(soak *s, const aether_model *model, uint64_t context, aether_dtype dtype, uint32_t seed, void *memory,
                         size_t bytes) {
    unsigned char *place = memory;
    size_t of_stream = 0, of_frame = 0;
    aether_status status = parts(model, context, dtype, &of_stream, &of_frame);
    if (status == AETHER_OK && bytes < 3 * of_stream + HEADER + of_frame) {
        status = AETHER_E_MEMORY;
    }
    if (status == AETHER_OK) {
        memset(s, 0, sizeof *s);
        status = aether_stream_init(&s->stream, model, context, dtype, place, of_stream);
    }
    if (status == AETHER_OK) {
        status = aether_stream_init(&s->other, model, context, dtype, place + of_stream, of_stream);
    }
    if (status == AETHER_OK) {
        s->frame = (float *)(void *)(place + 2 * of_stream);
        s->saved = place + 2 * of_stream + of_frame;
        s->saved_bytes = of_stream + HEADER;
        s->seed = seed;
        measure(s);
    }
    return status;
}

int soak_push(soak *s, uint64_t frames) {
    for (; frames > 0; frames--) {
        fill(s, s->stream.length);
        if (aether_stream_push(&s->stream, s->frame) != AETHER_OK) {
            return 0;
        }
    }
    return 1;
}

static int same(const soak *s) {
    const aether_model *m = s->stream.model;
    const float *one = aether_stream_logits(&s->stream), *two = aether_stream_logits(&s->other);
    const float *first = aether_stream_embedding(&s->stream), *second = aether_stream_embedding(&s->other);
    return memcmp(one, two, m->header.n_classes * sizeof *one) == 0 &&
           (m->embed_dim == 0 || memcmp(first, second, m->embed_dim * sizeof *first) == 0);
}

/* Both streams take the same next frames. */
static int together(soak *s, size_t frames) {
    for (; frames > 0; frames--) {
        if (!soak_push(s, 1) || aether_stream_push(&s->other, s->frame) != AETHER_OK || !same(s)) {
            return 0;
        }
        s->compared++;
    }
    return 1;
}

int soak_forgets(soak *s) {
    const uint64_t length = s->stream.length;
    uint64_t t = length > s->reach ? (length - s->reach) / s->period * s->period : 0;
    aether_stream_reset(&s->other);
    for (; t < length; t++) {
        fill(s, t);
        if (aether_stream_push(&s->other, s->frame) != AETHER_OK) {
            return 0;
        }
    }
    if (length > 0 && !same(s)) {
        return 0;
    }
    s->compared += length > 0;
    return together(s, TOGETHER);
}

static int copy_state(soak *s, uint64_t more) {
    const size_t size = aether_stream_saved_size(&s->stream);
    uint64_t length = s->stream.length + more;
    uint32_t crc;
    size_t i;
    if (size > s->saved_bytes || aether_stream_save(&s->stream, s->saved, size) != AETHER_OK) {
        return 0;
    }
    for (i = 0; i < 8; i++, length >>= 8) {
        s->saved[LENGTH_AT + i] = (unsigned char)length;
    }
    crc = aether_crc32(0, s->saved, size - 4);
    for (i = 0; i < 4; i++, crc >>= 8) {
        s->saved[size - 4 + i] = (unsigned char)crc;
    }
    aether_stream_reset(&s->other);
    return aether_stream_load(&s->other, s->saved, size, NULL) == AETHER_OK;
}

int soak_restores(soak *s) {
    return copy_state(s, 0) && together(s, TOGETHER);
}

int soak_ages(soak *s, uint64_t end) {
    const uint64_t close = end - TOGETHER; /* where the moved stream is to be */
    const int last = end > LAST_LENGTH;
    const uint64_t wait = (s->turn + close % s->turn - s->stream.length % s->turn) % s->turn;
    if (!soak_push(s, wait) || s->stream.length > close || !copy_state(s, close - s->stream.length) || s->other.length != close) {
        return 0;
    }
    if (!last) {
        return together(s, 2 * TOGETHER);
    }
    return together(s, TOGETHER - 1) && s->other.length == LAST_LENGTH && aether_stream_push(&s->other, s->frame) == AETHER_E_CACHE_FULL &&
           s->other.length == LAST_LENGTH && same(s);
}
