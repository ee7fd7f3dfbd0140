#include "raw_sender.h"

#include "cadence.h"
#include "csi_input.h"
#include "esp_log.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/queue.h"
#include "freertos/task.h"
#include "ruv_udp.h"
#include "sdkconfig.h"

#define MOST_PAIRS 306u /* of any packet: 612 bytes */
#define WAITING 8
#define STACK 4096

typedef struct {
    size_t bytes;
    unsigned char data[NODE_RAW_HEADER_BYTES + 2u * MOST_PAIRS];
} datagram;

static const char TAG[] = "raw_sender";

static QueueHandle_t queue;
static ruv_udp udp;
#ifdef CONFIG_AETHER_RAW_HZ
static node_cadence cadence;
#endif
static uint8_t id;
static uint32_t sequence;

static void send_for_ever(void *user) {
    static datagram next; /* too large for a small stack */
    (void)user;
    for (;;) {
        if (xQueueReceive(queue, &next, portMAX_DELAY) == pdTRUE) {
            (void)ruv_udp_send(&udp, next.data, next.bytes);
        }
    }
}

esp_err_t raw_sender_start(const char *host, uint16_t port, uint8_t node_id) {
    const esp_err_t error = ruv_udp_open(&udp, host, port);
    if (error != ESP_OK) {
        return error;
    }
    if (udp.socket < 0) {
        ESP_LOGW(TAG, "raw frames have nowhere to go: RUV_TEMPORAL_HOST is empty");
        return ESP_OK;
    }
    id = node_id;
#ifdef CONFIG_AETHER_RAW_HZ
    node_cadence_init(&cadence, 1000000u / CONFIG_AETHER_RAW_HZ);
#endif
    queue = xQueueCreate(WAITING, sizeof(datagram));
    if (queue == NULL || xTaskCreatePinnedToCore(send_for_ever, "raw", STACK, NULL, 4, NULL, tskNO_AFFINITY) != pdPASS) {
        return ESP_ERR_NO_MEM;
    }
    return ESP_OK;
}

/* Whether this frame is one of those that are sent. */
static bool is_sent(void) {
#ifdef CONFIG_AETHER_RAW_HZ
    return node_cadence_due(&cadence, (uint64_t)esp_timer_get_time());
#else
    return true;
#endif
}

uint32_t raw_sender_offer(const csi_frame_t *frame) {
    static datagram made; /* one sender: the driver's task */
    node_raw_header header = {
        .node_id = id,
        .n_antennas = 1,
        .n_subcarriers = (uint16_t)frame->n_pairs,
        .frequency_mhz = node_channel_mhz(frame->channel),
        .rssi = frame->rssi,
        .noise_floor = frame->noise_floor,
        .layout = frame->layout,
    };
    if (queue == NULL || !is_sent()) {
        return sequence;
    }
    header.sequence = sequence++;
    made.bytes = node_csi_raw(&header, frame->iq, frame->n_pairs, frame->first_word_invalid, made.data, sizeof made.data);
    if (made.bytes > 0) {
        (void)xQueueSend(queue, &made, 0);
    }
    return header.sequence;
}
