/* A classifying node, independent of an operating system. One task offers frames; another processes them and, once per period, gets a
   packet to send. No call waits, allocates or reads a clock. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "cadence.h"
#include "calibration.h"
#include "classifier.h"
#include "packets.h"
#include "queue.h"
#include "receipt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The processing side writes all counts but `wrong_shape`. */
typedef struct node_counts {
    uint32_t frames;          /* taken from the queue */
    uint32_t pushed;          /* frames that the stream took; with resampling more or fewer than `frames` */
    uint32_t rejected;        /* frames with NaN or infinity, or that overflow; the stream keeps its state */
    aether_status rejection;  /* why the last of them was rejected */
    uint32_t restarts;        /* gaps after which the stream restarted */
    uint32_t classifications; /* packets written */
    uint32_t idle;            /* periods without a new frame, and so without a packet */
    uint32_t wrong_shape;     /* frames with a wrong number of features or pairs, or without a wanted subcarrier; the offering side writes it */
} node_counts;

/* Fields are private, except `counts`, `calibration` and `receipts`. */
typedef struct node {
    node_classifier *classifier;
    node_queue queue;
    node_cadence cadence;
    uint32_t sequence;
    uint8_t id;
    int fresh; /* the newest prediction has not been sent */
    node_calibration calibration;
    node_counts counts;
    node_receipts *receipts; /* the caller's, initialised for this classifier; NULL: none. Set it before the first frame. */
} node;

/* Bytes of memory for the queue of a node with this model; SIZE_MAX when the size overflows. */
size_t node_queue_memory(const node_classifier *classifier);

/* Initialises a node on an open classifier, with one packet every `period` microseconds. memory: node_queue_memory bytes, 8-byte aligned. The
   caller owns classifier and memory, which must outlive the node. AETHER_E_SHAPE: more classes than a packet can name (256). */
aether_status node_init(node *n, node_classifier *classifier, uint8_t id, uint64_t period, void *memory);

/* Offering side: the outcome for one frame. */
typedef enum node_offered { NODE_DROPPED = 0, NODE_QUEUED = 1, NODE_WRONG_SHAPE = 2 } node_offered;

/* Offers a frame [values] that arrived at `time` (microseconds that do not wrap; only a model with a timing section uses them). */
node_offered node_offer(node *n, const float *frame, size_t values, uint64_t time);

/* Offers raw pairs, as node_csi_frame takes them. number: of the raw frame that a host gets of them, for receipts. */
node_offered node_offer_iq(node *n, const int8_t *iq, size_t n_pairs, uint16_t layout, int first_invalid, uint32_t number, uint64_t time);

/* Processing side: one step, which pushes at most one frame to the model: the next frame of the grid while one is due, else that of the
   oldest queued frame. Returns 0 when there was nothing to do. */
int node_work(node *n);

/* Processing side: begins the measurement of a quiet room at `now`, with an empty stream. The codes of node_calibration_begin. */
aether_status node_calibrate(node *n, uint64_t now, aether_detail *detail);

/* Returns 1 when a period is over and there is a new prediction, and writes `packet` [NODE_CLASS_BYTES] with the time `now` (microseconds). */
int node_classify(node *n, uint64_t now, unsigned char *packet);

/* Microseconds from `now` until node_classify has something to do, at most one period. */
uint64_t node_wait(const node *n, uint64_t now);

#ifdef __cplusplus
}
#endif
#endif
