/* The temporal head as a separate task: it takes frames and sends one classification packet (40 bytes, magic 0xC5110007) per period
   over UDP. One task at a time. start, stop, calibrate, forget_room, shape and stats are called by one task; the submit functions by one task, which may be another (the
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
    uint32_t input_dim;     /* features per frame of the application; 0: accept any */
    uint32_t n_classes;     /* 0: accept any */
    uint32_t context;       /* of the stream, in frames */
    uint32_t period_ms;     /* between classifications */
    uint8_t node_id;
    const char *host;       /* IPv4 address in digits; "" or NULL: no packets, predictions are logged */
    uint16_t port;
    const uint8_t *weights; /* a 4-byte aligned blob that outlives the task; NULL: use the slots aether_a, aether_b */
    size_t weights_len;
} temporal_task_config_t;

/* The settings of Kconfig. */
temporal_task_config_t temporal_task_default_config(void);

/* Runs the kernel self-test (once per boot), opens the blob and starts the task. config NULL: the default. Allocates all memory. On
   failure it frees everything, logs the reason for each slot, and returns a code:
   ESP_ERR_INVALID_STATE: the task runs already, the self-test or the model's check failed, or a slot has no trials left.
   ESP_ERR_NOT_FOUND: there is no blob. ESP_ERR_INVALID_ARG: host is not an address, or period_ms is 0. The codes of ruv_temporal_init for
   a rejected blob; ESP_ERR_INVALID_SIZE also for more classes than a packet can name (256). ESP_ERR_NO_MEM. ESP_FAIL: flash or network
   failed. A model that was never confirmed is on trial: the task confirms it after its first predictions in time (docs/spec/slots.md). */
esp_err_t temporal_task_start(const temporal_task_config_t *config);

/* Stores in *bytes what a start on this blob allocates: model, queue, task and stack. config NULL: the default. The codes of
   temporal_task_start for a rejected blob; ESP_ERR_INVALID_ARG: bytes is NULL. */
esp_err_t temporal_task_memory(const temporal_task_config_t *config, const uint8_t *weights, size_t weights_len, size_t *bytes);

/* Ends the task and frees its memory. ESP_ERR_INVALID_STATE: the task does not run. */
esp_err_t temporal_task_stop(void);

/* Queues a frame of n floats with the current time. ESP_ERR_NO_MEM: the queue is full; the frame is dropped and counted.
   ESP_ERR_INVALID_SIZE: n differs from the blob's input_dim. ESP_ERR_INVALID_STATE: no task runs. */
esp_err_t temporal_task_submit(const float *frame, uint32_t n);

/* Computes the blob's frame from raw I/Q pairs in the Wi-Fi driver's order, and queues it. layout: what the driver says about the frame
   (node_layout in csi_input.h; 0: nothing), by which a blob's subcarriers are found by number. number: of the raw frame that a host gets of
   them, for receipts (docs/spec/receipts.md); else any. timestamp: the driver's 32-bit counter in
   microseconds, which may wrap. Returns the codes above. */
esp_err_t temporal_task_submit_csi(const int8_t *iq, size_t n_pairs, uint16_t layout, bool first_word_invalid, uint32_t number,
                                   uint32_t timestamp);

/* Queues the nine features of a feature-state packet (60 bytes, magic 0xC5110006) with the packet's time. ESP_ERR_INVALID_CRC: the packet
   has another length or magic, or is damaged. Also returns the codes above. */
esp_err_t temporal_task_submit_state(const void *packet, size_t length);

/* The features per frame and the I/Q pairs per raw frame of the blob in use. ESP_ERR_INVALID_STATE: no task runs. */
esp_err_t temporal_task_shape(uint32_t *features, uint32_t *csi_pairs);

/* Measures a quiet room: for ten seconds, the first two of which do not count, nobody may move. The task then takes the room's threshold in place
   of the model's own, and stores it beside the model in the namespace "aether" of NVS, which the application has initialised: later starts with this
   model have it, one with another model has not. It logs the outcome; temporal_task_stats has it too. A measurement that fails leaves the
   threshold as it was. ESP_ERR_INVALID_STATE: no task runs. ESP_ERR_NOT_SUPPORTED: the blob is no motion model (classes quiet and moving),
   or RUV_TEMPORAL_RECEIPTS is on: what receives receipts knows no threshold but the model's. */
esp_err_t temporal_task_calibrate(void);

/* Returns to the model's own threshold, and forgets the stored one. ESP_ERR_INVALID_STATE: no task runs. */
esp_err_t temporal_task_uncalibrate(void);

typedef struct {
    uint32_t frames;          /* taken from the queue */
    uint32_t dropped;         /* frames that found the queue full */
    uint32_t rejected;        /* frames with NaN or infinity, or that overflow */
    uint32_t wrong_shape;     /* frames with a wrong number of features or pairs, or without a wanted subcarrier */
    uint32_t restarts;        /* gaps after which the stream restarted */
    uint32_t classifications;
    uint32_t idle;            /* periods without a new frame, and so without a packet */
    uint32_t sent, send_errors;
    uint32_t clock_jumps;     /* how often a clock went back */
    uint32_t longest_queue;   /* most frames that ever waited */
    uint32_t worst_frame_us;  /* longest time that one frame took the model */
    uint32_t stack_left;      /* bytes of stack that were never used */
    uint32_t on_trial;        /* 1: the slot in use is not confirmed yet */
    uint32_t calibration;            /* of temporal_task_calibrate: 0 nothing yet, 1 measuring, 2 measured, 3 failed: motion, 4 failed: too few frames */
    float threshold;          /* of the room; 0: the model's own */
    size_t memory;            /* bytes allocated at start, stack included */
} temporal_task_stats_t;
esp_err_t temporal_task_stats(temporal_task_stats_t *stats);

#ifdef __cplusplus
}
#endif
#endif
