/* The trial of a blob by the task that runs it (docs/spec/slots.md, "The trial"). One task owns it. */
#ifndef NODE_TRIAL_H
#define NODE_TRIAL_H

#include "node.h"
#include "slots.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NODE_TRIAL_FRAMES NODE_QUEUE_FRAMES /* frames that a model must process in time, without a drop */

/* Fields are private. */
typedef struct node_trial {
    const node_flash *flash; /* NULL: nothing is on trial */
    unsigned slot;
    int ran;                 /* the check passed on the task's stack */
    size_t trial_at;         /* the flag that the first frame sets; 0: none */
    uint32_t frames, classifications, dropped, late; /* of the node, since when the trial judges */
} node_trial;

/* Begins the trial of the slot that node_slots_choose returned. A confirmed slot needs none. */
void node_trial_begin(node_trial *trial, const node_flash *flash, unsigned slot, const node_slot_verdict *verdict);

/* 1 while the blob is on trial. */
int node_trial_open(const node_trial *trial);

/* The task has repeated the check on its own stack, with the correct bits: sets the flag *ran*. Without it no trial is passed. */
void node_trial_ran(node_trial *trial);

/* Call when the node is about to process frames. With the first one that was offered, whatever its shape, the trial counts. Returns 0 when
   the flag cannot be written; the next call tries again. */
int node_trial_count(node_trial *trial, const node *n);

/* Call when the queue is empty. late: steps so far (node_work) that took more than a period. Since the trial began, or since the last
   dropped frame or late step: NODE_TRIAL_FRAMES frames and a prediction. Then confirms the slot, ends the trial, and returns 1; -1 when the slot cannot be
   written: the trial stays open, and the next call tries again. */
int node_trial_passed(node_trial *trial, const node *n, uint32_t late);

#ifdef __cplusplus
}
#endif
#endif
