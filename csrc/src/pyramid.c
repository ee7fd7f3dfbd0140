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
static uint64_t reach(const aether_config *config) {
    return config->history != 0 ? blocks_in(config, config->history - config->window - 1) : UINT64_MAX;
}

uint64_t aether_pyramid_before(const aether_config *config, uint64_t i) {
    return i > config->window ? blocks_in(config, i - config->window) : 0;
}

void aether_pyramid_begin(const aether_config *config, uint64_t edge, uint64_t end, int back, aether_pyramid_walk *walk) {
    const uint64_t held = reach(config);
    walk->at = edge;
    walk->end = back ? (edge > held ? edge - held : 0) : (end > edge ? end : edge);
    walk->apart = allowance(config);
    walk->longest = 1;
    walk->back = back;
}

static void runs(aether_pyramid_walk *walk, aether_row *row) {
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

AETHER_NOINLINE unsigned aether_pyramid_levels(const aether_config *config, uint64_t blocks) {
    const uint64_t held = config->causal ? reach(config) : UINT64_MAX, largest = (uint64_t)1 << 62;
    const uint64_t limit = held < largest ? held + allowance(config) : largest;
    unsigned levels = held > 0 && blocks > 0;
    /* A run of several blocks begins at least 3 lengths less the allowance away. */
    while (levels > 0 && (uint64_t)3 << levels <= limit && blocks >> levels > 0) {
        levels++;
    }
    return levels;
}

/* Blocks from the end of a run to the window of the first query that sees a longer run instead: a left half waits for its right one. */
static uint64_t lifetime(const aether_config *config, unsigned level, int left) {
    const uint64_t length = (uint64_t)1 << level, more = allowance(config);
    return (left ? length : 0) + (4 * length > more ? 4 * length - more : 0);
}

void aether_pyramid_span(const aether_config *config, unsigned level, int left, uint64_t *from, uint64_t *to) {
    const uint64_t length = (uint64_t)1 << level, more = allowance(config), held = reach(config);
    const uint64_t kept = held >= length ? (held == UINT64_MAX ? held : held - length + 1) : 0;
    *from = level > 0 && 2 * length > more ? 2 * length - more : 0;
    *to = lifetime(config, level, left);
    *to = *to < kept ? *to : kept;
}

size_t aether_pyramid_ring(const aether_config *config, unsigned level) {
    const size_t rows = (size_t)((lifetime(config, level, 1) - 1) >> level) + 1;
    return rows > 2 ? rows : 2;
}

int aether_pyramid_lives(const aether_config *config, unsigned level, uint64_t index, uint64_t before) {
    const int left = (index & 1) == 0;
    const uint64_t apart = before - ((index + 1) << level);
    return apart < lifetime(config, level, left) || (left && apart == (uint64_t)1 << level); /* there the halves are joined */
}

void aether_pyramid_join(const float *left, const float *right, size_t n, float *mean) {
    size_t c;
    for (c = 0; c < n; c++) {
        mean[c] = left[c] * 0.5f + right[c] * 0.5f;
    }
}
