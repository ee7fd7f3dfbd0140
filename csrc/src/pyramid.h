/* The pyramid of docs/spec/pattern.md: the tokens around a query one by one, and all whole blocks farther away in runs. A run is 2^level
   blocks long, begins at a multiple of its length, and is about a quarter as long as it is far away. */
#ifndef AETHER_PYRAMID_H
#define AETHER_PYRAMID_H

#include "aether/head.h"

#include "bits.h"

/* Where AETHER_REFERENCE_ONLY is defined, for chips whose models have the reference pattern, nothing of the pyramid is linked. */
static inline int aether_is_pyramid(const aether_config *config) {
#if defined(AETHER_REFERENCE_ONLY)
    (void)config;
    return 0;
#else
    return config->pattern == AETHER_PYRAMID && config->backend == AETHER_SPARSE;
#endif
}

#define AETHER_PYRAMID_WINDOW_MAX ((uint64_t)1 << 20)
#define AETHER_PYRAMID_BLOCK_MAX ((uint64_t)1 << 16)

/* Whole blocks before the window of query i. A block has a mean, and its tokens are no longer entries, once it is one of them. */
uint64_t aether_pyramid_before(const aether_config *config, uint64_t i);

/* 1 when query i is the first with a block more before its window. */
int aether_pyramid_leaves(const aether_config *config, uint64_t i);

/* What query i of `tokens` sees; aether_pattern_row for this pattern. blocks NULL: runs are only counted. */
void aether_pyramid_row(const aether_config *config, uint64_t tokens, uint64_t i, aether_row *row);

/* The runs on one side of a window, the nearest first. */
typedef struct aether_pyramid_walk {
    uint64_t begin; /* what aether_pyramid_next found: the run's first block, and its level */
    unsigned level;
    int back;
    uint64_t at, end, apart, longest;
} aether_pyramid_walk;

/* Begins with the first block after the runs (back 1), or from their first block up to `end` (back 0). */
void aether_pyramid_begin(const aether_config *config, uint64_t edge, uint64_t end, int back, aether_pyramid_walk *walk);

/* 0 when there are no more runs. */
static inline int aether_pyramid_next(aether_pyramid_walk *walk) {
    const uint64_t at = walk->at, left = walk->back ? at - walk->end : walk->end - at;
    uint64_t length = 1;
    unsigned level = 0;
    while (walk->longest <= walk->apart / 4) {
        walk->longest *= 2;
    }
    for (; length < walk->longest && (at & length) == 0 && (walk->back || 2 * length <= left); length *= 2) {
        level++;
    }
    if (left < length) { /* none, or it begins before the history */
        return 0;
    }
    walk->begin = walk->back ? at - length : at;
    walk->at = walk->back ? at - length : at + length;
    walk->apart += length;
    walk->level = level;
    return 1;
}

/* The most runs that a query sees in `blocks` blocks. */
size_t aether_pyramid_max_runs(const aether_config *config, uint64_t blocks);

/* aether_pattern_edges for this pattern. */
uint64_t aether_pyramid_edges(const aether_config *config, uint64_t tokens);

/* How many levels of means a sequence of `blocks` whole blocks has under the history of `config`. */
unsigned aether_pyramid_levels(const aether_config *config, uint64_t blocks);

/* A query sees a run of this level, a left or a right half of the next, while from <= d < to, d being the blocks between them. */
void aether_pyramid_span(const aether_config *config, unsigned level, int left, uint64_t *from, uint64_t *to);

/* 1 when a run of this level appears: the first query with `before` blocks before its window sees it, the one before saw its halves,
   or its last block as tokens. */
int aether_pyramid_appears(const aether_config *config, unsigned level, uint64_t before, uint64_t *index);

/* 1 when runs of this level appear with their last block, so that no query sees their right half. */
int aether_pyramid_at_once(const aether_config *config, unsigned level);

/* Rows of the ring in which a cache keeps the means of one level, run b of that level in row b % rows: as many as a query sees. At
   most 3. */
size_t aether_pyramid_ring(const aether_config *config, unsigned level);

/* 1 when run `index` of a level, which has appeared, is seen with `before` blocks before the window, or is needed for one that appears
   there with a block that is not among the `made` ones yet. */
int aether_pyramid_lives(const aether_config *config, unsigned level, uint64_t index, uint64_t made, uint64_t before);

/* The mean of 2^bits integers with this sum, rounded, a half to the even integer. */
static inline int32_t aether_pyramid_mean(int32_t sum, unsigned bits) {
    const int32_t whole = sum >> bits, half = (int32_t)((1u << bits) >> 1), rest = sum - whole * (int32_t)(1u << bits);
    return whole + (rest > half || (rest == half && bits > 0 && (whole & 1) != 0));
}

/* mean = left/2 + right/2. Cannot overflow. */
void aether_pyramid_join(const float *left, const float *right, size_t n, float *mean);

/* Index of the first row of a level in the means of `blocks` whole blocks, all runs of a level one after the other, levels ascending. */
static inline size_t aether_pyramid_tree(size_t blocks, unsigned level) {
    size_t row = 0;
    unsigned l;
    for (l = 0; l < level; l++) {
        row += blocks >> l;
    }
    return row;
}

#endif
