/* Board check: runs the golden vectors at start and on command from the serial port. When a slot holds a blob, it then feeds synthetic
   frames to the temporal head, to measure this chip. */
#include <stdio.h>
#include <stdlib.h>

#include "esp_heap_caps.h"
#include "esp_log.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "parity.h"
#include "sdkconfig.h"
#include "temporal_task.h"

#define STACK 16384
#define REST_US 200000 /* a run takes many seconds: the idle task must run, or its watchdog resets the chip */
#define FRAME_MS 20

static const char TAG[] = "aether_board";

static void write_line(void *user, const char *text, size_t bytes) {
    (void)user;
    (void)fwrite(text, 1, bytes, stdout);
    (void)fflush(stdout);
}

static void rest(void *user) {
    static int64_t rested;
    const int64_t now = esp_timer_get_time();
    (void)user;
    if (now - rested > REST_US) {
        vTaskDelay(1);
        rested = now;
    }
}

static size_t stack_used(void *user) {
    (void)user;
    return STACK - uxTaskGetStackHighWaterMark(NULL);
}

static report out = {.write = write_line};
static parity_io io = {
    .out = &out,
    .rest = rest,
    .stack_used = stack_used,
    .stack_size = STACK,
    .chip = CONFIG_IDF_TARGET,
    .vectors = aether_vectors,
};

static void make_frame(float *frame, uint32_t features, uint32_t t) {
    uint32_t f;
    for (f = 0; f < features; f++) {
        frame[f] = (float)((t * 37u + f * 11u) % 64u);
    }
}

/* Reads commands and feeds frames to the head; does not return. */
static void serve(uint32_t features, float *frame) {
    static parity_console console;
    uint32_t t = 0;
    int64_t next = esp_timer_get_time();
    for (;;) {
        const int c = getchar();
        if (c != EOF) {
            const char byte = (char)c;
            parity_console_take(&console, &io, &byte, 1);
            continue;
        }
        clearerr(stdin); /* no input yet */
        if (frame != NULL && esp_timer_get_time() >= next) {
            make_frame(frame, features, t++);
            (void)temporal_task_submit(frame, features);
            next += FRAME_MS * 1000;
        }
        vTaskDelay(1);
    }
}

static void board(void *user) {
    uint32_t features = 0, pairs = 0;
    float *frame = NULL;
    (void)user;
    io.vectors_bytes = (size_t)((uintptr_t)aether_vectors_end - (uintptr_t)aether_vectors);
    io.scratch_bytes = parity_scratch(&io);
    io.scratch = heap_caps_aligned_alloc(8, io.scratch_bytes, MALLOC_CAP_8BIT);
    if (io.scratch == NULL) {
        io.scratch_bytes = 0; /* the report then shows the failure for each file */
    }
    (void)parity_run(&io, "boot");
    if (temporal_task_start(NULL) == ESP_OK && temporal_task_shape(&features, &pairs) == ESP_OK) {
        ESP_LOGI(TAG, "feeding synthetic frames to the head, one every %d ms", FRAME_MS);
        frame = calloc(features, sizeof *frame);
    }
    serve(features, frame);
}

void app_main(void) {
    if (xTaskCreatePinnedToCore(board, "board", STACK, NULL, 2, NULL, 0) != pdPASS) {
        ESP_LOGE(TAG, "no memory for a stack of %d bytes", STACK);
    }
}
