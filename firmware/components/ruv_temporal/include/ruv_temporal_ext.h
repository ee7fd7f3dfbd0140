/* Extensions of ruv_temporal.h. The same rules apply: one task owns a context; ESP_ERR_NOT_SUPPORTED with the Kconfig switch off. */
#ifndef RUV_TEMPORAL_EXT_H
#define RUV_TEMPORAL_EXT_H

#include <stdbool.h>

#include "ruv_temporal.h"

#ifdef __cplusplus
extern "C" {
#endif

/* In these functions, an input_dim or n_classes of 0 accepts any. They return the codes of ruv_temporal_init. */

/* Stores in *bytes the memory that a context on this blob takes. */
esp_err_t ruv_temporal_memory(const uint8_t *weights, size_t weights_len, uint32_t input_dim, uint32_t window_len,
                              uint32_t n_classes, size_t *bytes);

/* ruv_temporal_init in the caller's memory (8-byte aligned; at least ruv_temporal_memory bytes, else ESP_ERR_NO_MEM); does not allocate.
   The caller may reuse the memory after ruv_temporal_destroy. */
esp_err_t ruv_temporal_init_with_memory(const uint8_t *weights, size_t weights_len, uint32_t input_dim, uint32_t window_len,
                                        uint32_t n_classes, void *memory, size_t bytes, ruv_temporal_ctx_t **out_ctx);

/* Why ruv_temporal_init would reject this, as text: the field, the expected and the found value. Writes at most `size` bytes,
   terminating zero included. Returns what init would return, except ESP_ERR_NO_MEM. */
esp_err_t ruv_temporal_explain(const uint8_t *weights, size_t weights_len, uint32_t input_dim, uint32_t window_len,
                               uint32_t n_classes, char *text, size_t size);

typedef struct {
    uint32_t input_dim;   /* features per frame */
    uint32_t n_classes;
    uint32_t embed_dim;   /* 0: the model has no embedding */
    uint32_t window_len;  /* frames */
    uint32_t csi_pairs;   /* I/Q pairs of a raw frame; input_dim when the blob selects no subcarriers */
    uint32_t period_us;   /* of the grid to which ruv_temporal_push_at resamples; 0: none */
    uint32_t label_delay; /* a prediction is for the frame this many frames before the newest */
    size_t memory;        /* bytes of the context */
} ruv_temporal_info_t;
esp_err_t ruv_temporal_info(const ruv_temporal_ctx_t *ctx, ruv_temporal_info_t *info);

/* A zero-terminated class name, inside the blob. NULL: the blob names no classes, or `index` is out of range. */
const char *ruv_temporal_class_name(const ruv_temporal_ctx_t *ctx, uint32_t index);

/* ruv_temporal_push for unevenly spaced frames. time_us: microseconds that do not wrap. If the blob has a timing section, the frame is
   resampled: this call pushes none, one or several frames, and restarts the stream after a gap. Otherwise it pushes the frame
   unchanged. ruv_temporal_push never resamples. */
esp_err_t ruv_temporal_push_at(ruv_temporal_ctx_t *ctx, const float *frame, uint64_t time_us);

/* Computes the blob's frame [input_dim] from n_pairs raw I/Q pairs in the Wi-Fi driver's order. layout: what the driver says about
   the frame (node_layout in csi_input.h; 0: nothing). first_word_invalid: as in
   wifi_csi_info_t; the first two pairs then count as zero. ESP_ERR_INVALID_SIZE: n_pairs differs from csi_pairs. */
esp_err_t ruv_temporal_csi_frame(const ruv_temporal_ctx_t *ctx, const int8_t *iq, size_t n_pairs, uint16_t layout,
                                 bool first_word_invalid, float *frame);

/* Writes the embedding after the newest frame. ESP_ERR_INVALID_SIZE: embed_dim differs from the model's; ESP_ERR_INVALID_STATE:
   no frame was pushed yet; ESP_ERR_NOT_FOUND: the model has no embedding. */
esp_err_t ruv_temporal_embedding(ruv_temporal_ctx_t *ctx, float *embedding, uint32_t embed_dim);

/* Discards all frames. */
esp_err_t ruv_temporal_reset(ruv_temporal_ctx_t *ctx);

#ifdef __cplusplus
}
#endif
#endif
