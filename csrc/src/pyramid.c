#include "pyramid.h"

#include "fpenv.h"

/* a / block_size: a shift, because a 32-bit processor takes long over 64-bit division. */
static AETHER_NOINLINE uint64_t blocks_in(const aether_config *config, uint64_t a) {
    uint64_t size = config->block_size;
    for (; size > 1; size /= 2) {
        a /= 2;
    }
    return a;
}

/* By how much, in blocks, a run may be longer than a quarter of its distance. */
static uint64_t allowance(const aether_config *config) {
    const uint64_t blocks = blocks_in(config, config->window);
    return blocks > 1 ? blocks : 1;
}

/* How many blocks before the window the history holds: none of the first `history` tokens is out of view before it must be. */
static AETHER_NOINLINE uint64_t reach(const aether_config *config) {
    return config->history != 0 ? blocks_in(config, config->history - config->window - 1) : UINT64_MAX;
}

uint64_t aether_pyramid_before(const aether_config *config, uint64_t i) {
    return i > config->window ? blocks_in(config, i - config->window) : 0;
}

int aether_pyramid_leaves(const aether_config *config, uint64_t i) {
    return i >= config->window + config->block_size && ((i - config->window) & (config->block_size - 1)) == 0;
}

void aether_pyramid_begin(const aether_config *config, uint64_t edge, uint64_t end, int back, aether_pyramid_walk *walk) {
    const uint64_t held = reach(config);
    walk->at = edge;
    walk->end = back ? (edge > held ? edge - held : 0) : (end > edge ? end : edge);
    walk->apart = allowance(config);
    walk->longest = 1;
    walk->back = back;
}

static AETHER_NOINLINE void runs(aether_pyramid_walk *walk, aether_row *row) {
    for (; aether_pyramid_next(walk); row->n_blocks++) {
        if (row->blocks != NULL) {
            row->blocks[row->n_blocks] = walk->begin;
            row->levels[row->n_blocks] = (uint8_t)walk->level;
        }
    }
}

void aether_pyramid_row(const aether_config *config, uint64_t tokens, uint64_t i, aether_row *row) {
    const uint64_t size = config->block_size;
    const uint64_t before = aether_pyramid_before(config, i);
    uint64_t first, end, single;
    aether_pyramid_walk walk;
    row->lo = before * size;
    row->hi = i;
    row->n_below = 0;
    row->n_above = 0;
    row->n_blocks = 0;
    aether_pyramid_begin(config, before, 0, 1, &walk);
    runs(&walk, row);
    if (config->causal) {
        return;
    }
    first = blocks_in(config, i + config->window) + 1; /* the first block after the window */
    end = blocks_in(config, tokens);
    single = first * size;
    row->hi = (single < tokens ? single : tokens) - 1;
    aether_pyramid_begin(config, first, end, 0, &walk);
    runs(&walk, row);
    single = single < end * size ? end * size : single;
    for (; single < tokens; single++) {
        if (row->singles != NULL) {
            row->singles[row->n_above] = single;
        }
        row->n_above++;
    }
}

size_t aether_pyramid_max_runs(const aether_config *config, uint64_t blocks) {
    /* At most 3 of each length, and one more of the shortest; towards the end of a sequence also one of each shorter length. */
    const size_t levels = aether_pyramid_levels(config, blocks);
    return 3 * levels + 1 + (config->causal ? 0 : 4 * levels + 1);
}

/* Blocks between the end of a run of this level and the window of the first query that sees it. */
static AETHER_NOINLINE uint64_t nearest(const aether_config *config, unsigned level) {
    const uint64_t twice = (uint64_t)2 << level, more = allowance(config);
    return level > 0 && twice > more ? twice - more : 0;
}

AETHER_NOINLINE unsigned aether_pyramid_levels(const aether_config *config, uint64_t blocks) {
    const uint64_t held = config->causal ? reach(config) : UINT64_MAX, largest = (uint64_t)1 << 61;
    const uint64_t limit = held < largest ? held : largest;
    unsigned levels = 0;
    while (blocks >> levels > 0 && nearest(config, levels) + ((uint64_t)1 << levels) <= limit) {
        levels++;
    }
    return levels;
}

/* The most blocks that the history leaves between the end of a run of this level and a window. */
static uint64_t farthest(const aether_config *config, unsigned level) {
    const uint64_t held = reach(config);
    return held == UINT64_MAX ? held - 1 : held - ((uint64_t)1 << level);
}

void aether_pyramid_span(const aether_config *config, unsigned level, int left, uint64_t *from, uint64_t *to) {
    const uint64_t last = farthest(config, level);
    *from = nearest(config, level);
    *to = nearest(config, level + 1) + (left ? (uint64_t)1 << level : 0); /* a left half waits for its right one */
    *to = *to <= last ? *to : last + 1;
}

int aether_pyramid_appears(const aether_config *config, unsigned level, uint64_t before, uint64_t *index) {
    const uint64_t length = (uint64_t)1 << level, from = nearest(config, level);
    if (before < from + length || ((before - from) & (length - 1)) != 0) {
        return 0;
    }
    *index = ((before - from) >> level) - 1;
    return 1;
}

int aether_pyramid_at_once(const aether_config *config, unsigned level) {
    return nearest(config, level) == 0;
}

size_t aether_pyramid_ring(const aether_config *config, unsigned level) {
    const uint64_t length = (uint64_t)1 << level, longer = nearest(config, level + 1), last = farthest(config, level);
    const uint64_t end = longer > 0 ? longer + length - 1 : length; /* there a left half is joined with a right one not seen before */
    return (size_t)(((end < last ? end : last) - nearest(config, level)) >> level) + 1;
}

int aether_pyramid_lives(const aether_config *config, unsigned level, uint64_t index, uint64_t made, uint64_t before) {
    for (;; level++, index >>= 1) {
        const uint64_t end = (index + 1) << level, length = (uint64_t)2 << level; /* of the longer run that it is a half of */
        uint64_t from, to;
        aether_pyramid_span(config, level, (index & 1) == 0, &from, &to);
        if (before - end < to) {
            return 1;
        }
        if (made == before || ((index >> 1) + 1) * length != before || length > reach(config) || !aether_pyramid_at_once(config, level + 1)) {
            return 0;
        }
    }
}

void aether_pyramid_join(const float *left, const float *right, size_t n, float *mean) {
    size_t c;
    for (c = 0; c < n; c++) {
        mean[c] = left[c] * 0.5f + right[c] * 0.5f;
    }
}
