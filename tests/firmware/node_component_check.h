/* What the checks of the component share. A check ends the program with the line of what failed. */
#ifndef NODE_COMPONENT_CHECK_H
#define NODE_COMPONENT_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include "esp_log.h"
#include "fake.h"
#include "prototypes.h"
#include "ruv_temporal_ext.h"
#include "temporal_task.h"
#include "temporal_update.h"

#define MUST(condition)                                                             \
    do {                                                                            \
        if (!(condition)) {                                                         \
            printf("line %d: %s\n", __LINE__, #condition);                          \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

int is(esp_err_t expected, esp_err_t got, int line);
#define IS(expected, got) ((void)is(expected, got, __LINE__))

/* Waits until a count of the task has come to `least`. The time limit is for a task that hangs. */
#define WAIT_UNTIL(count, least)                                   \
    do {                                                           \
        temporal_task_stats_t now_;                                \
        int tries_ = 12000;                                        \
        IS(ESP_OK, temporal_task_stats(&now_));                    \
        while (now_.count < (least) && tries_-- > 0) {             \
            vTaskDelay(1);                                         \
            IS(ESP_OK, temporal_task_stats(&now_));                \
        }                                                          \
        MUST(now_.count >= (least) && "within two minutes");       \
    } while (0)

extern uint8_t *blob;
extern size_t blob_bytes;
extern uint64_t blob_memory[1 << 14];
extern float *one_frame;
extern uint32_t features;
extern int sending; /* while another thread is to send or update */

/* Reads a file of less than `capacity` bytes. */
size_t load(const char *path, void *to, size_t capacity);
/* Reads a slot image; "-": an empty slot. */
void load_slot(unsigned slot, const char *path);
/* Reads a file into `blob`. */
void load_blob(const char *path);
void frame_of(uint32_t t, float *frame, uint32_t n);
temporal_task_config_t config_with(const char *host, int port, uint32_t period_ms);

/* Takes the shape from the task that runs, and `one_frame` of that shape. */
void need_frame(void);
/* Sends the task frame `t` in `one_frame`. */
void submit(uint32_t t);

/* The interface of ruv_temporal.h: node_interface_check.c. */
#ifndef FAKE_SWITCHED_OFF
void check_all_codes(void);
#endif
void check_interface(uint32_t input_dim, uint32_t classes);
void check_zeros(uint32_t input_dim, uint32_t classes);
void check_self_test(void);
void check_off(void);

/* The task and its frames: node_task_check.c. */
void check_start(void);
void check_rejections(void);
void check_cycle(int times);
void check_send_packets(int port);
void check_flood(void);
void check_csi(uint32_t expected_pairs);
void check_state(const char *path);
void check_wrong_shape(const char *path);

#ifndef FAKE_SWITCHED_OFF
/* A threshold of the node's own: node_calibration_check.c. */
void check_calibration(void);
void check_other_calibration(const char *measured, const char *other, const char *none);
#endif

/* Slots, memory and updates: node_slots_check.c. */
void check_faults(void);
void check_small_heap(size_t bytes);
void check_no_frames(int times);
void check_memory(const char *path);
void check_update(const char *path);
void check_update_cycle(int times, const char *path);

#endif
