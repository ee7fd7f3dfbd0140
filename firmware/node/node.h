/* A classifying node without its operating system: one task offers frames, another works on them and, once a period, has a packet to
   send. No call waits, allocates or asks for the time. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "cadence.h"
#include "classifier.h"
#include "packets.h"
#include "queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Written by the working side, except `other_shape`. */
typedef struct node_counts {
    uint32_t frames;          /* taken from the queue */
    uint32_t pushed;          /* frames the stream took: on a grid more or fewer than `frames` */
    uint32_t rejected;         /* frames with NaN or infinity, or whose numbers overflow: the stream goes on without them */
    aether_status rejection;    /* why the last one was */
    uint32_t restarts;        /* gaps after which the stream began anew */
    uint32_t classifications; /* packets made */
    uint32_t idle;            /* periods without a new frame: no packet */
    uint32_t other_shape;     /* frames of another number of features, or of pairs; the offering side writes it */
} node_counts;

/* Fields are private, but for the counts. */
typedef struct node {
    node_classifier *classifier;
    node_queue queue;
    node_cadence cadence;
    uint32_t sequence;
    uint8_t id;
    int fresh; /* the prediction of the stream has not been sent */
    node_counts counts;
} node;

/* Bytes of memory for the queue of a node with this model; SIZE_MAX when that cannot be expressed. */
size_t node_memory(const node_classifier *classifier);

/* A node on an open classifier, one packet every `period` microseconds. memory: node_memory bytes, 8-byte aligned. Classifier and memory are
   the caller's and outlive it. AETHER_E_SHAPE: more classes than a packet can name (256). */
aether_status node_init(node *n, node_classifier *classifier, uint8_t id, uint64_t period, void *memory);

/* Offering side. What happened to a frame. */
typedef enum node_offered { NODE_DROPPED = 0, NODE_QUEUED = 1, NODE_OTHER_SHAPE = 2 } node_offered;

/* A frame [values] that came at `time` (microseconds that do not wrap; only a model with a timing section looks at them). */
node_offered node_offer(node *n, const float *frame, size_t values, uint64_t time);

/* Raw pairs, as node_csi_frame takes them. */
node_offered node_offer_iq(node *n, const int8_t *iq, size_t n_pairs, int first_invalid, uint64_t time);

/* Working side. Takes one frame from the queue through the model; 0 when there was none. */
int node_work(node *n);

/* 1 when a period is over and there is a new prediction: `packet` [NODE_CLASS_BYTES] is then written, with `now` (microseconds) in it. */
int node_classify(node *n, uint64_t now, unsigned char *packet);

/* Microseconds from `now` until node_classify has something to do, at most a period. */
uint64_t node_wait(const node *n, uint64_t now);

#ifdef __cplusplus
}
#endif
#endif
