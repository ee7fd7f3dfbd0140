/* A self-contained node: joins a network, takes CSI from its Wi-Fi driver, computes the blob's features, classifies and sends. Without a
   network it logs an error and waits; without a blob it runs without a head. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "csi_source.h"
#include "esp_log.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "network.h"
#include "raw_sender.h"
#include "sdkconfig.h"
#include "temporal_task.h"

#define LLTF_PAIRS 64u
#define LINE 24u

static const char TAG[] = "aether_node";

static void take(const csi_frame_t *frame) {
    uint32_t number = 0;
#ifdef CONFIG_AETHER_SEND_RAW
    number = raw_sender_offer(frame);
#endif
    (void)temporal_task_submit_csi(frame->iq, frame->n_pairs, frame->layout, frame->first_word_invalid, number, frame->timestamp);
}

static void log_forever(const char *why) {
    for (;;) {
        ESP_LOGW(TAG, "%s", why);
        vTaskDelay(pdMS_TO_TICKS(60000));
    }
}

/* Whether the blob requires more than the 64 pairs that every packet has. */
static bool start_head(uint8_t node_id) {
    temporal_task_config_t config = temporal_task_default_config();
    uint32_t features = 0, pairs = 0;
    config.node_id = node_id;
    if (temporal_task_start(&config) != ESP_OK || temporal_task_shape(&features, &pairs) != ESP_OK) {
        ESP_LOGE(TAG, "running without a head: write one with `aether device flash`");
        return false;
    }
    ESP_LOGI(TAG, "the blob requires frames of %" PRIu32 " pairs", pairs);
    return pairs > LLTF_PAIRS;
}

static void obey(const char *line) {
    esp_err_t error = ESP_OK;
    if (strcmp(line, "calibrate") == 0) {
        error = temporal_task_calibrate();
    } else if (strcmp(line, "calibrate off") == 0) {
        error = temporal_task_uncalibrate();
    } else if (line[0] != 0) {
        ESP_LOGE(TAG, "command: expected `calibrate` or `calibrate off`, found another");
    }
    if (error == ESP_ERR_NOT_SUPPORTED) {
        ESP_LOGE(TAG, "calibrate: expected a model with the classes quiet and moving, found another; use `motion`");
    } else if (error != ESP_OK) {
        ESP_LOGE(TAG, "calibrate: %s: no head runs", esp_err_to_name(error));
    }
}

/* Commands from the console, a line each; does not return. */
static void serve_console(void) {
    static char line[LINE];
    size_t n = 0;
    for (;;) {
        const int c = getchar();
        if (c == EOF) {
            clearerr(stdin); /* no input yet */
            vTaskDelay(pdMS_TO_TICKS(50));
        } else if (c == '\n' || c == '\r') {
            line[n] = 0;
            obey(line);
            n = 0;
        } else if (n + 1 < LINE) {
            line[n++] = (char)c;
        }
    }
}

void app_main(void) {
    static network_settings_t settings;
    bool more_fields;
    esp_err_t error = network_settings(&settings);
    if (error != ESP_OK) {
        ESP_LOGE(TAG, "no settings from flash: %s", esp_err_to_name(error));
    }
    more_fields = start_head(settings.node_id);
#ifdef CONFIG_AETHER_CSI_ALL_FIELDS
    more_fields = true;
#endif
    if (settings.name[0] == 0) {
        log_forever("no Wi-Fi network is configured: set one in menuconfig (AETHER application), or `ssid` in the namespace "
                      "`aether` of the nvs partition");
    }
    error = network_join(&settings, csi_source_listen_to);
#ifdef CONFIG_AETHER_SEND_RAW
    if (error == ESP_OK) {
        error = raw_sender_start(CONFIG_RUV_TEMPORAL_HOST, CONFIG_RUV_TEMPORAL_PORT, settings.node_id);
    }
#endif
    if (error == ESP_OK) {
        error = csi_source_start(more_fields, take);
    }
    if (error != ESP_OK) {
        ESP_LOGE(TAG, "no CSI: %s", esp_err_to_name(error));
        log_forever("this node receives nothing");
    }
    serve_console();
}
