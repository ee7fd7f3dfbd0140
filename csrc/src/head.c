#include "aether/head.h"

#include "fpenv.h"
#include "pyramid.h"
#include "sizes.h"

static const uint32_t FIRST_TOKEN[1] = {0};

void aether_config_default(aether_config *config) {
    config->backend = AETHER_SPARSE;
    config->pattern = AETHER_REFERENCE;
    config->q_heads = 4;
    config->kv_heads = 1;
    config->head_dim = 32;
    config->window = 32;
    config->block_size = 16;
    config->history = 0;
    config->globals = FIRST_TOKEN;
    config->n_globals = 1;
    config->causal = 1;
    config->use_log_stride = 1;
    config->use_landmarks = 1;
}

/* 1/sqrt(dim): both roundings correct, whatever the caller's floating-point environment. */
static AETHER_NOINLINE float scale_of(uint32_t dim) {
    return 1.0f / aether_sqrt((float)dim);
}

#if defined(AETHER_REFERENCE_ONLY)
static aether_status check_pyramid(const aether_config *config, aether_detail *detail) {
    return aether_fail(detail, AETHER_E_CONFIG, "pattern", "reference, the only one in this build", (uint64_t)config->pattern, SIZE_MAX);
}
#else
static aether_status check_pyramid(const aether_config *config, aether_detail *detail) {
    const aether_status bad = AETHER_E_CONFIG;
    const uint64_t size = config->block_size;
    if (config->pattern != AETHER_PYRAMID) {
        return aether_fail(detail, bad, "pattern", "reference or pyramid", (uint64_t)config->pattern, SIZE_MAX);
    }
    if (config->window > AETHER_PYRAMID_WINDOW_MAX) {
        return aether_fail(detail, bad, "window", "at most 1048576 with the pyramid pattern", config->window, SIZE_MAX);
    }
    if (size > AETHER_PYRAMID_BLOCK_MAX || (size & (size - 1)) != 0) {
        return aether_fail(detail, bad, "block_size", "a power of two, at most 65536, with the pyramid pattern", size, SIZE_MAX);
    }
    if (config->history != 0 && config->history <= config->window) {
        return aether_fail(detail, bad, "history", "more than the window with the pyramid pattern", config->history, SIZE_MAX);
    }
    if (config->use_log_stride || config->use_landmarks) {
        return aether_fail(detail, bad, config->use_log_stride ? "use_log_stride" : "use_landmarks", "0 with the pyramid pattern", 1,
                           SIZE_MAX);
    }
    if (config->n_globals != 0) {
        return aether_fail(detail, bad, "globals", "none with the pyramid pattern", config->n_globals, SIZE_MAX);
    }
    return AETHER_OK;
}
#endif

static aether_status check(const aether_config *config, aether_detail *detail) {
    const aether_status bad = AETHER_E_CONFIG;
    size_t g;
    if (config->backend != AETHER_SPARSE && config->backend != AETHER_DENSE) {
        return aether_fail(detail, bad, "backend", "sparse or dense", (uint64_t)config->backend, SIZE_MAX);
    }
    if (config->q_heads == 0) {
        return aether_fail(detail, bad, "q_heads", "at least 1", 0, SIZE_MAX);
    }
    if (config->kv_heads == 0) {
        return aether_fail(detail, bad, "kv_heads", "at least 1", 0, SIZE_MAX);
    }
    if (config->q_heads % config->kv_heads != 0) {
        return aether_fail(detail, bad, "kv_heads", "a divisor of q_heads", config->kv_heads, SIZE_MAX);
    }
    if (config->head_dim == 0) {
        return aether_fail(detail, bad, "head_dim", "at least 1", 0, SIZE_MAX);
    }
    if (config->block_size == 0) {
        return aether_fail(detail, bad, "block_size", "at least 1", 0, SIZE_MAX);
    }
    if (config->causal > 1) {
        return aether_fail(detail, bad, "causal", "0 or 1", config->causal, SIZE_MAX);
    }
    if (config->use_log_stride > 1) {
        return aether_fail(detail, bad, "use_log_stride", "0 or 1", config->use_log_stride, SIZE_MAX);
    }
    if (config->use_landmarks > 1) {
        return aether_fail(detail, bad, "use_landmarks", "0 or 1", config->use_landmarks, SIZE_MAX);
    }
    if (config->pattern != AETHER_REFERENCE) {
        aether_status status = check_pyramid(config, detail);
        if (status != AETHER_OK) {
            return status;
        }
    }
    if (config->n_globals != 0 && config->globals == NULL) {
        return aether_fail(detail, AETHER_E_ARGUMENT, "globals", "a list of n_globals tokens", 0, SIZE_MAX);
    }
    if (!aether_aligned(config->globals, sizeof(uint32_t))) {
        return aether_fail(detail, AETHER_E_ALIGNMENT, "globals", "an address that is a multiple of 4",
                           (uint64_t)(uintptr_t)config->globals, SIZE_MAX);
    }
    for (g = 1; g < config->n_globals; g++) {
        if (config->globals[g - 1] >= config->globals[g]) {
            return aether_fail(detail, bad, "globals", "strictly ascending tokens", config->globals[g], SIZE_MAX);
        }
    }
    if (aether_mul(aether_mul(config->q_heads, config->head_dim), sizeof(float)) == SIZE_MAX) {
        return aether_fail(detail, AETHER_E_TOO_LARGE, "head_dim", "q_heads * head_dim values that fit in memory",
                           config->head_dim, SIZE_MAX);
    }
    return AETHER_OK;
}

aether_status aether_head_init(aether_head *head, const aether_config *config, const aether_kernels *kernels,
                               aether_detail *detail) {
    aether_status status;
    aether_fpenv env;
    if (head == NULL || config == NULL) {
        return aether_fail(detail, AETHER_E_ARGUMENT, head == NULL ? "head" : "config", "not NULL", 0, SIZE_MAX);
    }
    status = check(config, detail);
    if (status == AETHER_OK) {
        head->config = *config;
        head->kernels = kernels != NULL ? kernels : aether_kernels_fastest();
        env = aether_fpenv_enter();
        head->scale = scale_of(config->head_dim);
        aether_fpenv_leave(env);
    }
    return status;
}

aether_head aether_head_within(const aether_head *head, uint64_t capacity) {
    aether_head own = *head;
    if (capacity != 0 && (own.config.history == 0 || own.config.history > capacity)) {
        own.config.history = capacity;
    }
    if (aether_is_pyramid(&own.config) && own.config.history != 0 && own.config.history <= own.config.window) {
        own.config.history = own.config.window + 1; /* the least a pyramid sees */
    }
    return own;
}
