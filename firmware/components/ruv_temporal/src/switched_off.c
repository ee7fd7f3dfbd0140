/* All functions when the Kconfig option RUV_TEMPORAL is off. */
#include "ruv_temporal_ext.h"
#include "temporal_task.h"
#include "temporal_update.h"

#define OFF return ESP_ERR_NOT_SUPPORTED

esp_err_t ruv_temporal_init(const uint8_t *weights, size_t weights_len, uint32_t input_dim, uint32_t window_len,
                            uint32_t n_classes, ruv_temporal_ctx_t **out_ctx) {
    (void)weights, (void)weights_len, (void)input_dim, (void)window_len, (void)n_classes;
    if (out_ctx != NULL) {
        *out_ctx = NULL;
    }
    OFF;
}

esp_err_t ruv_temporal_push(ruv_temporal_ctx_t *ctx, const float *frame) {
    (void)ctx, (void)frame;
    OFF;
}

esp_err_t ruv_temporal_classify(ruv_temporal_ctx_t *ctx, float *logits, uint32_t n_classes) {
    (void)ctx, (void)logits, (void)n_classes;
    OFF;
}

void ruv_temporal_destroy(ruv_temporal_ctx_t *ctx) {
    (void)ctx;
}

esp_err_t ruv_temporal_kernel_self_test(void) {
    OFF;
}

esp_err_t ruv_temporal_memory(const uint8_t *weights, size_t weights_len, uint32_t input_dim, uint32_t window_len,
                              uint32_t n_classes, size_t *bytes) {
    (void)weights, (void)weights_len, (void)input_dim, (void)window_len, (void)n_classes, (void)bytes;
    OFF;
}

esp_err_t ruv_temporal_init_with_memory(const uint8_t *weights, size_t weights_len, uint32_t input_dim, uint32_t window_len,
                                        uint32_t n_classes, void *memory, size_t bytes, ruv_temporal_ctx_t **out_ctx) {
    (void)memory, (void)bytes;
    return ruv_temporal_init(weights, weights_len, input_dim, window_len, n_classes, out_ctx);
}

esp_err_t ruv_temporal_explain(const uint8_t *weights, size_t weights_len, uint32_t input_dim, uint32_t window_len,
                               uint32_t n_classes, char *text, size_t size) {
    (void)weights, (void)weights_len, (void)input_dim, (void)window_len, (void)n_classes, (void)text, (void)size;
    OFF;
}

esp_err_t ruv_temporal_info(const ruv_temporal_ctx_t *ctx, ruv_temporal_info_t *info) {
    (void)ctx, (void)info;
    OFF;
}

const char *ruv_temporal_class_name(const ruv_temporal_ctx_t *ctx, uint32_t index) {
    (void)ctx, (void)index;
    return NULL;
}

esp_err_t ruv_temporal_push_at(ruv_temporal_ctx_t *ctx, const float *frame, uint64_t time_us) {
    (void)ctx, (void)frame, (void)time_us;
    OFF;
}

esp_err_t ruv_temporal_csi_frame(const ruv_temporal_ctx_t *ctx, const int8_t *iq, size_t n_pairs, uint16_t layout,
                                 bool first_word_invalid, float *frame) {
    (void)ctx, (void)iq, (void)n_pairs, (void)layout, (void)first_word_invalid, (void)frame;
    OFF;
}

esp_err_t ruv_temporal_embedding(ruv_temporal_ctx_t *ctx, float *embedding, uint32_t embed_dim) {
    (void)ctx, (void)embedding, (void)embed_dim;
    OFF;
}

esp_err_t ruv_temporal_reset(ruv_temporal_ctx_t *ctx) {
    (void)ctx;
    OFF;
}

temporal_task_config_t temporal_task_default_config(void) {
    const temporal_task_config_t none = {0};
    return none;
}

esp_err_t temporal_task_start(const temporal_task_config_t *config) {
    (void)config;
    OFF;
}

esp_err_t temporal_task_stop(void) {
    OFF;
}

esp_err_t temporal_task_submit(const float *frame, uint32_t n) {
    (void)frame, (void)n;
    OFF;
}

esp_err_t temporal_task_submit_csi(const int8_t *iq, size_t n_pairs, uint16_t layout, bool first_word_invalid, uint32_t number,
                                   uint32_t timestamp) {
    (void)iq, (void)n_pairs, (void)layout, (void)first_word_invalid, (void)number, (void)timestamp;
    OFF;
}

esp_err_t temporal_task_submit_state(const void *packet, size_t length) {
    (void)packet, (void)length;
    OFF;
}

esp_err_t temporal_task_shape(uint32_t *features, uint32_t *csi_pairs) {
    (void)features, (void)csi_pairs;
    OFF;
}

esp_err_t temporal_task_memory(const temporal_task_config_t *config, const uint8_t *weights, size_t weights_len, size_t *bytes) {
    (void)config, (void)weights, (void)weights_len, (void)bytes;
    OFF;
}

esp_err_t temporal_task_calibrate(void) {
    OFF;
}

esp_err_t temporal_task_uncalibrate(void) {
    OFF;
}

esp_err_t temporal_task_stats(temporal_task_stats_t *stats) {
    (void)stats;
    OFF;
}

esp_err_t temporal_update_begin(void) {
    OFF;
}

esp_err_t temporal_update_write(const void *bytes, size_t count) {
    (void)bytes, (void)count;
    OFF;
}

esp_err_t temporal_update_finish(void) {
    OFF;
}
