/* A classifier on a blob, and the node around it: what a frame, a bad frame, a gap and a jumping clock do. */
#include <string.h>

#include "check.h"
#include "node.h"
#include "platform.h"

#include "../node_blobs.h"

#define WINDOW 64u

static uint64_t memory[2048], other_memory[2048], queue_memory[512];

static node_classifier *open_blob(int which, aether_dtype cache, void *where, size_t bytes) {
    const node_wanted wanted = {0, 0, WINDOW, cache, 0};
    node_classifier *classifier = NULL;
    CHECK(node_classifier_init(NODE_BLOB[which].words, NODE_BLOB[which].bytes, &wanted, where, bytes, &classifier, NULL) ==
          AETHER_OK);
    return classifier;
}

static void predicts_what_the_reference_says(void) {
    int which;
    for (which = 0; which < NODE_BLOBS; which++) {
        const node_blob *blob = &NODE_BLOB[which];
        node_classifier *c = open_blob(which, AETHER_BINARY32, memory, sizeof memory);
        CHECK_BITS(blob->check_binary32, node_classifier_check(c, NODE_BLOB_FRAMES, NODE_BLOB_SEED));
        CHECK_BITS(blob->check_binary32, node_classifier_check(c, NODE_BLOB_FRAMES, NODE_BLOB_SEED)); /* leaves nothing behind */
        CHECK(node_classifier_check(c, NODE_BLOB_FRAMES, NODE_BLOB_SEED + 1u) != blob->check_binary32);
        CHECK(aether_stream_logits(&c->stream) == NULL);
        c = open_blob(which, AETHER_BINARY16, memory, sizeof memory);
        CHECK_BITS(blob->check_binary16, node_classifier_check(c, NODE_BLOB_FRAMES, NODE_BLOB_SEED));
    }
}

static aether_status rejection(const void *blob, size_t bytes, node_wanted wanted, aether_detail *detail) {
    node_classifier *untouched = (node_classifier *)(void *)memory, *c = untouched;
    size_t need = 12345;
    const aether_status status = node_classifier_init(blob, bytes, &wanted, memory, sizeof memory, &c, detail);
    CHECK(status != AETHER_OK && c == untouched);
    CHECK(node_classifier_size(blob, bytes, &wanted, &need, NULL) == status && need == 12345);
    return status;
}

static void rejects_with_a_code_and_a_name(void) {
    static uint32_t copy[64], words[32];
    const node_blob *blob = &NODE_BLOB[NODE_PLAIN];
    const node_wanted any = {0, 0, WINDOW, AETHER_BINARY16, 0};
    node_wanted wanted = any;
    unsigned char *bytes = (unsigned char *)copy;
    aether_detail detail;
    size_t need = 0, i;
    node_classifier *c = NULL;
    CHECK(rejection(NULL, blob->bytes, any, &detail) == AETHER_E_ARGUMENT);
    for (i = 0; i < blob->bytes; i++) { /* cut anywhere */
        const aether_status status = rejection(blob->words, i, any, &detail);
        CHECK(status == (i < 28 ? AETHER_E_BLOB_SHORT : AETHER_E_BLOB_LENGTH));
    }
    memcpy(bytes, blob->words, blob->bytes);
    CHECK(rejection(bytes, blob->bytes + 1, any, &detail) == AETHER_E_BLOB_LENGTH);
    for (i = 0; i < blob->bytes * 8; i++) { /* every bit */
        aether_status status;
        bytes[i / 8] ^= (unsigned char)(1u << i % 8);
        status = rejection(bytes, blob->bytes, any, &detail);
        CHECK(status == (i / 8 < 4 ? AETHER_E_BLOB_MAGIC
                         : i / 8 < 6 ? AETHER_E_BLOB_VERSION
                         : i / 8 >= 20 && i / 8 < 24 ? AETHER_E_BLOB_LENGTH
                                                     : AETHER_E_BLOB_CRC));
        bytes[i / 8] ^= (unsigned char)(1u << i % 8);
    }
    memcpy((unsigned char *)words + 1, blob->words, blob->bytes);
    CHECK(rejection((unsigned char *)words + 1, blob->bytes, any, &detail) == AETHER_E_ALIGNMENT);
    CHECK(detail.field != NULL && detail.field[0] == 'b');
    wanted.input_dim = 3;
    CHECK(rejection(blob->words, blob->bytes, wanted, &detail) == AETHER_E_SHAPE);
    CHECK(detail.found == 2 && detail.field[0] == 'i');
    wanted.input_dim = 2;
    wanted.n_classes = 5;
    CHECK(rejection(blob->words, blob->bytes, wanted, &detail) == AETHER_E_SHAPE);
    CHECK(detail.found == 2 && detail.field[0] == 'n');
    wanted.n_classes = 2;
    wanted.context = 0;
    CHECK(rejection(blob->words, blob->bytes, wanted, &detail) == AETHER_E_CONFIG);
    CHECK(node_classifier_size(blob->words, blob->bytes, &any, &need, NULL) == AETHER_OK && need < sizeof memory);
    CHECK(node_classifier_init(blob->words, blob->bytes, &any, memory, need - 1, &c, &detail) == AETHER_E_MEMORY);
    CHECK(node_classifier_init(blob->words, blob->bytes, &any, (unsigned char *)memory + 4, need, &c, &detail) ==
          AETHER_E_ALIGNMENT);
    CHECK(c == NULL);
    memory[(need + 7) / 8] = 0x1234567890ABCDEFu; /* behind it */
    CHECK(node_classifier_init(blob->words, blob->bytes, &any, memory, need, &c, &detail) == AETHER_OK);
    CHECK_BITS(blob->check_binary16, node_classifier_check(c, NODE_BLOB_FRAMES, NODE_BLOB_SEED));
    CHECK(memory[(need + 7) / 8] == 0x1234567890ABCDEFu);
}

static float nan_value(void) {
    const uint32_t bits = 0x7FC00000u;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void begin(node *n, int which, uint64_t period) {
    CHECK(node_init(n, open_blob(which, AETHER_BINARY32, memory, sizeof memory), 7, period, queue_memory) == AETHER_OK);
}

static uint32_t packet_u32(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void one_packet_a_period(void) {
    static unsigned char packet[NODE_CLASS_BYTES];
    node n;
    node_classifier *alone = open_blob(NODE_PLAIN, AETHER_BINARY32, other_memory, sizeof other_memory);
    uint64_t now;
    uint32_t packets = 0, pushed = 0;
    begin(&n, NODE_PLAIN, 1000000u);
    CHECK(!node_classify(&n, 0, packet));
    for (now = 20000u; now <= 5000000u; now += 20000u) {
        const float frame[2] = {(float)(now / 20000u % 13u), (float)(now / 20000u % 7u)};
        CHECK(node_offer(&n, frame, 2, now) == NODE_QUEUED);
        CHECK(aether_stream_push(&alone->stream, frame) == AETHER_OK);
        while (node_work(&n)) {
            pushed++;
        }
        if (node_classify(&n, now, packet)) {
            const node_prediction a = node_prediction_of(aether_stream_logits(&alone->stream), 2);
            uint32_t top;
            memcpy(&top, &a.top, sizeof top);
            CHECK_EQUAL(packets, packet_u32(packet + 0x14));
            CHECK_EQUAL((uint32_t)now, packet_u32(packet + 0x0C));
            CHECK_BITS(top, packet_u32(packet + 0x1C));
            CHECK_EQUAL(a.argmax, packet[0x18]);
            packets++;
        }
    }
    CHECK_EQUAL(5, packets);
    CHECK_EQUAL(250, pushed);
    CHECK_EQUAL(5, n.counts.classifications);
    CHECK(!node_classify(&n, now + 1000000u, packet)); /* nothing new: nothing sent */
    CHECK_EQUAL(1, n.counts.idle);
    CHECK_EQUAL(5, n.sequence);
}

static void bad_frames_cost_only_themselves(void) {
    static unsigned char packet[NODE_CLASS_BYTES];
    const float good[2] = {1.0f, -2.0f}, bad[2] = {1.0f, nan_value()};
    float before[2];
    node n;
    begin(&n, NODE_PLAIN, 1000u);
    CHECK(!node_classify(&n, 0, packet));
    CHECK(node_offer(&n, bad, 2, 1) == NODE_QUEUED && node_work(&n));
    CHECK_EQUAL(1, n.counts.rejected);
    CHECK(n.counts.rejection == AETHER_E_NOT_FINITE);
    CHECK(!node_classify(&n, 2000, packet)); /* no prediction yet */
    CHECK(node_offer(&n, good, 2, 2) == NODE_QUEUED && node_work(&n));
    memcpy(before, aether_stream_logits(&n.classifier->stream), sizeof before);
    CHECK(node_offer(&n, bad, 2, 3) == NODE_QUEUED && node_work(&n));
    CHECK_EQUAL(2, n.counts.rejected);
    CHECK(memcmp(before, aether_stream_logits(&n.classifier->stream), sizeof before) == 0);
    CHECK(n.classifier->stream.length == 1);
    CHECK(node_classify(&n, 4000, packet)); /* the prediction of the good one */
    CHECK(node_offer(&n, bad, 2, 4) == NODE_QUEUED && node_work(&n));
    CHECK(!node_classify(&n, 6000, packet));
    begin(&n, NODE_OVERFLOW, 1000u);
    {
        const float large[2] = {64.0f, -64.0f};
        CHECK(node_offer(&n, large, 2, 1) == NODE_QUEUED && node_work(&n));
        CHECK(n.counts.rejection == AETHER_E_OVERFLOW && n.counts.pushed == 0);
    }
    CHECK(!node_work(&n));
}

static void overflowing_queue_keeps_the_oldest(void) {
    node n;
    node_classifier *alone = open_blob(NODE_PLAIN, AETHER_BINARY32, other_memory, sizeof other_memory);
    uint32_t i;
    begin(&n, NODE_PLAIN, 1000u);
    for (i = 0; i < 100u; i++) {
        const float frame[2] = {(float)i, 1.0f};
        CHECK(node_offer(&n, frame, 2, i) == (i < NODE_QUEUE_FRAMES ? NODE_QUEUED : NODE_DROPPED));
        if (i < NODE_QUEUE_FRAMES) {
            CHECK(aether_stream_push(&alone->stream, frame) == AETHER_OK);
        }
    }
    while (node_work(&n)) {
    }
    CHECK_EQUAL(100u - NODE_QUEUE_FRAMES, node_queue_dropped(&n.queue));
    CHECK_EQUAL(NODE_QUEUE_FRAMES, n.counts.frames);
    CHECK(memcmp(aether_stream_logits(&n.classifier->stream), aether_stream_logits(&alone->stream), 8) == 0);
}

/* Frames of features: only the count shows the wrong shape, even when the queue is full. */
static void wrong_shapes_are_counted(void) {
    static const float frame[9] = {1.0f, -2.0f};
    node n;
    uint32_t i;
    begin(&n, NODE_PLAIN, 1000u);
    for (i = 0; i < NODE_QUEUE_FRAMES; i++) {
        CHECK(node_offer(&n, frame, 9, i) == NODE_WRONG_SHAPE);
        CHECK(node_offer(&n, frame, 2, i) == NODE_QUEUED);
    }
    CHECK(node_offer(&n, frame, 1, i) == NODE_WRONG_SHAPE);
    CHECK(node_offer(&n, frame, 0, i) == NODE_WRONG_SHAPE);
    CHECK_EQUAL(NODE_QUEUE_FRAMES + 2u, n.counts.wrong_shape);
    CHECK_EQUAL(0, node_queue_dropped(&n.queue));
    while (node_work(&n)) {
    }
    CHECK_EQUAL(NODE_QUEUE_FRAMES, n.counts.frames);
    CHECK_EQUAL(0, n.counts.rejected);
}

/* The blob `every` has a timing section: a grid of 20 ms, gaps of at most 1 s. */
static void frames_go_on_the_blobs_grid(void) {
    static const int8_t iq[10] = {3, 4, 5, 12, 6, 8, 0, 0, 8, 15}, wrong[8] = {0};
    node n;
    node_classifier *alone = open_blob(NODE_EVERY, AETHER_BINARY32, other_memory, sizeof other_memory);
    float frame[2];
    uint32_t i, due = 0;
    CHECK_EQUAL(20000, alone->model.resample_period);
    begin(&n, NODE_EVERY, 1000u);
    for (i = 0; i < 40u; i++) { /* every 7 ms: about one grid frame for three */
        const uint64_t time = 500000u + 7000u * i;
        int restarted = 0;
        CHECK(node_offer_iq(&n, iq, 5, 0, i % 2 == 0, 0, time) == NODE_QUEUED);
        CHECK(node_work(&n));
        frame[0] = 17.0f;
        frame[1] = (float)(i % 2 * 13u);
        CHECK(aether_resample_push(&alone->grid, frame, time, &restarted) == AETHER_OK);
        while (aether_resample_due(&alone->grid) > 0) {
            CHECK(aether_resample_take(&alone->grid, frame) == AETHER_OK);
            CHECK(aether_stream_push(&alone->stream, frame) == AETHER_OK);
            due++;
        }
    }
    CHECK(due > 10 && due < 20);
    CHECK_EQUAL(due, n.counts.pushed);
    CHECK_EQUAL(40, n.counts.frames);
    CHECK(memcmp(aether_stream_logits(&n.classifier->stream), aether_stream_logits(&alone->stream), 12) == 0);
    i = n.counts.restarts;
    CHECK(node_offer_iq(&n, iq, 5, 0, 0, 0, 500000u + 7000u * 40u + 1000001u) == NODE_QUEUED && node_work(&n)); /* too long a gap */
    CHECK_EQUAL(i + 1u, n.counts.restarts);
    CHECK(n.classifier->stream.length <= 1);
    CHECK(node_offer_iq(&n, iq, 5, 0, 0, 0, 3) == NODE_QUEUED && node_work(&n)); /* the clock goes back */
    CHECK_EQUAL(i + 2u, n.counts.restarts);
    CHECK(node_offer_iq(&n, wrong, 4, 0, 0, 0, 4) == NODE_WRONG_SHAPE);
    CHECK_EQUAL(1, n.counts.wrong_shape);
    CHECK(!node_work(&n));
    CHECK(node_offer_iq(&n, iq, 5, 0, 0, 0, UINT64_MAX) == NODE_QUEUED && node_work(&n)); /* invalid time: rejected, not fed */
    CHECK_EQUAL(1, n.counts.rejected);
    CHECK(n.counts.rejection == AETHER_E_ARGUMENT);
    node_classifier_reset(n.classifier);
    CHECK(aether_stream_logits(&n.classifier->stream) == NULL);
}

static void clock_that_jumps(void) {
    static unsigned char packet[NODE_CLASS_BYTES];
    static const uint64_t times[] = {0, 1000, 999, 2000, 5000000, 5000001, 40, 1040, 1041, UINT64_MAX, 7, 1007};
    const float frame[2] = {0.5f, 0.25f};
    node n;
    uint32_t packets = 0;
    size_t i;
    begin(&n, NODE_PLAIN, 1000u);
    for (i = 0; i < sizeof times / sizeof times[0]; i++) {
        CHECK(node_offer(&n, frame, 2, times[i]) == NODE_QUEUED && node_work(&n));
        packets += (uint32_t)node_classify(&n, times[i], packet);
    }
    CHECK_EQUAL(6, packets); /* at 1000, 2000, 5000000, 1040, the end of time, 1007; after a jump back one period passes first */
    CHECK_EQUAL(3, n.cadence.jumps);
    CHECK_EQUAL(12, n.counts.pushed);
    CHECK_EQUAL(1000, node_wait(&n, 1007));
}

static void names_of_classes(void) {
    const node_classifier *c = open_blob(NODE_EVERY, AETHER_BINARY32, memory, sizeof memory);
    const char *name = node_classifier_class_name(c, 1);
    CHECK(name != NULL && memcmp(name, "moving \xc3\xa9", 10) == 0);
    CHECK(node_classifier_class_name(c, 0)[0] == 's');
    CHECK(node_classifier_class_name(c, 2)[0] == 0);
    CHECK(node_classifier_class_name(c, 3) == NULL);
    CHECK(node_classifier_class_name(open_blob(NODE_PLAIN, AETHER_BINARY32, memory, sizeof memory), 0) == NULL);
}

int firmware_main(void) {
    check_test("predicts_what_the_reference_says", predicts_what_the_reference_says);
    check_test("rejects_with_a_code_and_a_name", rejects_with_a_code_and_a_name);
    check_test("one_packet_a_period", one_packet_a_period);
    check_test("bad_frames_cost_only_themselves", bad_frames_cost_only_themselves);
    check_test("overflowing_queue_keeps_the_oldest", overflowing_queue_keeps_the_oldest);
    check_test("wrong_shapes_are_counted", wrong_shapes_are_counted);
    check_test("frames_go_on_the_blobs_grid", frames_go_on_the_blobs_grid);
    check_test("clock_that_jumps", clock_that_jumps);
    check_test("names_of_classes", names_of_classes);
    return check_end();
}
