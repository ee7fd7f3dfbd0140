#include "receipt.h"

#include <string.h>

#include "aether/crc32.h"
#include "bytes.h"

#define CLASSIFIED 0x80000000u
#define NO_GRID UINT64_MAX

/* Where fields of the packet are. */
enum { ENTRIES = 0x06, SEQUENCE = 0x08, BASE = 0x20, POSITION = 0x28, GRID = 0x30, BEFORE = 0x38, AFTER = 0x3C };

static uint32_t bits(float x) {
    uint32_t word;
    memcpy(&word, &x, sizeof word);
    return word;
}

void node_receipts_init(node_receipts *r, const node_classifier *classifier, uint8_t id) {
    const aether_model *model = &classifier->model;
    const aether_stream *stream = &classifier->stream;
    memset(r, 0, sizeof *r);
    r->classifier = classifier;
    node_cadence_init(&r->cadence, NODE_RECEIPT_PERIOD);
    node_put_u32(r->packet, NODE_MAGIC_RECEIPT);
    r->packet[0x04] = 1;
    r->packet[0x05] = id;
    memcpy(r->packet + 0x0C, model->blob + model->blob_bytes - 4, 4);
    node_put_u32(r->packet + 0x10, (uint32_t)model->blob_bytes);
    node_put_u32(r->packet + 0x14, (uint32_t)stream->context);
    node_put_u32(r->packet + 0x18, stream->dtype == AETHER_BINARY16);
}

void node_receipts_note(node_receipts *r, uint32_t place, uint32_t sequence, const int8_t *iq, size_t n_pairs, int first_invalid) {
    static const unsigned char zeros[4];
    struct node_raw_frame *noted = &r->noted[place % NODE_QUEUE_FRAMES];
    const size_t bytes = 2 * n_pairs;
    const size_t invalid = first_invalid ? (bytes < sizeof zeros ? bytes : sizeof zeros) : 0;
    noted->sequence = sequence;
    noted->crc = aether_crc32(aether_crc32(0, zeros, invalid), iq + invalid, bytes - invalid);
}

static void digest_word(node_receipts *r, uint32_t word) {
    unsigned char bytes[4];
    node_put_u32(bytes, word);
    r->digest = aether_crc32(r->digest, bytes, sizeof bytes);
}

/* Words in the order of the digest, which is little-endian, as are all chips that this runs on and the blob itself. */
static void digest_logits(node_receipts *r) {
    const float *logits = aether_stream_logits(&r->classifier->stream);
    r->digest = aether_crc32(r->digest, logits, r->classifier->model.header.n_classes * sizeof *logits);
}

static void add_entry(node_receipts *r, uint32_t first, uint32_t second) {
    unsigned char *at = r->packet + NODE_RECEIPT_HEADER_BYTES + 8u * r->entries++;
    node_put_u32(at, first);
    node_put_u32(at + 4, second);
}

/* Space for classifications that come between the frames of a grid, after the last frame. */
static int full(const node_receipts *r) {
    return r->entries + 8u >= NODE_RECEIPT_ENTRIES;
}

/* Gives up entries that nobody took in time, or whose base is too far away. */
static void make_space(node_receipts *r, uint64_t time) {
    if (r->entries >= NODE_RECEIPT_ENTRIES || (r->entries > 0 && (time < r->base || time - r->base >= CLASSIFIED))) {
        r->entries = 0;
        r->sequence++;
    }
}

static void begin(node_receipts *r, uint64_t time) {
    const aether_resampler *grid = &r->classifier->grid;
    make_space(r, time);
    r->time = time;
    if (r->entries == 0) {
        r->base = time;
        node_put_u64(r->packet + BASE, time);
        node_put_u64(r->packet + POSITION, r->classifier->stream.length);
        node_put_u64(r->packet + GRID, grid->started ? aether_resample_time(grid) : NO_GRID);
        node_put_u32(r->packet + BEFORE, r->digest);
    }
}

void node_receipts_take(node_receipts *r, uint64_t time) {
    begin(r, time);
}

void node_receipts_took(node_receipts *r, uint32_t place, aether_status status) {
    const struct node_raw_frame *noted = &r->noted[place % NODE_QUEUE_FRAMES];
    add_entry(r, noted->sequence, (uint32_t)(r->time - r->base));
    r->since_frame = 0;
    digest_word(r, noted->sequence);
    digest_word(r, (uint32_t)(r->time & 0xFFFFFFFFu));
    digest_word(r, (uint32_t)(r->time >> 32));
    digest_word(r, noted->crc);
    digest_word(r, (uint32_t)status);
    if (status == AETHER_OK && r->classifier->model.resample_period == 0) {
        digest_logits(r);
    }
}

void node_receipts_step(node_receipts *r, aether_status status) {
    r->since_frame++;
    digest_word(r, (uint32_t)status);
    if (status == AETHER_OK) {
        digest_logits(r);
    }
}

void node_receipts_classified(node_receipts *r, uint32_t sequence, const node_prediction *prediction) {
    begin(r, r->time);
    add_entry(r, sequence, CLASSIFIED | r->since_frame);
    digest_word(r, sequence);
    digest_word(r, prediction->argmax);
    digest_word(r, bits(prediction->top));
    digest_word(r, bits(prediction->margin));
}

size_t node_receipts_due(node_receipts *r, uint64_t now) {
    const size_t bytes = NODE_RECEIPT_HEADER_BYTES + 8u * r->entries;
    r->second |= node_cadence_due(&r->cadence, now);
    if (r->entries == 0 || node_classifier_due(r->classifier) > 0 || !(r->second || full(r))) {
        return 0;
    }
    r->second = 0;
    node_put_u16(r->packet + ENTRIES, r->entries);
    node_put_u32(r->packet + SEQUENCE, r->sequence++);
    node_put_u32(r->packet + AFTER, r->digest);
    node_put_u32(r->packet + bytes, aether_crc32(0, r->packet, bytes));
    r->entries = 0;
    return bytes + 4u;
}
