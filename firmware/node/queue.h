/* A lock-free queue of frames from one sender to one receiver (two tasks, two cores, or one). The sender never waits: when the queue
   is full, its newest frame is dropped and counted, so that the queued frames stay in order and without a gap. Exactly one task
   sends and exactly one receives; several senders must hold a lock around put or reserve/commit. */
#ifndef NODE_QUEUE_H
#define NODE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NODE_QUEUE_FRAMES 32u /* a power of two: the counters wrap */

typedef struct node_queue {
    unsigned char *memory;
    size_t values;    /* floats per frame */
    size_t stride;    /* bytes per entry: time, then the frame */
    uint32_t put;     /* frames ever put; the sender writes it */
    uint32_t taken;   /* frames ever taken; the receiver writes it */
    uint32_t dropped; /* the sender writes it */
    uint32_t longest; /* most frames that ever waited; the sender writes it */
} node_queue;

/* Bytes of memory for frames of `values` floats; SIZE_MAX when the size overflows. */
size_t node_queue_size(size_t values);

/* Initialises an empty queue in `memory` (node_queue_size bytes, 8-byte aligned, owned by the caller, must outlive the queue). */
void node_queue_init(node_queue *queue, size_t values, void *memory);

/* Sender: returns the place of the next frame, to be filled and then committed. When the queue is full, counts a drop and returns
   NULL. A frame that is not committed is not queued. */
float *node_queue_reserve(node_queue *queue);
void node_queue_commit(node_queue *queue, uint64_t time);

/* Sender: reserve, copy and commit in one call. 1: queued, 0: dropped. */
int node_queue_put(node_queue *queue, const float *frame, uint64_t time);

/* Receiver: returns the oldest frame, valid until it is released; NULL when the queue is empty. time may be NULL. */
const float *node_queue_front(const node_queue *queue, uint64_t *time);
void node_queue_release(node_queue *queue);

/* Either side, at any time. */
uint32_t node_queue_waiting(const node_queue *queue);
uint32_t node_queue_dropped(const node_queue *queue);

#ifdef __cplusplus
}
#endif
#endif
