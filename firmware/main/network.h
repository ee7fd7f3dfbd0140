/* Wi-Fi station that joins a network, and rejoins after a disconnection. */
#ifndef AETHER_NETWORK_H
#define AETHER_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "esp_err.h"

#define NETWORK_NAME 33u     /* bytes, zero included */
#define NETWORK_PASSWORD 65u

typedef struct {
    char name[NETWORK_NAME]; /* "": none is configured */
    char password[NETWORK_PASSWORD];
    uint8_t node_id;
} network_settings_t;

/* Starts non-volatile storage and reads the namespace "aether" there (u8 `node_id`, strings `ssid` and `password`); missing
   values come from Kconfig. */
esp_err_t network_settings(network_settings_t *settings);

/* Starts Wi-Fi and begins to join. `joined` is called with the access point's address (6 bytes) at each connection, by the event
   task. */
esp_err_t network_join(const network_settings_t *settings, void (*joined)(const uint8_t *bssid));

#endif
