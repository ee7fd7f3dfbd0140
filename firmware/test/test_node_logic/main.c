/* Queue, cadence, packets and I/Q conversion of a node. */
#include <string.h>

#include "aether/crc32.h"
#include "aether/resample.h"
#include "cadence.h"
#include "check.h"
#include "csi_input.h"
#include "node.h"
#include "packets.h"
#include "platform.h"
#include "queue.h"
#include "text.h"

#include "../node_blobs.h"

#define VALUES 3u

static uint64_t queue_memory[512];

static void frame_of(uint32_t number, float *frame) {
    uint32_t v;
    for (v = 0; v < VALUES; v++) {
        frame[v] = (float)(number * VALUES + v);
    }
}

static int is_frame(const float *frame, uint32_t number) {
    float expected[VALUES];
    frame_of(number, expected);
    return frame != NULL && frame[0] == expected[0] && frame[1] == expected[1] && frame[2] == expected[2];
}

static void queue_keeps_order(void) {
    node_queue queue;
    float frame[VALUES];
    uint64_t time = 0;
    uint32_t in = 0, out = 0, round;
    CHECK(node_queue_size(VALUES) == NODE_QUEUE_FRAMES * 24u);
    CHECK(node_queue_size(SIZE_MAX / 4u) == SIZE_MAX);
    node_queue_init(&queue, VALUES, queue_memory);
    CHECK(node_queue_front(&queue, NULL) == NULL);
    queue.put = queue.taken = 0xFFFFFFF0u; /* the counters wrap in the middle */
    for (round = 0; round < 200u; round++) {
        uint32_t k;
        for (k = 0; k < round % 7u; k++) {
            frame_of(in, frame);
            if (CHECK(node_queue_put(&queue, frame, 1000u + in))) {
                in++;
            }
        }
        CHECK_EQUAL(in - out, node_queue_waiting(&queue));
        while (out < in) {
            CHECK(is_frame(node_queue_front(&queue, &time), out));
            CHECK_EQUAL(1000u + out, time);
            node_queue_release(&queue);
            out++;
        }
    }
    CHECK(in > 500u);
    CHECK_EQUAL(0, node_queue_dropped(&queue));
    CHECK_EQUAL(6, queue.longest);
}

static void full_queue_drops_the_newest(void) {
    node_queue queue;
    float frame[VALUES];
    uint32_t i;
    node_queue_init(&queue, VALUES, queue_memory);
    for (i = 0; i < NODE_QUEUE_FRAMES + 10u; i++) {
        frame_of(i, frame);
        CHECK_EQUAL(i < NODE_QUEUE_FRAMES, node_queue_put(&queue, frame, i));
    }
    CHECK_EQUAL(10, node_queue_dropped(&queue));
    CHECK_EQUAL(NODE_QUEUE_FRAMES, node_queue_waiting(&queue));
    CHECK_EQUAL(NODE_QUEUE_FRAMES, queue.longest);
    CHECK(node_queue_reserve(&queue) == NULL);
    CHECK_EQUAL(11, node_queue_dropped(&queue));
    node_queue_release(&queue); /* one place: one more frame goes in */
    frame_of(99, frame);
    CHECK(node_queue_put(&queue, frame, 99));
    CHECK(!node_queue_put(&queue, frame, 99));
    for (i = 1; i < NODE_QUEUE_FRAMES; i++) {
        CHECK(is_frame(node_queue_front(&queue, NULL), i));
        node_queue_release(&queue);
    }
    CHECK(is_frame(node_queue_front(&queue, NULL), 99));
    node_queue_release(&queue);
    CHECK(node_queue_front(&queue, NULL) == NULL);
}

static void uncommitted_frame_is_not_queued(void) {
    node_queue queue;
    float *reserved;
    node_queue_init(&queue, VALUES, queue_memory);
    reserved = node_queue_reserve(&queue);
    CHECK(reserved != NULL && node_queue_front(&queue, NULL) == NULL);
    CHECK(node_queue_reserve(&queue) == reserved);
    frame_of(7, reserved);
    node_queue_commit(&queue, 5);
    CHECK(is_frame(node_queue_front(&queue, NULL), 7));
    CHECK_EQUAL(0, node_queue_dropped(&queue));
}

static void cadence_is_one_a_period(void) {
    node_cadence cadence;
    uint64_t now;
    uint32_t events = 0;
    node_cadence_init(&cadence, 1000000u);
    CHECK_EQUAL(1000000u, node_cadence_wait(&cadence, 5));
    for (now = 5; now <= 10000005u; now += 25000u) {
        events += (uint32_t)node_cadence_due(&cadence, now);
    }
    CHECK_EQUAL(10, events);
    CHECK_EQUAL(0, cadence.skipped);
    CHECK_EQUAL(1000000u, node_cadence_wait(&cadence, 10000005u));
    CHECK_EQUAL(0, node_cadence_wait(&cadence, 11000005u));
    CHECK_EQUAL(1, node_cadence_wait(&cadence, 11000004u));
    CHECK(node_cadence_due(&cadence, 11300005u)); /* a late one does not move those after it */
    CHECK(!node_cadence_due(&cadence, 12000004u));
    CHECK(node_cadence_due(&cadence, 12000005u));
    node_cadence_init(&cadence, 0);
    CHECK(!node_cadence_due(&cadence, 7));
    CHECK(node_cadence_due(&cadence, 8));
}

static void cadence_survives_jumps(void) {
    node_cadence cadence;
    node_cadence_init(&cadence, 1000000u);
    CHECK(!node_cadence_due(&cadence, 0));
    CHECK(node_cadence_due(&cadence, 3600000000u)); /* an hour ahead: one event, no burst */
    CHECK(!node_cadence_due(&cadence, 3600000001u));
    CHECK_EQUAL(3599, cadence.skipped);
    CHECK(node_cadence_due(&cadence, 3601000000u));
    CHECK(!node_cadence_due(&cadence, 10)); /* back: the next is one period from there */
    CHECK_EQUAL(1, cadence.jumps);
    CHECK_EQUAL(1000000u, node_cadence_wait(&cadence, 10));
    CHECK(node_cadence_due(&cadence, 1000010u));
    CHECK(node_cadence_due(&cadence, UINT64_MAX - 1u)); /* nothing beyond the end of time */
    CHECK(!node_cadence_due(&cadence, UINT64_MAX - 1u));
    CHECK(!node_cadence_due(&cadence, 4));
    CHECK(node_cadence_due(&cadence, 1000004u));
    CHECK_EQUAL(2, cadence.jumps);
}

static void cadence_over_a_wrapping_clock(void) {
    aether_clock clock;
    node_cadence cadence;
    uint32_t events = 0, counter = 0xFF000000u;
    uint64_t before = 0;
    uint32_t i;
    memset(&clock, 0, sizeof clock);
    node_cadence_init(&cadence, 1000000u);
    for (i = 0; i < 4000u; i++, counter += 20000u) { /* 80 s across the end of 32 bits */
        const uint64_t now = aether_clock_read(&clock, counter);
        CHECK(now >= before);
        before = now;
        events += (uint32_t)node_cadence_due(&cadence, now);
    }
    CHECK_EQUAL(79, events);
    CHECK_EQUAL(0, cadence.jumps);
    CHECK_EQUAL(0, clock.restarts);
}

static void classification_packet(void) {
    /* written by hand; every byte of a field differs */
    static const unsigned char expected[36] = {
        0x07, 0x00, 0x11, 0xC5, 0x01, 0x00, 0x04, 0x00, 0x2A, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
        0xEF, 0xBE, 0xAD, 0xDE, 0x02, 0, 0, 0, 0, 0, 0x20, 0x40, 0, 0, 0x80, 0x3E,
    };
    const float logits[4] = {-1.0f, 2.25f, 2.5f, 0.0f};
    node_class_packet packet;
    unsigned char bytes[NODE_CLASS_BYTES + 1];
    uint32_t crc;
    memset(bytes, 0xEE, sizeof bytes);
    packet.n_classes = 4;
    packet.node_id = 0x2A;
    packet.time = 0x1122334455667788u;
    packet.sequence = 0xDEADBEEFu;
    packet.prediction = node_prediction_of(logits, 4);
    node_class_write(&packet, bytes);
    {
        size_t i;
        for (i = 0; i < sizeof expected; i++) {
            CHECK_EQUAL(expected[i], bytes[i]);
        }
    }
    crc = (uint32_t)bytes[36] | (uint32_t)bytes[37] << 8 | (uint32_t)bytes[38] << 16 | (uint32_t)bytes[39] << 24;
    CHECK_BITS(aether_crc32(0, expected, sizeof expected), crc);
    CHECK_EQUAL(0xEE, bytes[40]);
}

static void predictions(void) {
    const float rising[3] = {1.0f, 2.0f, 4.0f}, falling[3] = {4.0f, 2.0f, 1.0f}, equal[3] = {2.0f, 5.0f, 5.0f};
    const float negative[3] = {-3.0f, -2.0f, -8.0f}, ends[2] = {3e38f, -3e38f}, alone[1] = {-7.0f};
    node_prediction a = node_prediction_of(rising, 3);
    CHECK(a.argmax == 2 && a.top == 4.0f && a.margin == 2.0f);
    a = node_prediction_of(falling, 3);
    CHECK(a.argmax == 0 && a.top == 4.0f && a.margin == 2.0f);
    a = node_prediction_of(equal, 3);
    CHECK(a.argmax == 1 && a.margin == 0.0f);
    a = node_prediction_of(negative, 3);
    CHECK(a.argmax == 1 && a.top == -2.0f && a.margin == 1.0f);
    a = node_prediction_of(ends, 2);
    CHECK(a.argmax == 0 && a.margin > 3.4e38f && a.margin - a.margin == 0.0f);
    a = node_prediction_of(alone, 1);
    CHECK(a.argmax == 0 && a.top == -7.0f && a.margin == 0.0f);
}

static void feature_state_packet(void) {
    unsigned char bytes[NODE_STATE_BYTES];
    float features[NODE_STATE_FEATURES];
    uint64_t time = 0;
    uint32_t crc, word;
    size_t i;
    memset(bytes, 0, sizeof bytes);
    bytes[0] = 0x06, bytes[2] = 0x11, bytes[3] = 0xC5, bytes[4] = 9, bytes[9] = 0x01;
    for (i = 0; i < NODE_STATE_FEATURES; i++) {
        const float value = 0.5f + (float)i;
        memcpy(&word, &value, 4);
        memcpy(bytes + 16 + 4 * i, &word, 4);
    }
    crc = aether_crc32(0, bytes, 56);
    memcpy(bytes + 56, &crc, 4);
    CHECK(node_state_read(bytes, sizeof bytes, features, &time));
    CHECK_EQUAL(256, time);
    for (i = 0; i < NODE_STATE_FEATURES; i++) {
        CHECK(features[i] == 0.5f + (float)i);
    }
    CHECK(!node_state_read(bytes, sizeof bytes - 1, features, NULL));
    CHECK(!node_state_read(NULL, sizeof bytes, features, NULL));
    for (i = 0; i < sizeof bytes; i++) {
        features[0] = -1.0f;
        bytes[i] ^= 0x10;
        CHECK(!node_state_read(bytes, sizeof bytes, features, &time) && features[0] == -1.0f);
        bytes[i] ^= 0x10;
    }
}

static void raw_frame(void) {
    static const unsigned char expected[20] = {0x01, 0x00, 0x11, 0xC5, 3, 1, 4, 0, 0x85, 0x09, 0, 0, 0x78, 0x56, 0x34, 0x12,
                                               0xCE, 0xA1, 0, 0};
    static const int8_t iq[8] = {1, -2, 3, -4, 5, -6, 7, -128};
    node_raw_header header;
    unsigned char bytes[40];
    size_t i;
    memset(&header, 0, sizeof header);
    header.node_id = 3;
    header.n_antennas = 1;
    header.n_subcarriers = 4;
    header.frequency_mhz = node_channel_mhz(6);
    header.sequence = 0x12345678u;
    header.rssi = -50;
    header.noise_floor = -95;
    memset(bytes, 0xEE, sizeof bytes);
    CHECK_EQUAL(28, node_csi_raw(&header, iq, 4, 0, bytes, sizeof bytes));
    for (i = 0; i < 20; i++) {
        CHECK_EQUAL(expected[i], bytes[i]);
    }
    for (i = 0; i < 8; i++) {
        CHECK_EQUAL((unsigned char)iq[i], bytes[20 + i]);
    }
    CHECK_EQUAL(0xEE, bytes[28]);
    CHECK_EQUAL(28, node_csi_raw(&header, iq, 4, 1, bytes, 28));
    CHECK(bytes[20] == 0 && bytes[23] == 0 && bytes[24] == 5);
    CHECK_EQUAL(0, node_csi_raw(&header, iq, 4, 0, bytes, 27));
    CHECK_EQUAL(0, node_csi_raw(&header, iq, 3, 0, bytes, sizeof bytes));
    CHECK_EQUAL(2412, node_channel_mhz(1));
    CHECK_EQUAL(2472, node_channel_mhz(13));
    CHECK_EQUAL(2484, node_channel_mhz(14));
    CHECK(node_channel_mhz(0) == 0 && node_channel_mhz(15) == 0 && node_channel_mhz(35) == 0 && node_channel_mhz(178) == 0);
    CHECK(node_channel_mhz(36) == 5180 && node_channel_mhz(177) == 5885);
}

static void frames_from_pairs(void) {
    static const int8_t iq[10] = {3, 4, 5, 12, 6, 8, 0, 0, 8, 15}; /* 5, 13, 10, 0, 17 */
    const node_blob *blob = &NODE_BLOB[NODE_EVERY];                /* 5 pairs, of which it selects 4 and 1 */
    aether_model model;
    float frame[2];
    CHECK(aether_model_open(&model, blob->words, blob->bytes, NULL, NULL) == AETHER_OK);
    CHECK(node_csi_frame(&model, iq, 5, 0, 0, frame) == AETHER_OK);
    CHECK(frame[0] == 17.0f && frame[1] == 13.0f);
    CHECK(node_csi_frame(&model, iq, 5, 0, 1, frame) == AETHER_OK);
    CHECK(frame[0] == 17.0f && frame[1] == 0.0f); /* subcarrier 1 is among the four invalid bytes */
    CHECK(node_csi_frame(&model, iq, 4, 0, 0, frame) == AETHER_E_SHAPE);
    CHECK(node_csi_frame(&model, NULL, 5, 0, 0, frame) == AETHER_E_ARGUMENT);
    CHECK(aether_model_open(&model, NODE_BLOB[NODE_PLAIN].words, NODE_BLOB[NODE_PLAIN].bytes, NULL, NULL) == AETHER_OK);
    CHECK(node_csi_frame(&model, iq, 2, 0, 0, frame) == AETHER_OK);
    CHECK(frame[0] == 5.0f && frame[1] == 13.0f);
    CHECK(node_csi_frame(&model, iq, 2, 0, 1, frame) == AETHER_OK && frame[0] == 0.0f && frame[1] == 0.0f);
}

static int shows(const char *expected, const char *text, size_t capacity) {
    char out[33];
    size_t i;
    memset(out, 'x', sizeof out);
    (void)node_text(text, SIZE_MAX, out, capacity);
    for (i = 0; expected[i] == out[i] && out[i] != 0; i++) {
    }
    return expected[i] == 0 && out[i] == 0 && out[capacity] == 'x';
}

static void names_in_a_log(void) {
    char out[8];
    CHECK(shows("walking", "walking", 32));
    CHECK(shows("", NULL, 32) && shows("", "", 32));
    CHECK(shows("a\\x0AE b: c\\x0D\\x1B[2J", "a\nE b: c\r\x1b[2J", 32));
    CHECK(shows("\\\\x0A \\x7F", "\\x0A \x7f", 32));
    CHECK(shows("\xC3\xA9t\xC3\xA9 \xE6\xAD\xA9 \xF0\x9F\x9A\xB6", "\xC3\xA9t\xC3\xA9 \xE6\xAD\xA9 \xF0\x9F\x9A\xB6", 32));
    CHECK(shows("\\xC2\\x9B", "\xC2\x9B", 32));           /* U+009B, a terminal's control sequence */
    CHECK(shows("\\xE2\\x80\\xAE", "\xE2\x80\xAE", 32)); /* U+202E turns the line round */
    CHECK(shows("\\xC0\\x8A", "\xC0\x8A", 32));           /* a line feed in too many bytes */
    CHECK(shows("\\xED\\xA0\\x80\\xFF\\xC3", "\xED\xA0\x80\xFF\xC3", 32)); /* a surrogate, no UTF-8, a character cut off */
    CHECK(shows("abcdefg", "abcdefg", 8));
    CHECK(shows("abcd...", "abcdefgh", 8));
    CHECK(shows("abc...", "abc\xC3\xA9ghi", 8)); /* no half character */
    CHECK(shows("...", "\n\n", 7) && shows("\\x0A...", "\n\n", 8) && shows("...", "abcd", 4));
    (void)node_text("abc\n", 3, out, sizeof out);
    CHECK(memcmp(out, "abc", 4) == 0);
}

static int same_logits(node_classifier *a, node_classifier *b) {
    const float *x = aether_stream_logits(&a->stream), *y = aether_stream_logits(&b->stream);
    return x != NULL && y != NULL && memcmp(x, y, a->model.header.n_classes * sizeof(float)) == 0;
}

/* A packet that makes many frames of the grid due: each step pushes one, and the frames are those of one call. */
static void long_gaps_are_computed_in_steps(void) {
    static uint64_t memory[2][2048];
    const node_wanted wanted = {0, 0, 64, AETHER_BINARY32, 1};
    const node_blob *blob = &NODE_BLOB[NODE_EVERY];
    node_classifier *whole = NULL, *stepped = NULL;
    static node n;
    float frame[4] = {0};
    uint32_t pushed = 0, most = 0, at;
    size_t i;
    CHECK(node_classifier_init(blob->words, blob->bytes, &wanted, memory[0], sizeof memory[0], &whole, NULL) == AETHER_OK);
    CHECK(node_classifier_init(blob->words, blob->bytes, &wanted, memory[1], sizeof memory[1], &stepped, NULL) == AETHER_OK);
    if (!CHECK(whole != NULL && stepped != NULL && whole->model.header.input_dim <= 4)) {
        return;
    }
    CHECK_EQUAL(20000, whole->model.resample_period);
    CHECK(node_init(&n, stepped, 1, 1000, queue_memory) == AETHER_OK);
    for (at = 0; at < 5; at++) {
        uint32_t before = n.counts.pushed, steps = 0;
        for (i = 0; i < whole->model.header.input_dim; i++) {
            frame[i] = (float)(at * 3 + i + 1);
        }
        CHECK(node_classifier_feed(whole, frame, at * 999999u, &pushed, NULL) == AETHER_OK);
        CHECK(node_offer(&n, frame, whole->model.header.input_dim, at * 999999u) == NODE_QUEUED);
        for (; node_work(&n); steps++) {
            CHECK(n.counts.pushed - before <= 1);
            before = n.counts.pushed;
        }
        most = steps > most ? steps : most;
        CHECK(steps >= pushed && same_logits(whole, stepped));
    }
    CHECK(most >= 49);
    CHECK_EQUAL(5, n.counts.frames);
}

/* One physical frame in the order of an S3 (L-LTF, then HT-LTF: 0 to 31, -32 to -1) and of a C5 (-28 to 28). */
static void subcarriers_by_number(void) {
    static int8_t classic[2 * 128], c5[2 * 57];
    static const aether_csi_facts older = {AETHER_CSI_CLASSIC, 0, 1, 0, 0, 0}, newer = {AETHER_CSI_C5, 0, 0, 0, 0, 0};
    const node_blob *blob = &NODE_BLOB[NODE_NUMBERED]; /* HT-LTF -28, and 5 of either band */
    aether_model model;
    float frame[2] = {-1.0f, -1.0f};
    int n;
    for (n = -28; n <= 28; n++) {
        const int pair = n >= 0 ? n : 64 + n;
        c5[2 * (n + 28)] = (int8_t)n;
        classic[2 * pair] = classic[2 * (64 + pair)] = (int8_t)n;
    }
    CHECK_EQUAL(0x11, node_layout(&older));
    CHECK_EQUAL(2, node_layout(&newer));
    CHECK(aether_model_open(&model, blob->words, blob->bytes, NULL, NULL) == AETHER_OK);
    CHECK_EQUAL(128, node_csi_pairs(&model));
    CHECK(node_csi_frame(&model, classic, 128, node_layout(&older), 1, frame) == AETHER_OK);
    CHECK(frame[0] == 28.0f && frame[1] == 5.0f);
    frame[0] = frame[1] = -1.0f;
    CHECK(node_csi_frame(&model, c5, 57, node_layout(&newer), 0, frame) == AETHER_OK);
    CHECK(frame[0] == 28.0f && frame[1] == 5.0f);
    CHECK(node_csi_frame(&model, c5, 57, node_layout(&newer), 1, frame) == AETHER_OK);
    CHECK(frame[0] == 0.0f && frame[1] == 5.0f); /* -28 is among the four invalid bytes */
    frame[0] = frame[1] = -1.0f;
    CHECK(node_csi_frame(&model, classic, 64, node_layout(&older), 0, frame) == AETHER_E_SHAPE); /* without HT-LTF */
    CHECK(node_csi_frame(&model, c5, 53, node_layout(&newer), 0, frame) == AETHER_E_SHAPE);
    CHECK(node_csi_frame(&model, c5, 57, 0, 0, frame) == AETHER_E_SHAPE); /* nobody knows the order */
    CHECK(frame[0] == -1.0f && frame[1] == -1.0f);
}

/* L-LTF of a C5 in 12-bit words: -26, -24 to -2, 2 to 26, each two words. The four upper bits of a word mean nothing, the last bytes neither. */
static void subcarriers_in_words(void) {
    static const aether_csi_facts facts = {AETHER_CSI_C5, 1, AETHER_CSI_UNKNOWN, AETHER_CSI_UNKNOWN, AETHER_CSI_UNKNOWN,
                                           AETHER_CSI_UNKNOWN};
    static const uint8_t bands[2] = {AETHER_BAND_ANY, AETHER_BAND_LLTF}, others[2] = {AETHER_BAND_LLTF, AETHER_BAND_HTLTF};
    static const int16_t numbers[2] = {-26, 4}, missing[2] = {4, -25};
    static int8_t bytes[2 * 53];
    const uint16_t layout = node_layout(&facts);
    aether_model model;
    float frame[2] = {-1.0f, -1.0f};
    CHECK_EQUAL(2 | 1 << 10, layout);
    CHECK(aether_model_open(&model, NODE_BLOB[NODE_NUMBERED].words, NODE_BLOB[NODE_NUMBERED].bytes, NULL, NULL) == AETHER_OK);
    model.bands = bands;
    model.numbers = numbers;
    memset(bytes, 0x77, sizeof bytes);
    bytes[0] = 0x00, bytes[1] = (int8_t)0x58, bytes[2] = 0x00, bytes[3] = (int8_t)0xF0; /* -2048 and 0 */
    bytes[4 * 14] = 0x05, bytes[4 * 14 + 1] = 0x30, bytes[4 * 14 + 2] = (int8_t)0xF4, bytes[4 * 14 + 3] = (int8_t)0x0F; /* 5 and -12 */
    CHECK(node_csi_frame(&model, bytes, 53, layout, 0, frame) == AETHER_OK);
    CHECK(frame[0] == 2048.0f && frame[1] == 13.0f);
    CHECK(node_csi_frame(&model, bytes, 52, layout, 1, frame) == AETHER_OK);
    CHECK(frame[0] == 0.0f && frame[1] == 13.0f); /* its four invalid bytes are one pair */
    frame[0] = frame[1] = -1.0f;
    CHECK(node_csi_frame(&model, bytes, 51, layout, 0, frame) == AETHER_E_SHAPE);
    model.numbers = missing;
    CHECK(node_csi_frame(&model, bytes, 53, layout, 0, frame) == AETHER_E_SHAPE); /* -25 is odd */
    model.numbers = numbers;
    model.bands = others;
    CHECK(node_csi_frame(&model, bytes, 53, layout, 0, frame) == AETHER_E_SHAPE);
    model.numbers = NULL; /* a model that names pairs by index: of words nobody knows which */
    CHECK(node_csi_frame(&model, bytes, 53, layout, 0, frame) == AETHER_E_SHAPE);
    CHECK(frame[0] == -1.0f && frame[1] == -1.0f);
}

/* A C6 delivers L-LTF of a packet without HT, and HT-LTF of one with HT, in as many pairs. */
static void fields_of_a_c6(void) {
    static int8_t iq[2 * 64];
    aether_csi_facts facts = {AETHER_CSI_C6, 0, 1, AETHER_CSI_UNKNOWN, AETHER_CSI_UNKNOWN, AETHER_CSI_UNKNOWN};
    aether_model model;
    float frame[2] = {-1.0f, -1.0f};
    iq[2 * (32 - 28)] = 28;
    iq[2 * (32 + 5)] = 5;
    CHECK(aether_model_open(&model, NODE_BLOB[NODE_NUMBERED].words, NODE_BLOB[NODE_NUMBERED].bytes, NULL, NULL) == AETHER_OK);
    CHECK_EQUAL(0x13, node_layout(&facts));
    CHECK(node_csi_frame(&model, iq, 64, node_layout(&facts), 0, frame) == AETHER_OK);
    CHECK(frame[0] == 28.0f && frame[1] == 5.0f);
    facts.format = 0;
    CHECK_EQUAL(0x03, node_layout(&facts));
    CHECK(node_csi_frame(&model, iq, 64, node_layout(&facts), 0, frame) == AETHER_E_SHAPE); /* L-LTF has no HT-LTF -28 */
    facts.format = AETHER_CSI_UNKNOWN;
    CHECK_EQUAL(0x33, node_layout(&facts));
    CHECK(node_csi_frame(&model, iq, 64, node_layout(&facts), 0, frame) == AETHER_E_SHAPE); /* either of both is not HT-LTF */
}

int firmware_main(void) {
    check_test("queue_keeps_order", queue_keeps_order);
    check_test("full_queue_drops_the_newest", full_queue_drops_the_newest);
    check_test("uncommitted_frame_is_not_queued", uncommitted_frame_is_not_queued);
    check_test("cadence_is_one_a_period", cadence_is_one_a_period);
    check_test("cadence_survives_jumps", cadence_survives_jumps);
    check_test("cadence_over_a_wrapping_clock", cadence_over_a_wrapping_clock);
    check_test("classification_packet", classification_packet);
    check_test("predictions", predictions);
    check_test("feature_state_packet", feature_state_packet);
    check_test("raw_frame", raw_frame);
    check_test("frames_from_pairs", frames_from_pairs);
    check_test("subcarriers_by_number", subcarriers_by_number);
    check_test("subcarriers_in_words", subcarriers_in_words);
    check_test("fields_of_a_c6", fields_of_a_c6);
    check_test("names_in_a_log", names_in_a_log);
    check_test("long_gaps_are_computed_in_steps", long_gaps_are_computed_in_steps);
    return check_end();
}
