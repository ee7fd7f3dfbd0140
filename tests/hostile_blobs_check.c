/* Blobs with one thing wrong each, and models whose weights overflow. Prints what is wrong; ends with its count. */
#include <stdio.h>
#include <string.h>

#include "draft_blob.h"

static uint32_t workspace[1 << 13], memory[1 << 13];
static aether_detail detail;

/* The blob as it now is, its length and CRC correct. When it is rejected the model stays as it was, without a detail as well. */
static aether_status opened(aether_model *model) {
    static aether_model before;
    aether_status status;
    seal();
    memset(model, 0x55, sizeof *model);
    memcpy(&before, model, sizeof before);
    status = aether_model_open(model, blob, length, NULL, NULL);
    EXPECT(status == AETHER_OK || memcmp(&before, model, sizeof before) == 0);
    EXPECT(aether_model_open(model, blob, length, NULL, &detail) == status);
    return status;
}

static int rejected(const char *field) {
    static aether_model model;
    const aether_status status = opened(&model);
    if (status != AETHER_E_BLOB_HEADER || strcmp(detail.field, field) != 0) {
        printf("%s: found %s, %s\n", field, aether_status_name(status), status != AETHER_OK ? detail.field : "nothing");
        return 0;
    }
    return 1;
}

static int rejected_draft(const draft *d, const char *field) {
    encode(d);
    return rejected(field);
}

static int accepted_draft(const draft *d) {
    static aether_model model;
    encode(d);
    return opened(&model) == AETHER_OK;
}

/* A value of `bytes` bytes at a place of a section's payload, then what is rejected (NULL: accepted). */
static void with_value(unsigned section, size_t place, size_t bytes, uint32_t value, const char *field) {
    draft d = whole(0);
    put(d.payload[section] + place, value, bytes);
    if (field == NULL ? !accepted_draft(&d) : !rejected_draft(&d, field)) {
        printf("section %u, place %u, value %lu\n", section, (unsigned)place, (unsigned long)value);
        wrong++;
    }
}

static void check_values(void) {
    static const struct {
        uint16_t section, place;
        uint32_t least, most;
        const char *field;
    } RANGES[] = {
        {AETHER_SECTION_AGC, 0, 0, 1, "agc.kind"},
        {AETHER_SECTION_POOLING, 0, 0, 1, "pooling.kind"},
        {AETHER_SECTION_POOLING, 4, 1, 65535, "pooling.n"},
        {AETHER_SECTION_STEM, 4, 0, 1, "stem.activation"},
        {AETHER_SECTION_TIMING, 0, 0, 65535, "timing.label_delay"},
        {AETHER_SECTION_PATTERN, 4, 1, UINT32_MAX, "pattern.block_size"},
        {AETHER_SECTION_PATTERN, 12, 0, 3, "pattern.switches"},
        {AETHER_SECTION_SUBCARRIERS, 0, 5, 65535, "subcarriers.n_pairs"},
    };
    static const uint32_t NOT_POSITIVE[] = {0, 0x80000000u, 0xBF800000u, 0x7F800000u, 0x7FC00000u};
    size_t i;
    for (i = 0; i < sizeof RANGES / sizeof RANGES[0]; i++) {
        const int newest = RANGES[i].section == AETHER_SECTION_POOLING && RANGES[i].place == 0; /* takes one frame, here 3 */
        with_value(RANGES[i].section, RANGES[i].place, 4, RANGES[i].least, newest ? "pooling.n" : NULL);
        with_value(RANGES[i].section, RANGES[i].place, 4, RANGES[i].most, NULL);
        if (RANGES[i].least == 1) {
            with_value(RANGES[i].section, RANGES[i].place, 4, 0, RANGES[i].field);
        }
        if (RANGES[i].most != UINT32_MAX) {
            with_value(RANGES[i].section, RANGES[i].place, 4, RANGES[i].most + 1, RANGES[i].field);
        }
    }
    for (i = 0; i < sizeof NOT_POSITIVE / sizeof NOT_POSITIVE[0]; i++) {
        with_value(AETHER_SECTION_NORM, 0, 4, NOT_POSITIVE[i], "norm.eps");
        with_value(AETHER_SECTION_FRAME_RATE, 0, 4, NOT_POSITIVE[i], "frame_rate");
        with_value(AETHER_SECTION_CALIBRATION, 0, 4, NOT_POSITIVE[i], "calibration.temperature");
    }
    with_value(AETHER_SECTION_FRAME_RATE, 0, 4, 1, NULL); /* the smallest subnormal is more than 0 */
    with_value(AETHER_SECTION_CONVOLUTION, 0, 4, 0, "convolution.taps");
    with_value(AETHER_SECTION_CONVOLUTION, 0, 4, 65, "convolution.taps");
    with_value(AETHER_SECTION_CONVOLUTION, 0, 4, 64, "convolution"); /* weights of two taps alone */
    with_value(AETHER_SECTION_STEM, 0, 4, 65, "stem.taps");
    with_value(AETHER_SECTION_FEED_FORWARD, 0, 4, 0, "feed_forward.hidden");
    with_value(AETHER_SECTION_FEED_FORWARD, 0, 4, 0x80000000u, "feed_forward.hidden");
    with_value(AETHER_SECTION_FEED_FORWARD, 0, 4, 0x7FFFFFFFu, "feed_forward"); /* products beyond 32 bits */
    with_value(AETHER_SECTION_EMBEDDING, 0, 4, 0, "embedding.dim");
    with_value(AETHER_SECTION_EMBEDDING, 0, 4, 0x7FFFFFFFu, "embedding");
    with_value(AETHER_SECTION_PATTERN, 0, 4, UINT32_MAX, NULL); /* an unlimited window */
    with_value(AETHER_SECTION_PATTERN, 16, 4, 3, "pattern");    /* three globals, two there */
    with_value(AETHER_SECTION_PATTERN, 16, 4, UINT32_MAX, "pattern");
    with_value(AETHER_SECTION_PATTERN, 20, 4, 3, "globals"); /* 3, 3 do not ascend */
    with_value(AETHER_SECTION_SUBCARRIERS, 0, 4, 0, "subcarriers.n_pairs");
    with_value(AETHER_SECTION_SUBCARRIERS, 4, 2, 5, "subcarriers.index");
    with_value(AETHER_SECTION_SUBCARRIERS, 6, 2, 5, "subcarriers.index");
    with_value(AETHER_SECTION_SUBCARRIER_NUMBERS, 0, 2, 511, NULL);
    with_value(AETHER_SECTION_SUBCARRIER_NUMBERS, 0, 2, 512, "subcarrier_numbers.number");
    with_value(AETHER_SECTION_SUBCARRIER_NUMBERS, 0, 2, 0xFE01u, NULL); /* -511 */
    with_value(AETHER_SECTION_SUBCARRIER_NUMBERS, 0, 2, 0xFE00u, "subcarrier_numbers.number");
    with_value(AETHER_SECTION_SUBCARRIER_NUMBERS, 5, 1, AETHER_BAND_COUNT, "subcarrier_numbers.band");
    with_value(AETHER_SECTION_SUBCARRIER_NUMBERS, 0, 2, 5, NULL); /* of another band */
    with_value(AETHER_SECTION_TIMING, 4, 4, 0, "timing.max_gap"); /* a gap without a period */
    with_value(AETHER_SECTION_TIMING, 4, 4, 1000001, "timing.max_gap");
    with_value(AETHER_SECTION_TIMING, 4, 4, 3906, "timing.max_gap"); /* more than 256 periods */
    with_value(AETHER_SECTION_TIMING, 4, 4, 3907, NULL);
    with_value(AETHER_SECTION_TIMING, 4, 4, 16777217, "timing.period");
    with_value(AETHER_SECTION_TIMING, 8, 4, 16777217, "timing.max_gap");
}

static void check_rules(void) {
    draft d = whole(0);
    put(d.payload[AETHER_SECTION_SUBCARRIER_NUMBERS], 5, 2);
    put(d.payload[AETHER_SECTION_SUBCARRIER_NUMBERS] + 4, 0, 1);
    EXPECT(rejected_draft(&d, "subcarrier_numbers")); /* twice the same */
    d = whole(0);
    d.left_out[AETHER_SECTION_NORM] = 1;
    EXPECT(rejected_draft(&d, "feed_forward"));
    d.left_out[AETHER_SECTION_FEED_FORWARD] = 1;
    EXPECT(accepted_draft(&d));
    d.left_out[AETHER_SECTION_PROJECTION] = 1;
    EXPECT(rejected_draft(&d, "width"));
    d = whole(0);
    put(d.payload[AETHER_SECTION_POOLING], 0, 4);
    put(d.payload[AETHER_SECTION_POOLING] + 4, 1, 4);
    EXPECT(accepted_draft(&d));
    d = whole(0);
    put(d.payload[AETHER_SECTION_TIMING] + 4, 0, 4);
    put(d.payload[AETHER_SECTION_TIMING] + 8, 0, 4);
    EXPECT(accepted_draft(&d));
    text(&d, AETHER_SECTION_CLASS_NAMES, "a\0b\0", 4);
    EXPECT(rejected_draft(&d, "class_names"));
    text(&d, AETHER_SECTION_CLASS_NAMES, "a\0b\0c", 5);
    EXPECT(rejected_draft(&d, "class_names"));
    text(&d, AETHER_SECTION_CLASS_NAMES, "a\0b\0c\0d", 7);
    EXPECT(rejected_draft(&d, "class_names"));
    text(&d, AETHER_SECTION_CLASS_NAMES, "a\0\xFF\0c\0", 6);
    EXPECT(rejected_draft(&d, "class_names"));
}

static void check_utf8(void) {
    static const char *const WELL[] = {"", "a", "\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xE1\x80\x80", "\xEC\xBF\xBF", "\xED\x9F\xBF",
                                       "\xEE\x80\x80", "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF3\xBF\xBF\xBF", "\xF4\x8F\xBF\xBF"};
    static const char *const ILL[] = {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2\x7F", "\xC2\xC0", "\xE0\x9F\xBF", "\xE1\x80",
                                      "\xE1\x80\x7F", "\xE1\x80\xC0", "\xE1\xC0\x80", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF", "\xF1\x80\x80",
                                      "\xF1\x80\x80\xC0", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"};
    draft d = whole(0);
    size_t i;
    for (i = 0; i < sizeof WELL / sizeof WELL[0]; i++) {
        text(&d, AETHER_SECTION_PROVENANCE, WELL[i], strlen(WELL[i]));
        EXPECT(accepted_draft(&d));
    }
    for (i = 0; i < sizeof ILL / sizeof ILL[0]; i++) {
        text(&d, AETHER_SECTION_PROVENANCE, ILL[i], strlen(ILL[i]));
        EXPECT(rejected_draft(&d, "provenance"));
    }
}

/* A section cut anywhere, or too long, is rejected; only provenance may have any length. */
static void check_lengths(void) {
    unsigned s;
    for (s = 1; s < AETHER_SECTION_COUNT; s++) {
        draft d = whole(0);
        const uint32_t full = d.bytes[s];
        for (d.bytes[s] = 0; !d.left_out[s] && d.bytes[s] < full + 9; d.bytes[s]++) {
            static aether_model model;
            aether_status status;
            encode(&d);
            status = opened(&model);
            EXPECT(status == (d.bytes[s] == full || s == AETHER_SECTION_PROVENANCE ? AETHER_OK : AETHER_E_BLOB_HEADER));
        }
    }
}

/* What stands around the sections. */
static void check_frame(void) {
    static aether_model model;
    draft d = whole(0);
    const unsigned first = AETHER_SECTION_PATTERN, last = AETHER_SECTION_CALIBRATION;
#define PATCHED(place, value, count, field) (encode(&d), put(blob + (place), value, count), rejected(field))
    EXPECT(accepted_draft(&d));
    EXPECT(PATCHED(at[first], 0, 2, "section.id"));
    EXPECT(PATCHED(at[first], AETHER_SECTION_COUNT, 2, "section.id"));
    EXPECT(PATCHED(at[last], first, 2, "section.id"));
    EXPECT(PATCHED(at[first] + 2, 1, 2, "section.reserved"));
    EXPECT(PATCHED(at[last] + 4, 5, 4, "section.length"));
    EXPECT(PATCHED(at[first] + 4, UINT32_MAX, 4, "section.length"));
    EXPECT(PATCHED(at[AETHER_SECTION_CLASS_NAMES] + 8 + 6, 1, 1, "section padding"));
    EXPECT(PATCHED(footer, UINT32_MAX, 4, "extension_len"));
    EXPECT(PATCHED(footer, 12, 4, "extension_len"));
    EXPECT(PATCHED(footer + 4, 0, 2, "width"));
    EXPECT(PATCHED(footer + 6, 2, 2, "extension version"));
    EXPECT(PATCHED(footer + 8, 0, 4, "extension magic"));
    EXPECT(PATCHED(7, 1, 1, "reserved"));
    EXPECT(PATCHED(16, 0xFFFF, 2, "extension_len")); /* layers */
    put(blob + 10, 0xFFFFFFFFu, 4);                  /* heads, and values of each below: a layer beyond 32 bits */
    put(blob + 14, 0xFFFF, 2);
    EXPECT(rejected("extension_len"));
    d = whole(1);
    EXPECT(accepted_draft(&d));
    EXPECT(PATCHED(24 + d.bytes[0], 1, 1, "padding")); /* an odd number of weights */
    encode(&d);
    length = 24 + d.bytes[0] + 4; /* a footer inside the weights, and behind it their padding or nothing */
    memmove(blob + length - 16, blob + footer, 12);
    put(blob + length - 16, 0, 4);
    EXPECT(rejected("padding"));
    d = whole(0);
    encode(&d);
    length = 24 + d.bytes[0] + 4;
    memmove(blob + length - 16, blob + footer, 12);
    put(blob + length - 16, 0, 4);
    EXPECT(rejected("weights_len"));
    d = whole(1);
    memset(d.left_out, 1, sizeof d.left_out);
    d.left_out[AETHER_SECTION_PROJECTION] = d.left_out[AETHER_SECTION_CLASS_NAMES] = 0;
    encode(&d);
    memmove(blob + footer - 2, blob + footer, 12); /* the last section is not padded */
    length -= 2;
    put(blob + footer - 2, (uint32_t)(footer - 2 + 12 - 24 - d.bytes[0]), 4);
    EXPECT(rejected("weights_len"));
    encode(&d);
    memmove(blob + footer + 4, blob + footer, 12); /* four bytes more, too few for a section */
    memset(blob + footer, 0, 4);
    length += 4;
    put(blob + footer + 4, (uint32_t)(footer + 4 + 12 - 24 - d.bytes[0]), 4);
    EXPECT(rejected("section"));
    d = whole(0);
    encode(&d);
    length = 28 + 8; /* no room for a footer */
    EXPECT(rejected("weights_len"));
    encode(&d);
    seal();
    memmove(blob + 1, blob, length);
    EXPECT(aether_model_open(&model, blob + 1, length, NULL, &detail) == AETHER_E_ALIGNMENT);
}

static void fill(const aether_array *array, uint32_t bits) {
    const size_t count = (size_t)array->dims[0] * (array->dims[1] != 0 ? array->dims[1] : 1);
    const size_t element = array->dtype == AETHER_BINARY16 ? 2 : 4;
    size_t i;
    for (i = 0; i < count; i++) {
        put(blob + array->offset + i * element, bits, element);
    }
}

/* Each array with infinity, and with NaN, in its first element and in its last: the detail says where. */
static void check_not_finite(int binary16) {
    static aether_model model, damaged;
    const draft d = whole(binary16);
    aether_array array;
    size_t i;
    EXPECT(accepted_draft(&d));
    EXPECT(opened(&model) == AETHER_OK);
    for (i = 0; aether_model_array(&model, i, &array) == AETHER_OK; i++) {
        const size_t element = array.dtype == AETHER_BINARY16 ? 2 : 4;
        const size_t count = (size_t)array.dims[0] * (array.dims[1] != 0 ? array.dims[1] : 1);
        int last, nan;
        for (last = 0; last < 2; last++) {
            for (nan = 0; nan < 2; nan++) {
                const size_t place = array.offset + (last ? count - 1 : 0) * element;
                const uint32_t infinity = element == 2 ? 0xFC00u : 0xFF800000u;
                encode(&d);
                put(blob + place, infinity + (uint32_t)nan, element);
                EXPECT(opened(&damaged) == AETHER_E_BLOB_HEADER && detail.offset == place);
            }
        }
    }
    EXPECT(i == AETHER_INTEGERS_Q);
    encode(&d);
}

/* Forward and stream say the same of these frames, and what they give is finite. 1: they overflowed. */
static int overflows(const aether_model *model, float (*frames)[FEATURES]) {
    static float logits[FRAMES][CLASSES], embeddings[FRAMES][EMBED];
    aether_status forward, streamed = AETHER_OK;
    aether_stream stream;
    size_t need = 0, t;
    EXPECT(aether_model_workspace(model, FRAMES, 8, AETHER_BINARY32, &need) == AETHER_OK && need <= sizeof workspace);
    forward = aether_model_forward(model, frames[0], FRAMES, 8, AETHER_BINARY32, logits[0], embeddings[0], workspace, sizeof workspace);
    EXPECT(aether_stream_init(&stream, model, 8, AETHER_BINARY32, memory, sizeof memory) == AETHER_OK);
    for (t = 0; t < FRAMES && streamed == AETHER_OK; t++) {
        streamed = aether_stream_push(&stream, frames[t]);
        EXPECT(stream.length == t + (streamed == AETHER_OK));
    }
    EXPECT(forward == streamed);
    EXPECT(forward == AETHER_OK || forward == AETHER_E_OVERFLOW);
    if (forward == AETHER_OK) {
        EXPECT(aether_all_finite(logits[0], FRAMES * CLASSES) && aether_all_finite(embeddings[0], FRAMES * EMBED));
        EXPECT(memcmp(aether_stream_logits(&stream), logits[FRAMES - 1], sizeof logits[0]) == 0);
        EXPECT(memcmp(aether_stream_embedding(&stream), embeddings[FRAMES - 1], sizeof embeddings[0]) == 0);
    }
    return forward == AETHER_E_OVERFLOW;
}

/* Each array, and each two, at the largest values: nothing infinite comes out, and every array can overflow. */
static void check_overflow(const draft *d) {
    static float frames[FRAMES][FEATURES] = {{1.0f, 2.0f}, {0.5f, 0.25f}, {3.0f, 1.0f}, {0.0f, 0.0f}, {2.0f, 2.0f}};
    static aether_model model;
    aether_array one, other;
    size_t i, j;
    encode(d);
    EXPECT(opened(&model) == AETHER_OK);
    EXPECT(!overflows(&model, frames));
    for (i = 0; aether_model_array(&model, i, &one) == AETHER_OK; i++) {
        int any = 0;
        for (j = 0; aether_model_array(&model, j, &other) == AETHER_OK; j++) {
            unsigned sign;
            for (sign = 0; sign < 4; sign++) { /* in the blob that the model reads: the values stay finite */
                fill(&one, 0x7F7FFFFFu | (sign & 1u) << 31);
                fill(&other, 0x7F7FFFFFu | (sign & 2u) << 30);
                any += overflows(&model, frames);
                encode(d);
            }
        }
        if (!any) {
            printf("%s does not overflow\n", one.name);
            wrong++;
        }
    }
}

static void fill_named(const aether_model *model, const char *name, uint32_t bits) {
    aether_array array;
    size_t i = 0;
    while (aether_model_array(model, i, &array) == AETHER_OK && strcmp(array.name, name) != 0) {
        i++;
    }
    EXPECT(strcmp(array.name, name) == 0);
    fill(&array, bits);
}

/* Minus infinity before a rectifier, which would make a harmless 0 of it. */
static void check_hidden_overflow(const draft *d) {
    static const char *const ROWS[] = {"projection.bias", "feed_forward.norm"}; /* rows of 2, and of about 2 */
    static const char *const ZEROS[] = {"projection.weight", "feed_forward.b1"};
    static const char *const LARGE[] = {"stem.weight", "feed_forward.w1"};
    static float frames[FRAMES][FEATURES] = {{1.0f, 2.0f}, {0.5f, 0.25f}, {3.0f, 1.0f}, {0.0f, 0.0f}, {2.0f, 2.0f}};
    static aether_model model;
    size_t i;
    for (i = 0; i < 2; i++) {
        encode(d);
        EXPECT(opened(&model) == AETHER_OK);
        fill_named(&model, ROWS[i], 0x40000000u);
        fill_named(&model, ZEROS[i], 0);
        EXPECT(!overflows(&model, frames));
        fill_named(&model, LARGE[i], 0xFF7FFFFFu);
        EXPECT(overflows(&model, frames));
    }
    encode(d);
    fill_named(&model, "norm.final", 0x7EFFFFFFu); /* half the largest: rows fit, the sum of three for their mean does not */
    EXPECT(overflows(&model, frames));
}

static void check_frames(draft d) {
    static float ordinary[FRAMES][FEATURES] = {{1.0f, 2.0f}, {0.0f, 0.0f}, {0x1p-140f, 0x1p-140f}, {-1.0f, 1.0f}, {2.0f, 2.0f}};
    static float large[FRAMES][FEATURES] = {{3e38f, 3e38f}};              /* the sum overflows */
    static float apart[FRAMES][FEATURES] = {{0x1.8p127f, -0x1.7p127f}};   /* the sum and the quotients do not */
    static float no_mean[FRAMES][FEATURES] = {{0x1p10f, -0x1.FFFFFEp9f}}; /* far from their mean */
    static float none[FRAMES][FEATURES];
    static aether_model model;
    aether_resampler resampler;
    float rows[2 * FEATURES];
    const float far[FEATURES] = {0x1p100f, -0x1.FFFFFEp99f};
    encode(&d);
    EXPECT(opened(&model) == AETHER_OK);
    EXPECT(!overflows(&model, ordinary));
    EXPECT(overflows(&model, large));
    EXPECT(!overflows(&model, apart));
    EXPECT(!overflows(&model, no_mean));
    EXPECT(!overflows(&model, none));
    EXPECT(aether_resample_init_model(&resampler, &model, rows, sizeof rows) == AETHER_OK);
    EXPECT(aether_resample_push(&resampler, far, 0, NULL) == AETHER_OK);
    EXPECT(aether_resample_push(&resampler, large[0], 0, NULL) == AETHER_E_ARGUMENT); /* a frame is due */
    aether_resample_reset(&resampler);
    EXPECT(aether_resample_push(&resampler, large[0], 0, NULL) == AETHER_E_OVERFLOW);
}

/* The frame of a model that names its pairs by index, by number, or both: with the layout, without, and one that lacks a pair. */
static void check_pairs(void) {
    static const aether_layout layout = {{{-28, 57, 1, AETHER_BAND_HTLTF}}, 1}, lacking = {{{-27, 56, 1, AETHER_BAND_HTLTF}}, 1};
    static int8_t iq[57 * 2];
    aether_model model;
    draft d = whole(0);
    float out[FEATURES];
    iq[0] = 3, iq[1] = 4;           /* -28 */
    iq[2] = 5, iq[3] = 12;          /* -27, pair 1 */
    iq[8] = 6, iq[9] = 8;           /* pair 4 */
    iq[2 * 33] = 8, iq[67] = 15;    /* 5 */
    encode(&d);
    EXPECT(opened(&model) == AETHER_OK);
    EXPECT(aether_csi_frame(&model, &layout, iq, 57, 0, out) == AETHER_OK && out[0] == 5.0f && out[1] == 17.0f);
    EXPECT(aether_csi_frame(&model, &layout, iq, 57, 1, out) == AETHER_OK && out[0] == 0.0f && out[1] == 17.0f);
    out[0] = 9.0f;
    EXPECT(aether_csi_frame(&model, &lacking, iq, 56, 0, out) == AETHER_E_SHAPE && out[0] == 9.0f);
    EXPECT(aether_csi_frame(&model, &layout, iq, 33, 0, out) == AETHER_E_SHAPE && out[0] == 9.0f); /* fewer pairs than the layout */
    EXPECT(aether_csi_frame(&model, NULL, iq, 5, 0, out) == AETHER_OK && out[0] == 10.0f && out[1] == 13.0f);
    EXPECT(aether_csi_frame(&model, NULL, iq, 5, 2, out) == AETHER_OK && out[0] == 10.0f && out[1] == 0.0f);
    EXPECT(aether_csi_frame(&model, NULL, iq, 6, 0, out) == AETHER_E_SHAPE);
    d.left_out[AETHER_SECTION_SUBCARRIERS] = 1;
    encode(&d);
    EXPECT(opened(&model) == AETHER_OK);
    EXPECT(aether_csi_frame(&model, &layout, iq, 57, 0, out) == AETHER_OK && out[0] == 5.0f && out[1] == 17.0f);
    EXPECT(aether_csi_frame(&model, NULL, iq, 57, 0, out) == AETHER_E_SHAPE);
}

int main(void) {
    draft d;
    check_pairs();
    check_values();
    check_rules();
    check_utf8();
    check_lengths();
    check_frame();
    check_not_finite(0);
    check_not_finite(1);
    d = whole(0);
    check_overflow(&d);
    check_frames(d);
    check_hidden_overflow(&d);
    d.left_out[AETHER_SECTION_CONVOLUTION] = d.left_out[AETHER_SECTION_STEM] = 1;
    check_overflow(&d);
    d.left_out[AETHER_SECTION_POOLING] = d.left_out[AETHER_SECTION_AGC] = 1;
    check_overflow(&d);
    d.left_out[AETHER_SECTION_NORM] = d.left_out[AETHER_SECTION_FEED_FORWARD] = 1;
    check_overflow(&d);
    return ended();
}
