/* What goes beyond the drop-in interface. The same rules: one task owns a context; ESP_ERR_NOT_SUPPORTED with the Kconfig switch off. */
#ifndef RUV_TEMPORAL_EXT_H
#define RUV_TEMPORAL_EXT_H

#include <stdbool.h>

#include "ruv_temporal.h"

#ifdef __cplusplus
extern "C" {
#endif

/* In these functions input_dim or n_classes 0 stands for whatever the blob has. The codes are those of ruv_temporal_init. */

/* Bytes that a context on this blob takes. */
esp_err_t ruv_temporal_memory(const uint8_t *weights, size_t weights_len, uint32_t input_dim, uint32_t window_len,
                              uint32_t n_classes, size_t *bytes);

/* ruv_temporal_init in the caller's memory (8-byte aligned; at least ruv_temporal_memory bytes, else ESP_ERR_NO_MEM): allocates nothing.
   The memory is the caller's again after ruv_temporal_destroy. */
esp_err_t ruv_temporal_init_with_memory(const uint8_t *weights, size_t weights_len, uint32_t input_dim, uint32_t window_len,
                                        uint32_t n_classes, void *memory, size_t bytes, ruv_temporal_ctx_t **out_ctx);

/* Why ruv_temporal_init would reject this, in words: the field, what was expected, what was found. Writes at most `size` bytes with
   the final zero. Returns what init would, ESP_ERR_NO_MEM aside. */
esp_err_t ruv_temporal_explain(const uint8_t *weights, size_t weights_len, uint32_t input_dim, uint32_t window_len,
                               uint32_t n_classes, char *text, size_t size);

typedef struct {
    uint32_t input_dim;   /* features a frame */
    uint32_t n_classes;
    uint32_t embed_dim;   /* 0: the model has no embedding */
    uint32_t window_len;  /* frames */
    uint32_t csi_pairs;   /* I/Q pairs a raw frame must have; input_dim when the blob does not choose subcarriers */
    uint32_t period_us;   /* of the grid that frames are put on by ruv_temporal_push_at; 0: as they come */
    uint32_t label_delay; /* frames: a prediction is for the frame so many before the newest */
    size_t memory;        /* bytes of the context */
} ruv_temporal_info_t;
esp_err_t ruv_temporal_info(const ruv_temporal_ctx_t *ctx, ruv_temporal_info_t *info);

/* Name of a class, zero-terminated, in the blob; NULL when it has none or there is no such class. */
const char *ruv_temporal_class_name(const ruv_temporal_ctx_t *ctx, uint32_t index);

/* ruv_temporal_push for frames that do not come evenly: time_us, microseconds that do not wrap. A blob with a timing section gets the
   frames on its own grid, so that this may push none, one or several, and begins anew after a gap; any other takes the frame as it
   is. ruv_temporal_push takes frames as they are in either case. */
esp_err_t ruv_temporal_push_at(ruv_temporal_ctx_t *ctx, const float *frame, uint64_t time_us);

/* The frame [input_dim] that the blob asks for, of n_pairs raw I/Q pairs in the Wi-Fi driver's order. first_word_invalid: as in
   wifi_csi_info_t; the first two pairs count as zero. ESP_ERR_INVALID_SIZE: another number of pairs than csi_pairs. */
esp_err_t ruv_temporal_csi_frame(const ruv_temporal_ctx_t *ctx, const int8_t *iq, size_t n_pairs, bool first_word_invalid,
                                 float *frame);

/* Writes the embedding after the newest frame. ESP_ERR_INVALID_SIZE: another dim than the model's; ESP_ERR_INVALID_STATE: before
   the first frame; ESP_ERR_NOT_FOUND: the model has none. */
esp_err_t ruv_temporal_embedding(ruv_temporal_ctx_t *ctx, float *embedding, uint32_t embed_dim);

/* Forgets all frames. */
esp_err_t ruv_temporal_reset(ruv_temporal_ctx_t *ctx);

#ifdef __cplusplus
}
#endif
#endif
