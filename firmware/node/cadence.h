/* When to classify. The caller passes the time in 64-bit microseconds (aether_clock extends a 32-bit counter). */
#ifndef NODE_CADENCE_H
#define NODE_CADENCE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One event per period. The first is due one period after the first call. When several periods have passed, one event is due, and
   the next follows a period later: there are no bursts. After the clock goes back, the next event is due one period later. */
typedef struct node_cadence {
    uint64_t period;   /* microseconds, at least 1 */
    uint64_t last;     /* the time of the last call */
    uint64_t next;     /* when the next event is due */
    uint32_t started;
    uint32_t skipped;  /* whole periods that passed without an event */
    uint32_t jumps;    /* how often the clock went back */
} node_cadence;

/* A period of 0 counts as 1. */
void node_cadence_init(node_cadence *cadence, uint64_t period);

/* Returns 1 when an event is due at `now`, and consumes it. */
int node_cadence_due(node_cadence *cadence, uint64_t now);

/* Microseconds from `now` until the next event, at most one period. */
uint64_t node_cadence_wait(const node_cadence *cadence, uint64_t now);

#ifdef __cplusplus
}
#endif
#endif
