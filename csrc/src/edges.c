/* How many (query, key) pairs a pattern has, by primitive instead of by query: for each, the queries that see it are counted. */
#include "pattern.h"
#include "pyramid.h"
#include "sizes.h"

/* Tokens reached by strides on one side of the run, which covers `run` tokens there. */
static uint64_t strides(uint64_t tokens, uint64_t run, uint64_t farthest) {
    uint64_t total = 0, stride = 1;
    for (; stride != 0 && stride <= farthest && stride < tokens; stride = aether_next_stride(stride)) {
        total = aether_plus(total, stride > run ? tokens - stride : 0);
    }
    return total;
}

/* Queries whose run does not reach the global token g (`behind`: g lies before them), less those that a stride takes to it. */
static uint64_t global_seen(const aether_config *config, uint64_t tokens, uint64_t g, int behind, uint64_t run,
                            uint64_t farthest) {
    uint64_t seen = behind ? aether_above(aether_above(tokens, g), aether_plus(run, 1)) : aether_above(g, run);
    uint64_t stride = config->use_log_stride;
    for (; stride != 0 && stride <= farthest && stride < tokens; stride = aether_next_stride(stride)) {
        const int meets = behind ? stride < tokens - g : stride <= g;
        seen -= stride > run && meets ? 1 : 0;
    }
    return seen;
}

static uint64_t token_edges(const aether_config *config, uint64_t tokens) {
    const int sparse = config->backend == AETHER_SPARSE;
    const uint64_t farthest = config->history != 0 ? config->history - 1 : UINT64_MAX;
    const uint64_t window = sparse ? config->window : UINT64_MAX;
    const uint64_t back = aether_least(window, farthest);
    const uint64_t far_back = sparse ? farthest : 0, far_ahead = sparse ? UINT64_MAX : 0; /* dense has no strides */
    uint64_t total = aether_plus(tokens, aether_ramp(tokens, back));
    size_t g;
    if (!config->causal) {
        total = aether_plus(total, aether_ramp(tokens, window));
    }
    if (config->use_log_stride) {
        total = aether_plus(total, strides(tokens, back, far_back));
        total = aether_plus(total, config->causal ? 0 : strides(tokens, window, far_ahead));
    }
    for (g = 0; g < config->n_globals && config->globals[g] < tokens; g++) {
        total = aether_plus(total, global_seen(config, tokens, config->globals[g], 1, back, far_back));
        total = aether_plus(total, config->causal ? 0 : global_seen(config, tokens, config->globals[g], 0, window, far_ahead));
    }
    return total;
}

/* Queries that see the block `stride` before their pivot. A pivot serves `size` queries, the last one `tail`; with a history a query
   sees that block only while it is among the pivot's first few. stride < pivots. */
static uint64_t block_seen(const aether_config *config, uint64_t pivots, uint64_t tail, uint64_t stride) {
    const uint64_t size = config->block_size;
    uint64_t first = UINT64_MAX; /* how many of a pivot's queries still see it */
    if (config->history != 0) { /* causal: a pivot's first query is its block's last token; otherwise the first */
        const uint64_t taken = config->causal ? aether_times(aether_plus(stride, 1), size) : aether_times(stride, size);
        first = config->causal ? aether_above(aether_plus(config->history, 1), taken) : aether_above(config->history, taken);
    }
    return aether_plus(aether_times(pivots - stride - 1, aether_least(size, first)), aether_least(tail, first));
}

static uint64_t block_edges(const aether_config *config, uint64_t tokens) {
    const uint64_t size = config->block_size;
    const uint64_t pivots = aether_blocks_at(config, tokens - 1);
    uint64_t total = 0, tail, stride = 1;
    if (pivots == 0) {
        return 0;
    }
    tail = config->causal ? tokens - pivots * size + 1 : tokens - (pivots - 1) * size;
    total = config->causal ? block_seen(config, pivots, tail, 0) : 0;
    for (; stride != 0 && stride < pivots; stride = aether_next_distance(config, stride)) {
        total = aether_plus(total, block_seen(config, pivots, tail, stride));
        total = aether_plus(total, config->causal ? 0 : aether_times(pivots - stride, size));
    }
    return total;
}

uint64_t aether_pattern_edges(const aether_config *config, uint64_t tokens) {
    if (tokens == 0) {
        return 0;
    }
    if (aether_is_pyramid(config)) {
        return aether_pyramid_edges(config, tokens);
    }
    return aether_plus(token_edges(config, tokens), aether_pattern_has_landmarks(config) ? block_edges(config, tokens) : 0);
}
