/* How many (query, key) pairs a pattern has, by primitive instead of by query: for each, the queries that see it are counted. */
#include "pattern.h"

static uint64_t plus(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* By halves: compilers make 128-bit arithmetic, which a chip has no helper for, of the usual division test. */
static uint64_t times(uint64_t a, uint64_t b) {
    const uint64_t low = 0xFFFFFFFFu;
    const uint64_t cross = (a >> 32) * (b & low) + (a & low) * (b >> 32); /* one of the two is 0, or the product is too large */
    if (((a >> 32) != 0 && (b >> 32) != 0) || cross > low) {
        return UINT64_MAX;
    }
    return plus(cross << 32, (a & low) * (b & low));
}

/* a - b, or 0. */
static uint64_t above(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Sum of min(j, most) for j = 0 ... n-1. */
static uint64_t ramp(uint64_t n, uint64_t most) {
    const uint64_t rising = most < n ? most + 1 : n; /* the terms 0 ... rising-1 */
    const uint64_t triangle = rising == 0 ? 0
                              : rising % 2 == 0 ? times(rising / 2, rising - 1)
                                                : times(rising, (rising - 1) / 2);
    return plus(triangle, times(n - rising, most));
}

/* Tokens reached by strides on one side of the run, which covers `run` tokens there. */
static uint64_t strides(uint64_t tokens, uint64_t run, uint64_t farthest) {
    uint64_t total = 0, stride = 1;
    for (; stride <= farthest && stride < tokens; stride *= 2) {
        total = plus(total, stride > run ? tokens - stride : 0);
        if (stride > UINT64_MAX / 2) {
            break;
        }
    }
    return total;
}

/* Queries whose run does not reach the global token g (`behind`: g lies before them), less those that a stride takes to it. */
static uint64_t global_seen(const aether_config *config, uint64_t tokens, uint64_t g, int behind, uint64_t run,
                            uint64_t farthest) {
    uint64_t seen = behind ? above(above(tokens, g), plus(run, 1)) : above(g, run);
    uint64_t stride = 1;
    for (; config->use_log_stride && stride <= farthest && stride < tokens; stride *= 2) {
        const int meets = behind ? stride < tokens - g : stride <= g;
        seen -= stride > run && meets ? 1 : 0;
        if (stride > UINT64_MAX / 2) {
            break;
        }
    }
    return seen;
}

static uint64_t token_edges(const aether_config *config, uint64_t tokens) {
    const int sparse = config->backend == AETHER_SPARSE;
    const uint64_t farthest = config->history != 0 ? config->history - 1 : UINT64_MAX;
    const uint64_t window = sparse ? config->window : UINT64_MAX;
    const uint64_t back = least(window, farthest);
    const uint64_t far_back = sparse ? farthest : 0, far_ahead = sparse ? UINT64_MAX : 0; /* dense has no strides */
    uint64_t total = plus(tokens, ramp(tokens, back));
    size_t g;
    if (!config->causal) {
        total = plus(total, ramp(tokens, window));
    }
    if (config->use_log_stride) {
        total = plus(total, strides(tokens, back, far_back));
        total = plus(total, config->causal ? 0 : strides(tokens, window, far_ahead));
    }
    for (g = 0; g < config->n_globals && config->globals[g] < tokens; g++) {
        total = plus(total, global_seen(config, tokens, config->globals[g], 1, back, far_back));
        total = plus(total, config->causal ? 0 : global_seen(config, tokens, config->globals[g], 0, window, far_ahead));
    }
    return total;
}

/* Queries that see the block `stride` before their pivot. A pivot serves `size` queries, the last one `tail`; with a history a query
   sees that block only while it is among the pivot's first few. */
static uint64_t block_seen(const aether_config *config, uint64_t pivots, uint64_t tail, uint64_t stride) {
    const uint64_t size = config->block_size;
    uint64_t first = UINT64_MAX; /* how many of a pivot's queries still see it */
    if (stride >= pivots) {
        return 0;
    }
    if (config->history != 0) { /* causal: a pivot's first query is its block's last token; otherwise the first */
        const uint64_t taken = config->causal ? times(plus(stride, 1), size) : times(stride, size);
        first = config->causal ? above(plus(config->history, 1), taken) : above(config->history, taken);
    }
    return plus(times(pivots - stride - 1, least(size, first)), least(tail, first));
}

static uint64_t block_edges(const aether_config *config, uint64_t tokens) {
    const uint64_t size = config->block_size;
    const uint64_t pivots = config->causal ? tokens / size : (tokens - 1) / size + 1;
    uint64_t total = 0, tail, stride = 1;
    if (pivots == 0) {
        return 0;
    }
    tail = config->causal ? tokens - pivots * size + 1 : tokens - (pivots - 1) * size;
    total = config->causal ? block_seen(config, pivots, tail, 0) : 0;
    for (; stride < pivots; stride *= 2) {
        total = plus(total, block_seen(config, pivots, tail, stride));
        total = plus(total, config->causal ? 0 : times(pivots - stride, size));
        if (!config->use_log_stride || stride > UINT64_MAX / 2) {
            break;
        }
    }
    return total;
}

uint64_t aether_pattern_edges(const aether_config *config, uint64_t tokens) {
    if (tokens == 0) {
        return 0;
    }
    return plus(token_edges(config, tokens), aether_pattern_has_landmarks(config) ? block_edges(config, tokens) : 0);
}
