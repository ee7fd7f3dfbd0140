/* Two counters, each written by one side. A side acquires the other's counter and releases its own. */
#include "queue.h"

#include <string.h>

#include "counter.h"

#define TIME_BYTES 8u

static uint32_t acquire(const uint32_t *counter) {
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

static void release(uint32_t *counter, uint32_t value) {
    __atomic_store_n(counter, value, __ATOMIC_RELEASE);
}

static unsigned char *entry(const node_queue *queue, uint32_t index) {
    return queue->memory + (size_t)(index % NODE_QUEUE_FRAMES) * queue->stride;
}

size_t node_queue_size(size_t values) {
    if (values > (SIZE_MAX / NODE_QUEUE_FRAMES - TIME_BYTES - 4u) / sizeof(float)) {
        return SIZE_MAX;
    }
    return NODE_QUEUE_FRAMES * ((TIME_BYTES + values * sizeof(float) + 7u) & ~(size_t)7u);
}

void node_queue_init(node_queue *queue, size_t values, void *memory) {
    queue->memory = memory;
    queue->values = values;
    queue->stride = node_queue_size(values) / NODE_QUEUE_FRAMES;
    queue->put = 0;
    queue->taken = 0;
    queue->dropped = 0;
    queue->longest = 0;
}

float *node_queue_reserve(node_queue *queue) {
    if (queue->put - acquire(&queue->taken) >= NODE_QUEUE_FRAMES) {
        release(&queue->dropped, queue->dropped + 1u);
        return NULL;
    }
    return (float *)(void *)(entry(queue, queue->put) + TIME_BYTES);
}

void node_queue_commit(node_queue *queue, uint64_t time) {
    uint32_t waiting;
    memcpy(entry(queue, queue->put), &time, sizeof time);
    release(&queue->put, queue->put + 1u);
    waiting = node_queue_waiting(queue);
    if (waiting > queue->longest) {
        node_counter_set(&queue->longest, waiting);
    }
}

int node_queue_put(node_queue *queue, const float *frame, uint64_t time) {
    float *reserved = node_queue_reserve(queue);
    if (reserved == NULL) {
        return 0;
    }
    memcpy(reserved, frame, queue->values * sizeof(float));
    node_queue_commit(queue, time);
    return 1;
}

const float *node_queue_front(const node_queue *queue, uint64_t *time) {
    const unsigned char *oldest;
    if (acquire(&queue->put) == queue->taken) {
        return NULL;
    }
    oldest = entry(queue, queue->taken);
    if (time != NULL) {
        memcpy(time, oldest, sizeof *time);
    }
    return (const float *)(const void *)(oldest + TIME_BYTES);
}

void node_queue_release(node_queue *queue) {
    release(&queue->taken, queue->taken + 1u);
}

uint32_t node_queue_waiting(const node_queue *queue) {
    const uint32_t taken = acquire(&queue->taken); /* read first: frames put meanwhile can only add to the difference */
    return acquire(&queue->put) - taken;
}

uint32_t node_queue_dropped(const node_queue *queue) {
    return acquire(&queue->dropped);
}
