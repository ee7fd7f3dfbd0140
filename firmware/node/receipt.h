/* Receipts: once a second, which frames the model took and a digest of them and of every bit of the logits (docs/spec/receipts.md). One task
   processes, as in node.h; only node_receipts_note is of the offering side. No call waits or allocates. */
#ifndef NODE_RECEIPT_H
#define NODE_RECEIPT_H

#include "cadence.h"
#include "classifier.h"
#include "packets.h"
#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NODE_MAGIC_RECEIPT 0xC5110017u
#define NODE_RECEIPT_ENTRIES 160u
#define NODE_RECEIPT_HEADER_BYTES 64u
#define NODE_RECEIPT_BYTES (NODE_RECEIPT_HEADER_BYTES + 8u * NODE_RECEIPT_ENTRIES + 4u) /* at most */
#define NODE_RECEIPT_PERIOD 1000000u /* microseconds */

/* Fields are private. */
typedef struct node_receipts {
    const node_classifier *classifier;
    node_cadence cadence;
    uint32_t sequence, digest, entries, since_frame;
    int second; /* one is over */
    uint64_t base, time; /* of the first frame, and of the newest */
    struct node_raw_frame {
        uint32_t sequence, crc;
    } noted[NODE_QUEUE_FRAMES]; /* of the frames that wait, by their place in the queue */
    unsigned char packet[NODE_RECEIPT_BYTES];
} node_receipts;

/* Before the first frame of an open classifier, which must outlive the receipts. */
void node_receipts_init(node_receipts *receipts, const node_classifier *classifier, uint8_t id);

/* Offering side, before the frame is committed at this place of the queue: the number of its raw frame and the pairs that went out with it. */
void node_receipts_note(node_receipts *receipts, uint32_t place, uint32_t sequence, const int8_t *iq, size_t n_pairs, int first_invalid);

/* Before the classifier takes a frame, and after it took the one of this place of the queue, with the status. */
void node_receipts_take(node_receipts *receipts, uint64_t time);
void node_receipts_took(node_receipts *receipts, uint32_t place, aether_status status);

/* After a frame of the grid was computed and pushed; after a classification packet was made. */
void node_receipts_step(node_receipts *receipts, aether_status status);
void node_receipts_classified(node_receipts *receipts, uint32_t sequence, const node_prediction *prediction);

/* Returns the bytes of a receipt in receipts->packet when one is due at `now` (microseconds), else 0; a receipt is due once a second where
   there are frames, and when it is full. Call it after each step of the node: of a receipt that was not taken before it overflows, the entries are
   lost, which shows as a gap in the sequence. */
size_t node_receipts_due(node_receipts *receipts, uint64_t now);

#ifdef __cplusplus
}
#endif
#endif
