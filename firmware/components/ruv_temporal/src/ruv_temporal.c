/* The drop-in interface over node/classifier. */
#include "ruv_temporal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "context.h"
#include "csi_input.h"
#include "esp_heap_caps.h"
#include "esp_log.h"
#include "sdkconfig.h"

#define CONTEXT_BYTES ((sizeof(ruv_temporal_ctx_t) + 7u) & ~(size_t)7u)
#define TEXT_BYTES 200u

static const char TAG[] = "ruv_temporal";

aether_dtype ruv_cache_dtype(void) {
#if defined(CONFIG_RUV_TEMPORAL_CACHE_BINARY16)
    return AETHER_BINARY16;
#else
    return AETHER_BINARY32;
#endif
}

static node_wanted wanted(uint32_t input_dim, uint32_t window_len, uint32_t n_classes) {
    const node_wanted all = {input_dim, n_classes, window_len, ruv_cache_dtype(), 0};
    return all;
}

/* ruv_temporal_init has no "any": a count of 0 never matches. */
static uint32_t exactly(uint32_t count) {
    return count != 0 ? count : UINT32_MAX;
}

static void describe(aether_status status, const aether_detail *detail, char *text, size_t size) {
    if (status == AETHER_OK) {
        (void)snprintf(text, size, "fits");
    } else if (detail->field == NULL) {
        (void)snprintf(text, size, "%s", aether_status_text(status));
    } else {
        (void)snprintf(text, size, "%s: %s: expected %s, found %" PRIu64 " (0x%" PRIX64 ")", aether_status_text(status),
                       detail->field, detail->expected, detail->found, detail->found);
    }
}

static esp_err_t log_rejection(aether_status status, const aether_detail *detail) {
    char text[TEXT_BYTES];
    describe(status, detail, text, sizeof text);
    ESP_LOGE(TAG, "%s", text);
    return ruv_error(status);
}

static aether_status measure(const uint8_t *weights, size_t weights_len, const node_wanted *want, size_t *bytes,
                             aether_detail *detail) {
    const aether_status status = node_classifier_size(weights, weights_len, want, bytes, detail);
    if (status == AETHER_OK) {
        *bytes += CONTEXT_BYTES;
    }
    return status;
}

/* `memory` holds a context, followed by a classifier. */
static aether_status build(const uint8_t *weights, size_t weights_len, const node_wanted *want, void *memory,
                           size_t bytes, ruv_temporal_ctx_t **out_ctx, aether_detail *detail) {
    ruv_temporal_ctx_t *ctx = memory;
    node_classifier *classifier = NULL;
    aether_status status;
    if (memory == NULL) {
        return aether_fail(detail, AETHER_E_ARGUMENT, "memory", "not NULL", 0, SIZE_MAX);
    }
    if (((uintptr_t)memory & 7u) != 0) {
        return aether_fail(detail, AETHER_E_ALIGNMENT, "memory", "an address that is a multiple of 8",
                           (uint64_t)(uintptr_t)memory, SIZE_MAX);
    }
    if (bytes < CONTEXT_BYTES) {
        return aether_fail(detail, AETHER_E_MEMORY, "memory", "at least the bytes that ruv_temporal_memory returns", bytes, SIZE_MAX);
    }
    status = node_classifier_init(weights, weights_len, want, (uint8_t *)memory + CONTEXT_BYTES, bytes - CONTEXT_BYTES,
                                  &classifier, detail);
    if (status == AETHER_OK) {
        ctx->classifier = classifier;
        ctx->owned = NULL;
        ctx->memory = bytes;
        *out_ctx = ctx;
    }
    return status;
}

esp_err_t ruv_temporal_init(const uint8_t *weights, size_t weights_len, uint32_t input_dim, uint32_t window_len,
                            uint32_t n_classes, ruv_temporal_ctx_t **out_ctx) {
    const node_wanted want = wanted(exactly(input_dim), window_len, exactly(n_classes));
    aether_detail detail = {0};
    aether_status status;
    size_t bytes = 0;
    void *memory;
    if (out_ctx == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    *out_ctx = NULL;
    status = measure(weights, weights_len, &want, &bytes, &detail);
    if (status != AETHER_OK) {
        return log_rejection(status, &detail);
    }
    memory = heap_caps_aligned_alloc(8, bytes, MALLOC_CAP_8BIT);
    if (memory == NULL) {
        ESP_LOGE(TAG, "no %u bytes of memory", (unsigned)bytes);
        return ESP_ERR_NO_MEM;
    }
    status = build(weights, weights_len, &want, memory, bytes, out_ctx, &detail);
    if (status != AETHER_OK) {
        heap_caps_free(memory);
        return log_rejection(status, &detail);
    }
    (*out_ctx)->owned = memory;
    return ESP_OK;
}

esp_err_t ruv_temporal_memory(const uint8_t *weights, size_t weights_len, uint32_t input_dim, uint32_t window_len,
                              uint32_t n_classes, size_t *bytes) {
    const node_wanted want = wanted(input_dim, window_len, n_classes);
    aether_detail detail = {0};
    aether_status status;
    if (bytes == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    status = measure(weights, weights_len, &want, bytes, &detail);
    return status == AETHER_OK ? ESP_OK : log_rejection(status, &detail);
}

esp_err_t ruv_temporal_init_with_memory(const uint8_t *weights, size_t weights_len, uint32_t input_dim, uint32_t window_len,
                                        uint32_t n_classes, void *memory, size_t bytes, ruv_temporal_ctx_t **out_ctx) {
    const node_wanted want = wanted(input_dim, window_len, n_classes);
    aether_detail detail = {0};
    aether_status status;
    if (out_ctx == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    *out_ctx = NULL;
    status = build(weights, weights_len, &want, memory, bytes, out_ctx, &detail);
    return status == AETHER_OK ? ESP_OK : log_rejection(status, &detail);
}

esp_err_t ruv_temporal_explain(const uint8_t *weights, size_t weights_len, uint32_t input_dim, uint32_t window_len,
                               uint32_t n_classes, char *text, size_t size) {
    const node_wanted want = wanted(input_dim, window_len, n_classes);
    aether_detail detail = {0};
    size_t bytes = 0;
    aether_status status;
    if (text == NULL || size == 0) {
        return ESP_ERR_INVALID_ARG;
    }
    status = measure(weights, weights_len, &want, &bytes, &detail);
    describe(status, &detail, text, size);
    return ruv_error(status);
}

esp_err_t ruv_temporal_push(ruv_temporal_ctx_t *ctx, const float *frame) {
    return ctx == NULL ? ESP_ERR_INVALID_ARG : ruv_error(aether_stream_push(&ctx->classifier->stream, frame));
}

esp_err_t ruv_temporal_push_at(ruv_temporal_ctx_t *ctx, const float *frame, uint64_t time_us) {
    if (ctx == NULL || frame == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    return ruv_error(node_classifier_feed(ctx->classifier, frame, time_us, NULL, NULL));
}

esp_err_t ruv_temporal_classify(ruv_temporal_ctx_t *ctx, float *logits, uint32_t n_classes) {
    const float *newest;
    if (ctx == NULL || logits == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    if (n_classes != ctx->classifier->model.header.n_classes) {
        return ESP_ERR_INVALID_SIZE;
    }
    newest = aether_stream_logits(&ctx->classifier->stream);
    if (newest == NULL) {
#ifdef CONFIG_RUV_TEMPORAL_ZEROS_BEFORE_FIRST_FRAME
        memset(logits, 0, n_classes * sizeof(float));
        return ESP_OK;
#else
        return ESP_ERR_INVALID_STATE;
#endif
    }
    memcpy(logits, newest, n_classes * sizeof(float));
    return ESP_OK;
}

esp_err_t ruv_temporal_embedding(ruv_temporal_ctx_t *ctx, float *embedding, uint32_t embed_dim) {
    const float *newest;
    if (ctx == NULL || embedding == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    if (ctx->classifier->model.embed_dim == 0) {
        return ESP_ERR_NOT_FOUND;
    }
    if (embed_dim != ctx->classifier->model.embed_dim) {
        return ESP_ERR_INVALID_SIZE;
    }
    newest = aether_stream_embedding(&ctx->classifier->stream);
    if (newest == NULL) {
        return ESP_ERR_INVALID_STATE;
    }
    memcpy(embedding, newest, embed_dim * sizeof(float));
    return ESP_OK;
}

esp_err_t ruv_temporal_csi_frame(const ruv_temporal_ctx_t *ctx, const int8_t *iq, size_t n_pairs, uint16_t layout,
                                 bool first_word_invalid, float *frame) {
    if (ctx == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    return ruv_error(node_csi_frame(&ctx->classifier->model, iq, n_pairs, layout, first_word_invalid, frame));
}

esp_err_t ruv_temporal_info(const ruv_temporal_ctx_t *ctx, ruv_temporal_info_t *info) {
    const aether_model *model;
    if (ctx == NULL || info == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    model = &ctx->classifier->model;
    info->input_dim = model->header.input_dim;
    info->n_classes = model->header.n_classes;
    info->embed_dim = (uint32_t)model->embed_dim;
    info->window_len = (uint32_t)ctx->classifier->stream.context;
    info->csi_pairs = node_csi_pairs(model);
    info->period_us = model->resample_period;
    info->label_delay = model->label_delay;
    info->memory = ctx->memory;
    return ESP_OK;
}

const char *ruv_temporal_class_name(const ruv_temporal_ctx_t *ctx, uint32_t index) {
    return ctx != NULL ? node_classifier_class_name(ctx->classifier, index) : NULL;
}

esp_err_t ruv_temporal_reset(ruv_temporal_ctx_t *ctx) {
    if (ctx == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    node_classifier_reset(ctx->classifier);
    return ESP_OK;
}

void ruv_temporal_destroy(ruv_temporal_ctx_t *ctx) {
    if (ctx != NULL) {
        heap_caps_free(ctx->owned);
    }
}
