/* Forward over whole sequences (aether/attention.h): the second table of a variant. Only attention.c uses it, so that a program that
   streams does not link it. */
#ifndef AETHER_SEQUENCE_H
#define AETHER_SEQUENCE_H

#include "aether/attention.h"

typedef struct aether_sequence_kernels {
    /* Bytes of memory for `prepare`, any alignment. SIZE_MAX: more than can be expressed. */
    size_t (*plan_bytes)(const aether_head *head, size_t tokens);

    /* Makes the keys and values of a plan ready for forward_rows; `memory` becomes plan->variant or holds it. */
    void (*prepare)(aether_plan *plan, void *memory);

    /* Bytes of scratch for forward_rows, 4-byte aligned. SIZE_MAX: more than can be expressed. */
    size_t (*rows_bytes)(const aether_head *head, size_t tokens);

    /* Computes rows [first, first+count); 1 when all of them are finite. Several threads may use one plan, each with its own scratch. */
    int (*forward_rows)(const aether_plan *plan, const float *q, size_t first, size_t count, float *out, void *scratch);
} aether_sequence_kernels;

/* The second table of the head's variant. Never NULL. */
const aether_sequence_kernels *aether_sequence_kernels_of(const aether_head *head);

#endif
