/* The temporal head as node firmware calls it. One task owns a context; calls are not synchronised inside. With the Kconfig switch
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

/* Opens the RVNE blob `weights` in place (flash-mapped, not copied; at a multiple of 4; it must stay) for a stream of window_len frames.
   The only call that allocates. On failure *out_ctx is NULL.
   ESP_ERR_INVALID_ARG: weights or out_ctx NULL, window_len 0, a blob that is none (magic), or at an address that is no multiple of 4.
   ESP_ERR_INVALID_VERSION: a version or flag this firmware does not know. ESP_ERR_INVALID_CRC: damaged.
   ESP_ERR_INVALID_SIZE: cut or too long, or values in it that do not fit each other, or other input_dim or n_classes than asked for.
   ESP_ERR_NO_MEM. ruv_temporal_explain (ruv_temporal_ext.h) says it in words, and so does the log. */
esp_err_t ruv_temporal_init(const uint8_t *weights, size_t weights_len, uint32_t input_dim, uint32_t window_len,
                            uint32_t n_classes, ruv_temporal_ctx_t **out_ctx);

/* Takes one frame of input_dim floats through the model. On any error the stream is as it was before.
   ESP_ERR_INVALID_ARG: a NULL, a frame with NaN or infinity, or one whose numbers leave their range. */
esp_err_t ruv_temporal_push(ruv_temporal_ctx_t *ctx, const float *frame);

/* Writes the n_classes logits after the newest frame. ESP_ERR_INVALID_ARG: a NULL. ESP_ERR_INVALID_SIZE: another n_classes.
   ESP_ERR_INVALID_STATE: before the first frame. */
esp_err_t ruv_temporal_classify(ruv_temporal_ctx_t *ctx, float *logits, uint32_t n_classes);

/* Gives back what init took. NULL is fine. */
void ruv_temporal_destroy(ruv_temporal_ctx_t *ctx);

/* Computes golden vectors with this chip's own instructions and compares every bit: exp, square root, binary16 both ways, CRC-32, linear
   layers, attention with ring and landmarks, resampling, and a whole model with every section, subnormal numbers among them.
   ESP_ERR_INVALID_STATE: other bits (the log names case and element). ESP_ERR_INVALID_CRC: the vectors themselves are damaged.
   ESP_ERR_NO_MEM: it needs some memory while it runs. */
esp_err_t ruv_temporal_kernel_self_test(void);

#ifdef __cplusplus
}
#endif
#endif
