#include "candidates.h"

#include "bits.h"
#include "fpenv.h"
#include "pyramid.h"

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* The most tokens in the run around a query. */
static uint64_t run_max(const aether_config *config, uint64_t tokens) {
    const uint64_t window = config->backend == AETHER_SPARSE ? config->window : AETHER_UNLIMITED;
    const uint64_t back = config->history != 0 ? least(config->history, tokens) : tokens;
    const uint64_t run = window < back ? window + 1 : back;
    if (aether_is_pyramid(config)) {
        const uint64_t side = config->window + config->block_size;
        return least(config->causal ? side : 2 * side, tokens);
    }
    return config->causal ? run : run + least(window, tokens - run);
}

AETHER_NOINLINE size_t aether_candidates_max(const aether_config *config, uint64_t tokens) {
    const size_t singles = aether_pattern_max_singles(config), blocks = aether_pattern_max_blocks(config);
    return aether_add(aether_count(run_max(config, tokens)), aether_add(singles, blocks));
}

void aether_candidates_take(aether_bytes *bytes, const aether_config *config, uint64_t tokens, size_t pointer_bytes) {
    const size_t most = aether_candidates_max(config, tokens);
    aether_take(bytes, 8, 1);
    aether_take(bytes, aether_pattern_max_singles(config), sizeof(uint64_t));
    aether_take(bytes, aether_pattern_max_blocks(config), sizeof(uint64_t));
    aether_take(bytes, most, pointer_bytes);
    aether_take(bytes, most, pointer_bytes);
    aether_take(bytes, aether_pattern_max_blocks(config), sizeof(uint8_t));
    aether_take(bytes, aether_is_pyramid(config) ? aether_pattern_max_blocks(config) : 0, sizeof(float));
}

void *aether_candidates_place(aether_candidates *list, const aether_config *config, uint64_t tokens, void *scratch) {
    const size_t most = aether_candidates_max(config, tokens);
    const uintptr_t address = (uintptr_t)scratch;
    unsigned char *base = (unsigned char *)scratch + ((8u - (address & 7u)) & 7u);
    aether_bytes bytes = {0, 0};
    list->row.singles = (uint64_t *)(void *)(base + aether_take(&bytes, aether_pattern_max_singles(config), 8));
    list->row.blocks = (uint64_t *)(void *)(base + aether_take(&bytes, aether_pattern_max_blocks(config), 8));
    list->keys = (const void **)(void *)(base + aether_take(&bytes, most, sizeof(void *)));
    list->values = (const void **)(void *)(base + aether_take(&bytes, most, sizeof(void *)));
    list->row.levels = base + aether_take(&bytes, aether_pattern_max_blocks(config), sizeof(uint8_t));
    list->sizes = NULL;
    if (aether_is_pyramid(config)) {
        list->sizes = (float *)(void *)(base + aether_take(&bytes, aether_pattern_max_blocks(config), sizeof(float)));
    }
    return base + bytes.total;
}

void aether_candidates_weigh(const aether_config *config, const aether_row *row, float *sizes) {
    const float size = (float)(uint32_t)config->block_size;
    size_t j;
    for (j = 0; j < row->n_blocks; j++) {
        sizes[j] = size * aether_from_bits((uint32_t)(127 + row->levels[j]) << 23); /* 2^level, without 64-bit numbers */
    }
}
