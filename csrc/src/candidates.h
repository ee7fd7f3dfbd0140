/* Candidate lists of one query: the row of the pattern, and pointers to its key and value rows, in scratch memory. */
#ifndef AETHER_CANDIDATES_H
#define AETHER_CANDIDATES_H

#include "aether/head.h"
#include "sizes.h"

typedef struct aether_candidates {
    aether_row row;
    const void **keys;
    const void **values;
    float *sizes; /* tokens that each mean stands for; NULL under the reference pattern, where a mean weighs as one */
} aether_candidates;

/* Most tokens and blocks a query of `tokens` can see; SIZE_MAX when that cannot be expressed. */
size_t aether_candidates_max(const aether_config *config, uint64_t tokens);

/* Reserves the lists for a machine whose pointers have pointer_bytes bytes. */
void aether_candidates_take(aether_bytes *bytes, const aether_config *config, uint64_t tokens, size_t pointer_bytes);

/* Lays the lists into scratch (aligned to 8 inside; 8 bytes more than taken) and returns what follows them. */
void *aether_candidates_place(aether_candidates *list, const aether_config *config, uint64_t tokens, void *scratch);

/* Fills the sizes of a row's means. */
void aether_candidates_weigh(const aether_config *config, const aether_row *row, float *sizes);

/* Number of visible tokens, and the j-th of them in ascending order. */
static inline size_t aether_candidates_tokens(const aether_candidates *list) {
    return list->row.n_below + (size_t)(list->row.hi - list->row.lo + 1) + list->row.n_above;
}

static inline uint64_t aether_candidates_token(const aether_candidates *list, size_t j) {
    const size_t run = (size_t)(list->row.hi - list->row.lo + 1);
    if (j < list->row.n_below) {
        return list->row.singles[j];
    }
    j -= list->row.n_below;
    return j < run ? list->row.lo + j : list->row.singles[list->row.n_below + j - run];
}

#endif
