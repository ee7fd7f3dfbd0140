/* The temporal head as a task of its own: frames in, once a period one classification packet (40 bytes, magic 0xC5110007) out over
   UDP. One task at a time. start, stop, shape and stats are called by one task; the submit functions by one task, which may be another (the
   Wi-Fi driver's, in its CSI callback): they never wait. With the Kconfig switch off everything returns ESP_ERR_NOT_SUPPORTED. */
#ifndef TEMPORAL_TASK_H
#define TEMPORAL_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "esp_err.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t input_dim;     /* features a frame the application gives; 0: what the blob takes */
    uint32_t n_classes;     /* 0: what the blob has */
    uint32_t window_len;    /* frames */
    uint32_t period_ms;     /* between classifications */
    uint8_t node_id;
    const char *host;       /* IPv4 address in digits; "" or NULL: no packets, predictions are logged */
    uint16_t port;
    const uint8_t *weights; /* a blob in flash at a multiple of 4, which stays; NULL: from the slots aether_a, aether_b */
    size_t weights_len;
} temporal_task_config_t;

/* As Kconfig says. */
temporal_task_config_t temporal_task_default_config(void);

/* Proves the kernels (once a boot), opens the blob, begins. config NULL: the default. All memory is taken here. On failure nothing is left
   behind, the log says why, slot by slot, and the code names it:
   ESP_ERR_INVALID_STATE: it runs already, the kernels or the model compute other bits than they must, or a slot is worn out.
   ESP_ERR_NOT_FOUND: there is no blob. ESP_ERR_INVALID_ARG: host is no address, period_ms is 0, or more classes than a packet can
   name. The codes of ruv_temporal_init for a blob that is rejected. ESP_ERR_NO_MEM. ESP_FAIL: flash or network failed. */
esp_err_t temporal_task_start(const temporal_task_config_t *config);

/* Ends the task and gives everything back. ESP_ERR_INVALID_STATE: it does not run. */
esp_err_t temporal_task_stop(void);

/* Queues a frame of n floats for now. ESP_ERR_NO_MEM: the queue is full, this frame is dropped and counted. ESP_ERR_INVALID_SIZE:
   another n than the blob takes. ESP_ERR_INVALID_STATE: no task. */
esp_err_t temporal_task_submit(const float *frame, uint32_t n);

/* Queues the frame the blob asks for, of raw I/Q pairs as the Wi-Fi driver gives them: its 32-bit timestamp in microseconds, which may
   wrap, tells the time. The codes above. */
esp_err_t temporal_task_submit_csi(const int8_t *iq, size_t n_pairs, bool first_word_invalid, uint32_t timestamp);

/* Queues the nine features of a feature-state packet (60 bytes, magic 0xC5110006) for the time it says. ESP_ERR_INVALID_CRC: not one,
   or damaged. The codes above. */
esp_err_t temporal_task_submit_state(const void *packet, size_t length);

/* Features of a frame, and I/Q pairs that a raw frame must have, for the blob in use. ESP_ERR_INVALID_STATE: no task. */
esp_err_t temporal_task_shape(uint32_t *features, uint32_t *csi_pairs);

typedef struct {
    uint32_t frames;          /* taken from the queue */
    uint32_t dropped;         /* the queue was full */
    uint32_t rejected;         /* NaN, infinity, or numbers that leave their range */
    uint32_t wrong_shape;     /* frames of another number of features, or of pairs */
    uint32_t restarts;        /* gaps after which the stream began anew */
    uint32_t classifications;
    uint32_t idle;            /* periods without a new frame: no packet */
    uint32_t sent, send_errors;
    uint32_t clock_jumps;     /* times a clock went back */
    uint32_t longest_queue;   /* most frames that ever waited */
    uint32_t worst_frame_us;  /* the longest that one frame took */
    uint32_t stack_left;      /* bytes of stack never used */
    size_t memory;            /* bytes taken at start, stack left out */
} temporal_task_stats_t;
esp_err_t temporal_task_stats(temporal_task_stats_t *stats);

#ifdef __cplusplus
}
#endif
#endif
