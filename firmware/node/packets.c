#include "packets.h"

#include <string.h>

#include "aether/crc32.h"
#include "bytes.h"

#define LARGEST 3.402823466e38f /* receivers reject values that are not finite */

node_prediction node_prediction_of(const float *logits, size_t n) {
    node_prediction prediction = {0, logits[0], 0.0f};
    float second = 0.0f;
    size_t c;
    for (c = 1; c < n; c++) {
        if (logits[c] > prediction.top) {
            second = prediction.top;
            prediction.top = logits[c];
            prediction.argmax = (uint32_t)c;
        } else if (c == 1 || logits[c] > second) {
            second = logits[c];
        }
    }
    if (n > 1) {
        prediction.margin = prediction.top - second;
        prediction.margin = prediction.margin <= LARGEST ? prediction.margin : LARGEST;
    }
    return prediction;
}

static uint32_t bits(float x) {
    uint32_t word;
    memcpy(&word, &x, sizeof word);
    return word;
}

void node_class_write(const node_class_packet *packet, unsigned char *out) {
    memset(out, 0, NODE_CLASS_BYTES);
    node_put_u32(out, NODE_MAGIC_CLASS);
    node_put_u16(out + 0x04, 1);
    node_put_u16(out + 0x06, packet->n_classes);
    out[0x08] = packet->node_id;
    node_put_u64(out + 0x0C, packet->time);
    node_put_u32(out + 0x14, packet->sequence);
    out[0x18] = (unsigned char)packet->prediction.argmax;
    node_put_u32(out + 0x1C, bits(packet->prediction.top));
    node_put_u32(out + 0x20, bits(packet->prediction.margin));
    node_put_u32(out + 0x24, aether_crc32(0, out, 0x24));
}

int node_state_read(const void *bytes, size_t length, float features[NODE_STATE_FEATURES], uint64_t *time) {
    const unsigned char *p = bytes;
    size_t f;
    if (p == NULL || length != NODE_STATE_BYTES || node_get_u32(p) != NODE_MAGIC_STATE ||
        node_get_u32(p + 56) != aether_crc32(0, p, 56)) {
        return 0;
    }
    for (f = 0; f < NODE_STATE_FEATURES; f++) {
        const uint32_t word = node_get_u32(p + 16 + 4 * f);
        memcpy(features + f, &word, sizeof word);
    }
    if (time != NULL) {
        *time = node_get_u64(p + 8);
    }
    return 1;
}

void node_raw_write(const node_raw_header *header, unsigned char *out) {
    node_put_u32(out, NODE_MAGIC_RAW);
    out[4] = header->node_id;
    out[5] = header->n_antennas;
    node_put_u16(out + 6, header->n_subcarriers);
    node_put_u32(out + 8, header->frequency_mhz);
    node_put_u32(out + 12, header->sequence);
    out[16] = (unsigned char)header->rssi;
    out[17] = (unsigned char)header->noise_floor;
    node_put_u16(out + 18, header->layout);
}
