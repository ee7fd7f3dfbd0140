/* A small blob with every section of the format, made by hand: for the programs of test_core_in_c.py. */
#ifndef AETHER_TEST_DRAFT_BLOB_H
#define AETHER_TEST_DRAFT_BLOB_H

#include <string.h>

#include "aether/aether.h"

#include "expect.h"

enum { FEATURES = 2, WIDTH = 3, Q = 2, KV = 1, CLASSES = 3, HIDDEN = 2, EMBED = 2, TAPS = 2, FRAMES = 5 };

/* A blob in parts: what each section holds, and whether it is there. Section 0 is the core arrays. */
typedef struct draft {
    int binary16;
    unsigned char payload[AETHER_SECTION_COUNT][160];
    uint32_t bytes[AETHER_SECTION_COUNT];
    int left_out[AETHER_SECTION_COUNT];
} draft;

static uint32_t aligned[1024];
static unsigned char *const blob = (unsigned char *)aligned;
static size_t length, at[AETHER_SECTION_COUNT], footer; /* of the blob; of each section's header in it; of its footer */

static void put(unsigned char *to, uint32_t value, size_t bytes) {
    size_t i;
    for (i = 0; i < bytes; i++) {
        to[i] = (unsigned char)(value >> (8 * i));
    }
}

static void word(draft *d, unsigned section, uint32_t value) {
    put(d->payload[section] + d->bytes[section], value, 4);
    d->bytes[section] += 4;
}

static void number(draft *d, unsigned section, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    word(d, section, bits);
}

/* Values from -0.5 to 0.5. */
static void vector(draft *d, unsigned section, unsigned count) {
    unsigned i;
    for (i = 0; i < count; i++) {
        number(d, section, (float)((i * 37 + count) % 64) / 64.0f - 0.5f);
    }
}

static void matrix(draft *d, unsigned section, unsigned count) {
    unsigned i;
    if (!d->binary16) {
        vector(d, section, count);
        return;
    }
    for (i = 0; i < count; i++) {
        uint16_t half = 0;
        EXPECT(aether_narrow((float)((i * 37 + count) % 64) / 64.0f - 0.5f, &half) == AETHER_OK);
        put(d->payload[section] + d->bytes[section], half, 2);
        d->bytes[section] += 2;
    }
}

static void text(draft *d, unsigned section, const char *bytes, size_t count) {
    memcpy(d->payload[section], bytes, count);
    d->bytes[section] = (uint32_t)count;
}

/* Every section of the format, each as it should be. */
static draft whole(int binary16) {
    draft d;
    unsigned i;
    memset(&d, 0, sizeof d);
    d.binary16 = binary16;
    matrix(&d, AETHER_SECTION_CORE, WIDTH * (2 * Q + 2 * KV) + WIDTH * CLASSES);
    word(&d, AETHER_SECTION_PATTERN, 4), word(&d, AETHER_SECTION_PATTERN, 2), word(&d, AETHER_SECTION_PATTERN, 9);
    word(&d, AETHER_SECTION_PATTERN, 3), word(&d, AETHER_SECTION_PATTERN, 2);
    word(&d, AETHER_SECTION_PATTERN, 0), word(&d, AETHER_SECTION_PATTERN, 3);
    word(&d, AETHER_SECTION_SUBCARRIERS, 5), word(&d, AETHER_SECTION_SUBCARRIERS, 4 | 1 << 16);
    word(&d, AETHER_SECTION_AGC, 1);
    vector(&d, AETHER_SECTION_NORMALISATION, FEATURES), number(&d, AETHER_SECTION_NORMALISATION, 1.0f);
    number(&d, AETHER_SECTION_NORMALISATION, 0.5f);
    vector(&d, AETHER_SECTION_PROJECTION, WIDTH), matrix(&d, AETHER_SECTION_PROJECTION, FEATURES * WIDTH);
    number(&d, AETHER_SECTION_NORM, 1e-5f);
    for (i = 0; i < 2 * WIDTH; i++) {
        number(&d, AETHER_SECTION_NORM, 1.0f);
    }
    word(&d, AETHER_SECTION_CONVOLUTION, TAPS), vector(&d, AETHER_SECTION_CONVOLUTION, WIDTH * (1 + TAPS));
    vector(&d, AETHER_SECTION_BIAS, Q + 2 * KV + WIDTH + CLASSES);
    word(&d, AETHER_SECTION_FEED_FORWARD, HIDDEN), vector(&d, AETHER_SECTION_FEED_FORWARD, 2 * WIDTH + HIDDEN);
    matrix(&d, AETHER_SECTION_FEED_FORWARD, 2 * WIDTH * HIDDEN);
    word(&d, AETHER_SECTION_POOLING, 1), word(&d, AETHER_SECTION_POOLING, 3);
    word(&d, AETHER_SECTION_EMBEDDING, EMBED), vector(&d, AETHER_SECTION_EMBEDDING, EMBED);
    matrix(&d, AETHER_SECTION_EMBEDDING, WIDTH * EMBED);
    text(&d, AETHER_SECTION_CLASS_NAMES, "a\0\xC3\xA9\0\0", 6);
    number(&d, AETHER_SECTION_FRAME_RATE, 50.0f);
    text(&d, AETHER_SECTION_PROVENANCE, "by a test", 9);
    word(&d, AETHER_SECTION_STEM, TAPS), word(&d, AETHER_SECTION_STEM, 1);
    vector(&d, AETHER_SECTION_STEM, WIDTH * (1 + TAPS));
    word(&d, AETHER_SECTION_TIMING, 25), word(&d, AETHER_SECTION_TIMING, 20000), word(&d, AETHER_SECTION_TIMING, 1000000);
    word(&d, AETHER_SECTION_SUBCARRIER_NUMBERS, 0xFFE4u | 5u << 16); /* -28, 5 */
    put(d.payload[AETHER_SECTION_SUBCARRIER_NUMBERS] + 4, AETHER_BAND_HTLTF | AETHER_BAND_ANY << 8, 2);
    d.bytes[AETHER_SECTION_SUBCARRIER_NUMBERS] += 2;
    number(&d, AETHER_SECTION_CALIBRATION, 1.5f);
    d.left_out[AETHER_SECTION_INTEGERS] = 1; /* of models in integers alone */
    return d;
}

static void seal(void) {
    put(blob + 20, (uint32_t)(length - 28), 4);
    put(blob + length - 4, aether_crc32(0, blob, length - 4), 4);
}

static void encode(const draft *d) {
    static const uint16_t header[6] = {FEATURES, 2, 1, 1, 1, CLASSES};
    unsigned s;
    memset(aligned, 0, sizeof aligned);
    put(blob, AETHER_RVNE_MAGIC, 4);
    put(blob + 4, AETHER_RVNE_VERSION, 2);
    blob[6] = (unsigned char)(AETHER_RVNE_FLAG_EXTENSION | (d->binary16 ? AETHER_RVNE_FLAG_BINARY16 : 0u));
    memcpy(blob + 8, header, sizeof header);
    memcpy(blob + 24, d->payload[0], d->bytes[0]);
    length = (24 + d->bytes[0] + 3) & ~(size_t)3;
    for (s = 1; s < AETHER_SECTION_COUNT; s++) {
        if (!d->left_out[s]) {
            at[s] = length;
            put(blob + length, s, 2);
            put(blob + length + 4, d->bytes[s], 4);
            memcpy(blob + length + 8, d->payload[s], d->bytes[s]);
            length = (length + 8 + d->bytes[s] + 3) & ~(size_t)3;
        }
    }
    footer = length;
    put(blob + footer, (uint32_t)(footer + 12 - 24 - d->bytes[0]), 4);
    put(blob + footer + 4, WIDTH, 2);
    put(blob + footer + 6, 1, 2);
    put(blob + footer + 8, 0x31545845u, 4);
    length = footer + 16;
    seal();
}

#endif
