#include "network.h"

#include <string.h>

#include "esp_event.h"
#include "esp_log.h"
#include "esp_netif.h"
#include "esp_wifi.h"
#include "lwip/inet.h"
#include "nvs.h"
#include "nvs_flash.h"
#include "ping/ping_sock.h"
#include "sdkconfig.h"

static const char TAG[] = "aether_network";

static void (*on_joined)(const uint8_t *bssid);

static esp_err_t start_storage(void) {
    esp_err_t error = nvs_flash_init();
    if (error == ESP_ERR_NVS_NO_FREE_PAGES || error == ESP_ERR_NVS_NEW_VERSION_FOUND) {
        error = nvs_flash_erase();
        if (error == ESP_OK) {
            error = nvs_flash_init();
        }
    }
    return error;
}

esp_err_t network_settings(network_settings_t *settings) {
    nvs_handle_t storage;
    size_t name = sizeof settings->name, password = sizeof settings->password;
    esp_err_t error;
    memset(settings, 0, sizeof *settings);
    settings->node_id = CONFIG_RUV_TEMPORAL_NODE_ID;
    (void)strlcpy(settings->name, CONFIG_AETHER_WIFI_SSID, sizeof settings->name);
    (void)strlcpy(settings->password, CONFIG_AETHER_WIFI_PASSWORD, sizeof settings->password);
    error = start_storage();
    if (error != ESP_OK || nvs_open("aether", NVS_READONLY, &storage) != ESP_OK) {
        return error; /* nothing was stored there */
    }
    (void)nvs_get_u8(storage, "node_id", &settings->node_id);
    if (nvs_get_str(storage, "ssid", settings->name, &name) == ESP_OK &&
        nvs_get_str(storage, "password", settings->password, &password) != ESP_OK) {
        settings->password[0] = 0; /* an open network */
    }
    nvs_close(storage);
    return ESP_OK;
}

/* CSI is measured on received frames: regular pings make the access point reply regularly. */
static void start_ping(const ip_event_got_ip_t *got) {
#if CONFIG_AETHER_PING_HZ > 0
    static esp_ping_handle_t ping;
    esp_ping_config_t config = ESP_PING_DEFAULT_CONFIG();
    const esp_ping_callbacks_t callbacks = {0};
    if (ping != NULL) {
        (void)esp_ping_stop(ping);
        (void)esp_ping_delete_session(ping);
        ping = NULL;
    }
    config.count = ESP_PING_COUNT_INFINITE;
    config.interval_ms = 1000 / CONFIG_AETHER_PING_HZ;
    config.data_size = 1;
    ip_addr_set_ip4_u32(&config.target_addr, got->ip_info.gw.addr);
    if (esp_ping_new_session(&config, &callbacks, &ping) != ESP_OK || esp_ping_start(ping) != ESP_OK) {
        ESP_LOGE(TAG, "no ping: frames come only from other traffic");
    }
#else
    (void)got;
#endif
}

static void on_event(void *user, esp_event_base_t base, int32_t id, void *data) {
    (void)user;
    if (base == WIFI_EVENT && id == WIFI_EVENT_STA_START) {
        (void)esp_wifi_connect();
    } else if (base == WIFI_EVENT && id == WIFI_EVENT_STA_CONNECTED) {
        const wifi_event_sta_connected_t *connected = data;
        ESP_LOGI(TAG, "joined, channel %u", (unsigned)connected->channel);
        on_joined(connected->bssid);
    } else if (base == WIFI_EVENT && id == WIFI_EVENT_STA_DISCONNECTED) {
        const wifi_event_sta_disconnected_t *disconnected = data;
        ESP_LOGW(TAG, "not joined (reason %u), trying again", (unsigned)disconnected->reason);
        (void)esp_wifi_connect();
    } else if (base == IP_EVENT && id == IP_EVENT_STA_GOT_IP) {
        const ip_event_got_ip_t *got = data;
        ESP_LOGI(TAG, "address " IPSTR, IP2STR(&got->ip_info.ip));
        start_ping(got);
    }
}

/* Chips with 802.11ax join without it: L-LTF and HT-LTF are measured, which ax packets do not have or do not deliver. */
static esp_err_t without_ax(void) {
#ifndef CONFIG_SOC_WIFI_HE_SUPPORT
    return ESP_OK;
#elif defined(CONFIG_SOC_WIFI_SUPPORT_5G)
    wifi_protocols_t protocols = {
        .ghz_2g = WIFI_PROTOCOL_11B | WIFI_PROTOCOL_11G | WIFI_PROTOCOL_11N,
        .ghz_5g = WIFI_PROTOCOL_11A | WIFI_PROTOCOL_11N,
    };
    return esp_wifi_set_protocols(WIFI_IF_STA, &protocols);
#else
    return esp_wifi_set_protocol(WIFI_IF_STA, WIFI_PROTOCOL_11B | WIFI_PROTOCOL_11G | WIFI_PROTOCOL_11N);
#endif
}

esp_err_t network_join(const network_settings_t *settings, void (*joined)(const uint8_t *bssid)) {
    wifi_init_config_t init = WIFI_INIT_CONFIG_DEFAULT();
    wifi_config_t config = {0};
    esp_err_t error;
    on_joined = joined;
    memcpy(config.sta.ssid, settings->name, strnlen(settings->name, sizeof config.sta.ssid));
    memcpy(config.sta.password, settings->password, strnlen(settings->password, sizeof config.sta.password));
    config.sta.threshold.authmode = settings->password[0] != 0 ? WIFI_AUTH_WPA_PSK : WIFI_AUTH_OPEN;
    error = esp_netif_init();
    if (error == ESP_OK) {
        error = esp_event_loop_create_default();
    }
    if (error == ESP_OK && esp_netif_create_default_wifi_sta() == NULL) {
        error = ESP_FAIL;
    }
    if (error == ESP_OK) {
        error = esp_wifi_init(&init);
    }
    if (error == ESP_OK) {
        error = esp_event_handler_instance_register(WIFI_EVENT, ESP_EVENT_ANY_ID, on_event, NULL, NULL);
    }
    if (error == ESP_OK) {
        error = esp_event_handler_instance_register(IP_EVENT, IP_EVENT_STA_GOT_IP, on_event, NULL, NULL);
    }
    if (error == ESP_OK) {
        error = esp_wifi_set_storage(WIFI_STORAGE_RAM); /* the settings are stored in the namespace "aether" */
    }
    if (error == ESP_OK) {
        error = esp_wifi_set_mode(WIFI_MODE_STA);
    }
    if (error == ESP_OK) {
        error = esp_wifi_set_config(WIFI_IF_STA, &config);
    }
    if (error == ESP_OK) {
        error = without_ax();
    }
    if (error == ESP_OK) {
        error = esp_wifi_start();
    }
    if (error == ESP_OK) {
        error = esp_wifi_set_ps(WIFI_PS_NONE); /* a radio that sleeps misses frames, and its timestamps are off */
    }
    return error;
}
