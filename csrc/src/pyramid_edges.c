/* How many (query, key) pairs the pyramid has: by level where it is causal, which takes no longer for more tokens. */
#include "pyramid.h"
#include "sizes.h"

/* Queries that see token entries, times how many: a query has all tokens so far until a first block leaves the window, then from
   window + 1 to window + block_size, in turns. */
static uint64_t token_edges(const aether_config *config, uint64_t tokens) {
    const uint64_t size = config->block_size, fixed = config->window + 1;
    const uint64_t growing = aether_least(tokens, config->window + size);
    const uint64_t turns = (tokens - growing) / size, rest = (tokens - growing) % size;
    const uint64_t turn = aether_plus(aether_times(size, fixed), aether_ramp(size, size));
    const uint64_t total = aether_plus(aether_plus(growing, aether_ramp(growing, growing)), aether_times(turns, turn));
    return aether_plus(total, aether_plus(aether_times(rest, fixed), aether_ramp(rest, size)));
}

/* How many of 0 ... blocks, each the number of blocks before a window, see the runs of one level that are left halves, or right ones. */
static uint64_t level_edges(const aether_config *config, uint64_t blocks, unsigned level, int left) {
    const uint64_t length = (uint64_t)1 << level;
    uint64_t from, to, end = left ? length : 2 * length, total = 0, whole;
    aether_pyramid_span(config, level, left, &from, &to); /* of blocks between the run's end and the window */
    if (from >= to) {
        return 0;
    }
    if (end <= blocks && to <= blocks - end + 1) { /* seen for as long as any is */
        whole = (blocks - end + 1 - to) / (2 * length) + 1;
        total = aether_times(whole, to - from);
        end += 2 * length * whole;
    }
    for (; end <= blocks && blocks - end >= from; end += 2 * length) {
        total = aether_plus(total, blocks - end + 1 - from);
    }
    return total;
}

/* Runs seen with 0 ... blocks blocks before the window, one query each. */
static uint64_t run_edges(const aether_config *config, uint64_t blocks) {
    const unsigned levels = aether_pyramid_levels(config, blocks);
    uint64_t total = 0;
    unsigned level;
    for (level = 0; level < levels; level++) {
        total = aether_plus(total, level_edges(config, blocks, level, 1));
        total = aether_plus(total, level_edges(config, blocks, level, 0));
    }
    return total;
}

static uint64_t causal_edges(const aether_config *config, uint64_t tokens) {
    const uint64_t before = aether_pyramid_before(config, tokens - 1);
    uint64_t all, others, last;
    if (before == 0) {
        return token_edges(config, tokens);
    }
    all = run_edges(config, before);
    others = run_edges(config, before - 1);
    last = tokens - config->window - before * config->block_size; /* queries with `before` blocks */
    return aether_plus(token_edges(config, tokens),
                       aether_plus(aether_times(others, config->block_size), aether_times(all - others, last)));
}

uint64_t aether_pyramid_edges(const aether_config *config, uint64_t tokens) {
    uint64_t total = 0, i;
    aether_row row;
    if (config->causal) {
        return causal_edges(config, tokens);
    }
    row.singles = NULL;
    row.blocks = NULL;
    row.levels = NULL;
    for (i = 0; i < tokens; i++) {
        aether_pyramid_row(config, tokens, i, &row);
        total = aether_plus(total, row.hi - row.lo + 1 + row.n_above + row.n_blocks);
    }
    return total;
}
