/* Where the parts of a cache, and of the scratch of one attending, begin. A query sees few rows, so a cache keeps few: the farthest
   visible distance plus one, the global tokens, and as many block means. */
#include "cache_layout.h"

#include "bits.h"
#include "candidates.h"
#include "pattern.h"
#include "pyramid.h"
#include "sizes.h"

/* Rows of the means of a pyramid. */
static size_t lay_out_levels(const aether_config *config, aether_cache_layout *at) {
    size_t rows = 0;
    unsigned level;
    at->levels = aether_pyramid_levels(config, UINT64_MAX);
    for (level = 0; level < at->levels; level++) {
        at->level_rows[level] = (uint16_t)rows;
        rows += aether_pyramid_ring(config, level);
    }
    at->level_rows[level] = (uint16_t)rows;
    return rows;
}

aether_status aether_cache_lay_out(const aether_head *head, aether_dtype dtype, aether_cache_layout *at) {
    const aether_config *config = &head->config;
    const uint64_t history = config->history; /* effective, so at least 1 */
    const size_t element = aether_element(dtype), mean = dtype == AETHER_INT8 ? element : sizeof(float);
    uint64_t distance = config->window < history - 1 ? config->window : history - 1;
    uint64_t blocks = 0;
    aether_bytes bytes = {0, 0};
    if (config->use_log_stride) {
        const uint64_t stride = aether_power_below(history - 1);
        distance = stride > distance ? stride : distance;
    }
    at->levels = 0;
    if (aether_is_pyramid(config)) {
        distance = config->window + config->block_size; /* and one more, so that a block's mean can be made again */
        blocks = lay_out_levels(config, at);
    } else if (aether_pattern_has_landmarks(config)) {
        const uint64_t last = history / config->block_size - 1; /* distance of the oldest whole block from the newest */
        blocks = 1 + (last == 0 ? 0 : config->use_log_stride ? aether_power_below(last) : 1);
    }
    at->n_rows = aether_count(distance + 1);
    at->n_blocks = aether_count(blocks);
    at->row = aether_mul(config->kv_heads, config->head_dim);
    at->staged = aether_take(&bytes, aether_is_pyramid(config) ? 0 : aether_mul(2, at->row), sizeof(float));
    at->sums = aether_take(&bytes, aether_is_pyramid(config) ? 0 : aether_mul(2, at->row), sizeof(float));
    at->mean_k = aether_take(&bytes, aether_mul(at->n_blocks, at->row), mean);
    at->mean_v = aether_take(&bytes, aether_mul(at->n_blocks, at->row), mean);
    at->rows_k = aether_take(&bytes, aether_mul(at->n_rows, at->row), element);
    at->rows_v = aether_take(&bytes, aether_mul(at->n_rows, at->row), element);
    at->globals_k = aether_take(&bytes, aether_mul(config->n_globals, at->row), element);
    at->globals_v = aether_take(&bytes, aether_mul(config->n_globals, at->row), element);
    return aether_taken(&bytes, &at->total);
}

aether_status aether_cache_lay_out_scratch(const aether_head *own, size_t pointer_bytes, aether_attend_layout *at) {
    const aether_config *config = &own->config;
    const size_t most = aether_candidates_max(config, UINT64_MAX);
    const size_t floats = aether_query_floats(most, config->q_heads / config->kv_heads, config->head_dim);
    aether_bytes bytes = {0, 0};
    at->singles = aether_take(&bytes, aether_pattern_max_singles(config), sizeof(uint64_t));
    at->blocks = aether_take(&bytes, aether_pattern_max_blocks(config), sizeof(uint64_t));
    at->levels = aether_take(&bytes, aether_pattern_max_blocks(config), sizeof(uint8_t));
    at->sizes = aether_take(&bytes, aether_is_pyramid(config) ? aether_pattern_max_blocks(config) : 0, sizeof(float));
    at->keys = aether_take(&bytes, most, pointer_bytes);
    at->values = aether_take(&bytes, most, pointer_bytes);
    at->floats = aether_take(&bytes, floats, sizeof(float));
    at->out = aether_take(&bytes, aether_mul(config->q_heads, config->head_dim), sizeof(float));
    at->total = 0;
    return aether_taken(&bytes, &at->total);
}
