/* Channel state information from the Wi-Fi driver, frame by frame. */
#ifndef AETHER_CSI_SOURCE_H
#define AETHER_CSI_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "esp_err.h"

/* One frame: pairs of signed bytes in the driver's order (imaginary part first; LLTF first), or the bytes of 12-bit words, as `layout` says.
   Valid during the call only. */
typedef struct {
    const int8_t *iq;
    size_t n_pairs;
    bool first_word_invalid; /* the first four bytes are invalid */
    uint32_t timestamp;      /* microseconds, wraps */
    uint32_t channel;
    uint16_t layout; /* which subcarriers the pairs are: node_layout (csi_input.h) */
    int8_t rssi, noise_floor;
} csi_frame_t;

/* Calls `take` for each frame of the access point, in the Wi-Fi driver's task; `take` must not wait. more_fields: HT-LTF where a packet has
   it; otherwise L-LTF of every packet. Older chips put one field after the other, with STBC-HT-LTF too; C5 and C61 deliver one field; a C6
   chooses by the packet, whatever more_fields. Start Wi-Fi first. */
esp_err_t csi_source_start(bool more_fields, void (*take)(const csi_frame_t *frame));

/* Accepts frames of this sender (6 bytes) only. */
void csi_source_listen_to(const uint8_t *sender);

#endif
