#include "csi_source.h"

#include <string.h>

#include "csi_input.h"
#include "esp_idf_version.h"
#include "esp_wifi.h"
#include "sdkconfig.h"

static void (*on_frame)(const csi_frame_t *frame);
static bool all_fields; /* HT-LTF too, not L-LTF alone */

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

#ifndef CONFIG_SOC_WIFI_HE_SUPPORT
/* ESP32, S2, S3, C3 say which fields of a packet follow each other. */
static aether_csi_facts facts_of(const wifi_csi_info_t *info) {
    const wifi_pkt_rx_ctrl_t *packet = &info->rx_ctrl;
    const aether_csi_facts facts = {
        .family = AETHER_CSI_CLASSIC,
        .format = (uint8_t)(all_fields ? packet->sig_mode : 0),
        .forty = (uint8_t)(all_fields ? packet->cwb : 0),
        .stbc = (uint8_t)(all_fields ? packet->stbc != 0 : 0),
        .secondary = (uint8_t)packet->secondary_channel,
    };
    return facts;
}

static wifi_csi_config_t configuration(void) {
    const wifi_csi_config_t config = {
        .lltf_en = true,
        .htltf_en = all_fields,
        .stbc_htltf2_en = all_fields,
        .ltf_merge_en = true,
        .channel_filter_en = true,
        .manu_scale = false,
    };
    return config;
}
#elif defined(CONFIG_IDF_TARGET_ESP32C6)
/* A frame is L-LTF of a packet without HT, and HT-LTF of one with HT. */
static aether_csi_facts facts_of(const wifi_csi_info_t *info) {
    const unsigned format = info->rx_ctrl.cur_bb_format;
    const aether_csi_facts facts = {
        .family = AETHER_CSI_C6,
        .format = (uint8_t)(format < RX_BB_FORMAT_HT ? 0u : format == RX_BB_FORMAT_HT ? 1u : AETHER_CSI_UNKNOWN),
    };
    return facts;
}

static wifi_csi_config_t configuration(void) {
    const wifi_csi_config_t config = {
        .enable = 1,
        .acquire_csi_legacy = 1,
        .acquire_csi_ht20 = 1,
    };
    return config;
}
#else
/* C5, C61: 8 bits where the driver can be told so, else it writes L-LTF, and nothing else of these lengths, in 12-bit words. */
#define LLTF_IN_8_BITS (ESP_IDF_VERSION >= ESP_IDF_VERSION_VAL(5, 5, 3))

static aether_csi_facts facts_of(const wifi_csi_info_t *info) {
    const aether_csi_facts facts = {
        .family = AETHER_CSI_C5,
        .twelve_bits = !LLTF_IN_8_BITS && (info->len == 104 || info->len == 106),
    };
    return facts;
}

static wifi_csi_config_t configuration(void) {
    const wifi_csi_config_t config = {
        .enable = 1,
        .acquire_csi_legacy = 1,
        .acquire_csi_force_lltf = !all_fields,
        .acquire_csi_ht20 = 1,
        .acquire_csi_ht40 = all_fields,
#if LLTF_IN_8_BITS
        .lltf_bit_mode = 1,
#endif
    };
    return config;
}
#endif

static void receive(void *user, wifi_csi_info_t *info) {
    csi_frame_t frame;
    aether_csi_facts facts;
    (void)user;
    if (info == NULL || info->buf == NULL || info->len < 2 || !is_from(info->mac)) {
        return;
    }
    frame.iq = info->buf;
    frame.n_pairs = info->len / 2u;
    frame.first_word_invalid = info->first_word_invalid;
    frame.timestamp = info->rx_ctrl.timestamp;
    frame.channel = info->rx_ctrl.channel;
    facts = facts_of(info);
    frame.layout = node_layout(&facts);
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
    wifi_csi_config_t config;
    esp_err_t error;
    on_frame = take;
    all_fields = more_fields;
    config = configuration();
    error = esp_wifi_set_csi_config(&config);
    if (error == ESP_OK) {
        error = esp_wifi_set_csi_rx_cb(receive, NULL);
    }
    if (error == ESP_OK) {
        error = esp_wifi_set_csi(true);
    }
    return error;
}
