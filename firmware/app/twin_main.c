/* Bare metal: a node whose frames are made here, and what it sends as lines of hexadecimal digits, for a twin on a computer. In place of the
   golden vectors stand six words and a blob: frames, seed, a fault, the frame at which it strikes, the byte that it strikes, bytes of the blob. */
#include <string.h>

#include "csi_input.h"
#include "node.h"
#include "parity.h"
#include "platform.h"

#define WORDS 6u
#define CONTEXT 64u
#define MOST_PAIRS 306u
#define FIRST_US 5000000u
#define PERIOD_US 250000u
#define PAUSE_EVERY 1000u /* frames: after as many none comes for two seconds, and grids begin anew */
#define PAUSE_US 2000000u

enum { NOTHING, WEIGHT, FRAME, PREDICTION, MEMORY };

static char line[2u * NODE_RECEIPT_BYTES + 8u];

static void send(const parity_io *io, const unsigned char *bytes, size_t n) {
    static const char digits[] = "0123456789abcdef", kind[] = "sent ";
    size_t length = sizeof kind - 1u, i;
    memcpy(line, kind, length);
    for (i = 0; i < n; i++) {
        line[length++] = digits[bytes[i] >> 4];
        line[length++] = digits[bytes[i] & 15u];
    }
    line[length++] = '\n';
    io->out->write(io->out->user, line, length);
}

static uint32_t mixed(uint32_t x) {
    x = (x ^ x >> 16) * 0x85EBCA6Bu;
    x = (x ^ x >> 13) * 0xC2B2AE35u;
    return x ^ x >> 16;
}

static void make_pairs(int8_t *iq, size_t pairs, uint32_t seed, uint32_t t) {
    size_t i;
    for (i = 0; i < 2 * pairs; i++) {
        const uint32_t drawn = mixed(seed + t * 0x9E3779B9u + (uint32_t)i * 0x7FEB352Du) & 0xFFu;
        iq[i] = (int8_t)((int)drawn - 128);
    }
}

static uint64_t time_of(uint32_t seed, uint32_t t) {
    return FIRST_US + 10000u * (uint64_t)t + mixed(seed ^ t * 0x85EBCA6Bu) % 5000u + (uint64_t)(t / PAUSE_EVERY) * PAUSE_US;
}

/* Flips a bit of what the model reads, or of its prediction. */
static void strike(uint32_t fault, uint32_t place, unsigned char *blob, node_classifier *classifier, int8_t *iq) {
    if (fault == WEIGHT) {
        blob[place] ^= 0x10u;
    } else if (fault == FRAME) {
        iq[place] ^= 4;
    } else if (fault == MEMORY) {
        classifier->stream.memory[place] ^= 0x20u;
    } else if (fault == PREDICTION && aether_stream_logits(&classifier->stream) != NULL) {
        ((unsigned char *)(uintptr_t)aether_stream_logits(&classifier->stream))[place] ^= 1u;
    }
}

/* What a task does until nothing is left to do. flips: a byte of the logits is flipped before it goes out. */
static void serve(const parity_io *io, node *n, uint64_t now, int flips, uint32_t place) {
    unsigned char packet[NODE_CLASS_BYTES];
    int more = 1;
    while (more) {
        size_t bytes;
        more = node_work(n);
        if (flips) { /* the second time restores it */
            strike(PREDICTION, place, NULL, n->classifier, NULL);
        }
        if (node_classify(n, now, packet)) {
            send(io, packet, sizeof packet);
        }
        bytes = node_receipts_due(n->receipts, now);
        if (bytes > 0) {
            send(io, n->receipts->packet, bytes);
        }
    }
}

int firmware_main(void) {
    static node n;
    static node_receipts receipts;
    static int8_t iq[2u * MOST_PAIRS];
    const parity_io *io = bare_io();
    const uint32_t frames = io->vectors[0], seed = io->vectors[1], fault = io->vectors[2], at = io->vectors[3], place = io->vectors[4];
    const size_t bytes = io->vectors[5];
    unsigned char *blob = io->scratch, *memory = blob + (bytes + 15u) / 8u * 8u;
    size_t space = io->scratch_bytes - (size_t)(memory - blob), queue, pairs, head;
    const node_wanted wanted = {0, 0, CONTEXT, AETHER_BINARY16, 1};
    node_classifier *classifier = NULL;
    uint32_t t;
    memcpy(blob, io->vectors + WORDS, bytes); /* to be struck */
    if (node_classifier_size(blob, bytes, &wanted, &head, NULL) != AETHER_OK || head > space ||
        node_classifier_init(blob, bytes, &wanted, memory, space, &classifier, NULL) != AETHER_OK) {
        return 2;
    }
    memory += (head + 7u) / 8u * 8u;
    queue = node_queue_memory(classifier);
    pairs = node_csi_pairs(&classifier->model);
    if (queue > space - head - 8u || pairs > MOST_PAIRS || node_init(&n, classifier, 9, PERIOD_US, memory) != AETHER_OK) {
        return 3;
    }
    node_receipts_init(&receipts, classifier, 9);
    n.receipts = &receipts;
    for (t = 0; t < frames; t++) {
        const uint64_t time = time_of(seed, t);
        make_pairs(iq, pairs, seed, t);
        if (t == at && fault != PREDICTION) {
            strike(fault, place, blob, classifier, iq);
        }
        (void)node_offer_iq(&n, iq, pairs, 0, 0, t, time);
        serve(io, &n, time, t == at && fault == PREDICTION, place);
    }
    serve(io, &n, time_of(seed, frames) + PAUSE_US, 0, 0);
    report_begin(io->out, "twin");
    report_number(io->out, "frames", frames);
    report_number(io->out, "pairs", pairs);
    report_end(io->out);
    return 0;
}
