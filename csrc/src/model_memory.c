/* What a stream will need, from the same layout that it will use. */
#include "model_layout.h"
#include "pattern.h"
#include "pyramid.h"
#include "stream_layout.h"

/* As visible, an upper bound: for each length, the most runs that are a left half, and the most that are a right half. */
static uint64_t visible_in_pyramid(const aether_config *config) {
    const unsigned levels = aether_pyramid_levels(config, UINT64_MAX);
    uint64_t rows = config->window + config->block_size, from, to;
    unsigned level;
    int left;
    for (level = 0; level < levels; level++) {
        for (left = 0; left < 2; left++) {
            aether_pyramid_span(config, level, left, &from, &to);
            rows += to > from ? ((to - from - 1) >> (level + 1)) + 1 : 0;
        }
    }
    return rows;
}

/* Rows that a query sees when it sees the most. */
static uint64_t visible(const aether_config *config) {
    const uint64_t farthest = config->history - 1;
    const uint64_t back = config->window < farthest ? config->window : farthest;
    uint64_t rows = back + 1 + config->n_globals, stride = 1;
    if (aether_is_pyramid(config)) {
        return visible_in_pyramid(config);
    }
    for (; config->use_log_stride && stride != 0 && stride <= farthest; stride = aether_next_stride(stride)) {
        rows += stride > back ? 1 : 0;
    }
    if (aether_pattern_has_landmarks(config)) {
        const uint64_t oldest = aether_blocks_at(config, farthest) - 1; /* block distance from the newest whole block */
        rows += oldest > 0 ? 2 : 1;
        for (stride = aether_next_distance(config, 1); stride != 0 && stride <= oldest;
             stride = aether_next_distance(config, stride)) {
            rows++;
        }
    }
    return rows;
}

aether_status aether_model_memory_on(const aether_model *model, uint64_t context, aether_dtype dtype,
                                     size_t pointer_bytes, aether_memory *memory) {
    aether_stream_layout at;
    aether_cache_layout cache;
    aether_config config;
    aether_status status;
    uint64_t w, layer;
    if (model == NULL || memory == NULL || (pointer_bytes != 4 && pointer_bytes != 8)) {
        return AETHER_E_ARGUMENT;
    }
    status = aether_stream_lay_out(model, context, dtype, pointer_bytes, &at, &cache);
    if (status != AETHER_OK) {
        return status;
    }
    config = aether_head_within(&model->head, context).config;
    w = model->width;
    layer = 2 * w * (aether_q_width(model) + (uint64_t)aether_kv_width(model)) + model->taps * w + 2 * w * model->hidden +
            2 * visible(&config) * aether_q_width(model);
    memory->flash = model->blob_bytes;
    memory->state = at.state;
    memory->scratch = at.total - at.state;
    memory->cache_rows = cache.n_rows;
    memory->multiply_adds = (model->arrays[AETHER_PROJECTION_WEIGHT] != NULL ? model->header.input_dim * w : 0) + model->stem_taps * w +
                            model->header.n_layers * layer + w * model->header.n_classes + w * model->embed_dim;
    return AETHER_OK;
}

aether_status aether_model_memory(const aether_model *model, uint64_t context, aether_dtype dtype,
                                  aether_memory *memory) {
    return aether_model_memory_on(model, context, dtype, sizeof(void *), memory);
}
