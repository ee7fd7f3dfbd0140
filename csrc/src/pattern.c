/* docs/spec/pattern.md, without any table: every list is generated in order from the rules. */
#include "pattern.h"

#include "bits.h"
#include "fpenv.h"
#include "pyramid.h"
#include "sizes.h"

/* Farthest distance back a token that is not global may have from query i. */
static uint64_t reach(const aether_config *config, uint64_t i) {
    return config->history != 0 && config->history - 1 < i ? config->history - 1 : i;
}

/* Merges two ascending sequences into `list` (NULL: only counts), a value in both once. The first is pivot - s for s = top,
   top/2 ... (sign -1) or pivot + s for s = 1 ... (sign +1), as long as the value lies in [from, to); the second is the part of
   the globals in the same range. */
static size_t merge(const aether_config *config, uint64_t i, int sign, uint64_t stride, uint64_t top, uint64_t from,
                    uint64_t to, uint64_t *list) {
    size_t n = 0, g = 0;
    while (g < config->n_globals && config->globals[g] < from) {
        g++;
    }
    for (;;) {
        const int has_global = g < config->n_globals && config->globals[g] < to;
        const int has_stride = sign < 0 ? stride != 0 && i - stride < to : stride != 0 && stride <= top;
        uint64_t value;
        if (!has_global && !has_stride) {
            return n;
        }
        if (has_stride) {
            const uint64_t strided = sign < 0 ? i - stride : i + stride;
            if (has_global && config->globals[g] <= strided) {
                value = config->globals[g++];
            } else {
                value = strided;
            }
            if (value == strided) {
                stride = sign < 0 ? stride / 2 : (stride <= top / 2 ? stride * 2 : 0);
            }
        } else {
            value = config->globals[g++];
        }
        if (list != NULL) {
            list[n] = value;
        }
        n++;
    }
}

/* The run of consecutive tokens around query i, and how many single ones stand before and after it. */
static void tokens_of(const aether_config *config, uint64_t tokens, uint64_t i, aether_row *row) {
    const uint64_t last = config->causal ? i : tokens - 1;
    const uint64_t back = reach(config, i);
    const int strides = config->use_log_stride && config->backend == AETHER_SPARSE;
    uint64_t window_back = i, window_ahead = last - i, stride;
    if (config->backend == AETHER_SPARSE) {
        window_back = config->window < i ? config->window : i;
        window_ahead = config->window < last - i ? config->window : last - i;
    }
    row->lo = i - (window_back < back ? window_back : back);
    row->hi = i + window_ahead;

    row->n_below = merge(config, i, -1, strides ? aether_power_below(back) : 0, 0, 0, row->lo, row->singles);

    stride = 1; /* the first stride beyond the run */
    while (stride <= window_ahead && stride <= (last - i) / 2) {
        stride *= 2;
    }
    if (!strides || stride <= window_ahead) {
        stride = 0;
    }
    row->n_above = merge(config, i, 1, stride, last - i, row->hi + 1, last + 1,
                         row->singles != NULL ? row->singles + row->n_below : NULL);
}

int aether_pattern_has_landmarks(const aether_config *config) {
    return config->use_landmarks && config->backend == AETHER_SPARSE &&
           (config->history == 0 || !config->causal || config->history >= config->block_size);
}

static void blocks_of(const aether_config *config, uint64_t tokens, uint64_t i, aether_row *row) {
    const uint64_t size = config->block_size;
    const uint64_t n = aether_blocks_at(config, config->causal ? i : tokens - 1); /* blocks that exist for i */
    const uint64_t oldest = i - reach(config, i);             /* a block must begin here or later */
    uint64_t pivot, stride, begin, apart;
    size_t count = 0;
    row->n_blocks = 0;
    if (!aether_pattern_has_landmarks(config) || n == 0) {
        return;
    }
    pivot = config->causal ? n - 1 : aether_blocks_at(config, i) - 1;
    begin = pivot * size;
    stride = config->use_log_stride ? aether_power_below(pivot) : (pivot > 0);
    for (apart = stride * size; stride != 0; stride /= 2, apart /= 2) { /* tokens from that block to the pivot */
        if (begin >= oldest && begin - oldest >= apart) {
            row->blocks[count++] = pivot - stride;
        }
    }
    if (config->causal) {
        if (begin >= oldest) {
            row->blocks[count++] = pivot;
        }
    } else {
        for (stride = 1; stride != 0 && stride <= n - 1 - pivot; stride = aether_next_distance(config, stride)) {
            row->blocks[count++] = pivot + stride;
        }
    }
    row->n_blocks = count;
    memset(row->levels, 0, count);
}

void aether_pattern_row(const aether_config *config, uint64_t tokens, uint64_t i, aether_row *row) {
    if (aether_is_pyramid(config)) {
        aether_pyramid_row(config, tokens, i, row);
        return;
    }
    tokens_of(config, tokens, i, row);
    blocks_of(config, tokens, i, row);
}

/* How many powers of two are at most v. */
static AETHER_NOINLINE size_t powers(uint64_t v) {
    size_t n = 0;
    for (; v != 0; v /= 2) {
        n++;
    }
    return n;
}

static uint64_t farthest(const aether_config *config) {
    return config->history != 0 ? config->history - 1 : UINT64_MAX;
}

size_t aether_pattern_max_singles(const aether_config *config) {
    const size_t below = config->use_log_stride ? powers(farthest(config)) : 0;
    const size_t above = config->use_log_stride && !config->causal ? 64 : 0;
    if (aether_is_pyramid(config)) {
        return config->causal ? 0 : (size_t)config->block_size; /* of the last block, which is not whole */
    }
    return aether_add(config->n_globals, below + above);
}

size_t aether_pattern_max_blocks(const aether_config *config) {
    const uint64_t most = config->history != 0 ? config->history / config->block_size : UINT64_MAX;
    if (aether_is_pyramid(config)) {
        return aether_pyramid_max_runs(config, UINT64_MAX);
    }
    if (!aether_pattern_has_landmarks(config)) {
        return 0;
    }
    if (!config->use_log_stride) {
        return 3;
    }
    return 2 + powers(most) + (config->causal ? 0 : 64);
}
