/* When to classify. Nothing here asks for the time: it is told, in microseconds of 64 bits (aether_clock makes them of 32). */
#ifndef NODE_CADENCE_H
#define NODE_CADENCE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One event a period. The first is due one period after the first call. When several periods have passed there is one event, and
   the next is a period later: no bursts. A clock that goes back, even by years, makes the next event due one period from there. */
typedef struct node_cadence {
    uint64_t period;   /* microseconds, at least 1 */
    uint64_t last;     /* the time of the last call */
    uint64_t next;     /* when the next event is due */
    uint32_t started;
    uint32_t skipped;  /* whole periods that went by without an event of their own */
    uint32_t jumps;    /* times the clock went back */
} node_cadence;

/* period 0 counts as 1. */
void node_cadence_init(node_cadence *cadence, uint64_t period);

/* 1 when an event is due at `now`, which is then taken. */
int node_cadence_due(node_cadence *cadence, uint64_t now);

/* Microseconds from `now` until the next event, at most a period: how long there is nothing to do. */
uint64_t node_cadence_wait(const node_cadence *cadence, uint64_t now);

#ifdef __cplusplus
}
#endif
#endif
