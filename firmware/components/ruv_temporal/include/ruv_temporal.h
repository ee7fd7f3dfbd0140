/* The interface of the temporal head for node firmware. One task owns a context; calls are not synchronised. With the Kconfig switch
   off (RUV_TEMPORAL, the default) every function returns ESP_ERR_NOT_SUPPORTED and destroy does nothing. */
#ifndef RUV_TEMPORAL_H
#define RUV_TEMPORAL_H

#include <stddef.h>
#include <stdint.h>

#include "esp_err.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ruv_temporal_ctx ruv_temporal_ctx_t;

/* Opens the RVNE blob `weights` in place (flash-mapped, 4-byte aligned; it must outlive the context) for a stream of window_len frames.
   Only this call allocates. On failure *out_ctx is NULL.
   ESP_ERR_INVALID_ARG: weights or out_ctx is NULL, window_len is 0, the magic is wrong, or the address is not a multiple of 4.
   ESP_ERR_INVALID_VERSION: the blob has a version or flag that this firmware does not support. ESP_ERR_INVALID_CRC: it is damaged.
   ESP_ERR_INVALID_SIZE: it is truncated or too long, its fields contradict each other, or its input_dim or n_classes differs.
   ESP_ERR_NO_MEM. The log and ruv_temporal_explain (ruv_temporal_ext.h) name the field. */
esp_err_t ruv_temporal_init(const uint8_t *weights, size_t weights_len, uint32_t input_dim, uint32_t window_len,
                            uint32_t n_classes, ruv_temporal_ctx_t **out_ctx);

/* Feeds one frame of input_dim floats to the model. On any error the stream keeps its state.
   ESP_ERR_INVALID_ARG: an argument is NULL, or the frame has NaN or infinity, or overflows. */
esp_err_t ruv_temporal_push(ruv_temporal_ctx_t *ctx, const float *frame);

/* Writes the n_classes logits after the newest frame. ESP_ERR_INVALID_ARG: an argument is NULL. ESP_ERR_INVALID_SIZE: n_classes
   differs from the model's. ESP_ERR_INVALID_STATE: no frame was pushed yet; with RUV_TEMPORAL_ZEROS_BEFORE_FIRST_FRAME, zeros and ESP_OK. */
esp_err_t ruv_temporal_classify(ruv_temporal_ctx_t *ctx, float *logits, uint32_t n_classes);

/* Frees what init allocated. NULL is allowed. */
void ruv_temporal_destroy(ruv_temporal_ctx_t *ctx);

/* Computes golden vectors with this chip's own instructions and compares every bit: exp, square root, binary16 both ways, CRC-32, linear
   layers, attention with ring and landmarks, resampling, and a whole model with every section, subnormal numbers among them.
   ESP_ERR_INVALID_STATE: a bit differs (the log names case and element). ESP_ERR_INVALID_CRC: the vectors are damaged.
   ESP_ERR_NO_MEM: not enough memory for the test's scratch. */
esp_err_t ruv_temporal_kernel_self_test(void);

#ifdef __cplusplus
}
#endif
#endif
