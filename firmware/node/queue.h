/* Frames on their way from one sender to one receiver (two tasks, two cores, or one), without locks. The sender never waits: when
   the queue is full its newest frame is dropped and counted, so that what is already queued stays in order and without a hole
   in its middle. Exactly one task sends and exactly one receives; several senders need a lock of their own around put or
   room/commit. */
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
    size_t values;    /* floats a frame */
    size_t stride;    /* bytes an entry: time, then the frame */
    uint32_t put;     /* frames ever put; the sender writes it */
    uint32_t taken;   /* frames ever taken; the receiver writes it */
    uint32_t dropped; /* the sender writes it */
    uint32_t longest; /* most frames that ever waited; the sender writes it */
} node_queue;

/* Bytes of memory for frames of `values` floats; SIZE_MAX when that cannot be expressed. */
size_t node_queue_size(size_t values);

/* An empty queue in `memory` (node_queue_size bytes, 8-byte aligned, the caller's, must outlive it). */
void node_queue_init(node_queue *queue, size_t values, void *memory);

/* Sender: where the next frame goes, to be filled and then committed; NULL, and a drop counted, when the queue is full. Without a
   commit nothing has happened. */
float *node_queue_room(node_queue *queue);
void node_queue_commit(node_queue *queue, uint64_t time);

/* Sender: room, copy and commit in one. 1: queued, 0: dropped. */
int node_queue_put(node_queue *queue, const float *frame, uint64_t time);

/* Receiver: the oldest frame, in place until it is released; NULL when there is none. time may be NULL. */
const float *node_queue_front(const node_queue *queue, uint64_t *time);
void node_queue_release(node_queue *queue);

/* Either side, at any time. */
uint32_t node_queue_waiting(const node_queue *queue);
uint32_t node_queue_dropped(const node_queue *queue);

#ifdef __cplusplus
}
#endif
#endif
