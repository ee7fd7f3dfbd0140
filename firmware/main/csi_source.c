#include "csi_source.h"

#include <string.h>

#include "csi_input.h"
#include "esp_wifi.h"
#include "sdkconfig.h"

static void (*on_frame)(const csi_frame_t *frame);
static bool all_fields; /* HT-LTF and STBC-HT-LTF too */

/* Written by the event task and read by the driver's task: at worst, one frame is compared with parts of two addresses. */
static volatile uint8_t from[6];
static volatile bool known;

static bool is_from(const uint8_t *mac) {
    int i;
    for (i = 0; i < 6; i++) {
        if (mac[i] != from[i]) {
            return false;
        }
    }
    return known;
}

/* The older chips, the only ones that this source configures, say which fields of a packet follow each other. */
static uint16_t layout_of(const wifi_pkt_rx_ctrl_t *packet) {
    const aether_csi_facts facts = {
        .family = AETHER_CSI_CLASSIC,
        .format = (uint8_t)(all_fields ? packet->sig_mode : 0),
        .forty = (uint8_t)(all_fields ? packet->cwb : 0),
        .stbc = (uint8_t)(all_fields ? packet->stbc != 0 : 0),
        .secondary = (uint8_t)packet->secondary_channel,
    };
    return node_layout(&facts);
}

static void receive(void *user, wifi_csi_info_t *info) {
    csi_frame_t frame;
    (void)user;
    if (info == NULL || info->buf == NULL || info->len < 2 || !is_from(info->mac)) {
        return;
    }
    frame.iq = info->buf;
    frame.n_pairs = info->len / 2u;
    frame.first_word_invalid = info->first_word_invalid;
    frame.timestamp = info->rx_ctrl.timestamp;
    frame.channel = info->rx_ctrl.channel;
    frame.layout = layout_of(&info->rx_ctrl);
    frame.rssi = (int8_t)info->rx_ctrl.rssi;
    frame.noise_floor = (int8_t)info->rx_ctrl.noise_floor;
    on_frame(&frame);
}

void csi_source_listen_to(const uint8_t *sender) {
    int i;
    known = false;
    for (i = 0; i < 6; i++) {
        from[i] = sender[i];
    }
    known = true;
}

esp_err_t csi_source_start(bool more_fields, void (*take)(const csi_frame_t *frame)) {
    const wifi_csi_config_t config = {
        .lltf_en = true,
        .htltf_en = more_fields,
        .stbc_htltf2_en = more_fields,
        .ltf_merge_en = true,
        .channel_filter_en = true,
        .manu_scale = false,
    };
    esp_err_t error;
    on_frame = take;
    all_fields = more_fields;
    error = esp_wifi_set_csi_config(&config);
    if (error == ESP_OK) {
        error = esp_wifi_set_csi_rx_cb(receive, NULL);
    }
    if (error == ESP_OK) {
        error = esp_wifi_set_csi(true);
    }
    return error;
}
