#include "csi_input.h"

#include <string.h>

#define INVALID_PAIRS 2u /* four bytes */

aether_status node_csi_frame(const aether_model *model, const int8_t *iq, size_t n_pairs, int first_invalid, float *out) {
    return aether_csi_frame(model, NULL, iq, n_pairs, first_invalid ? INVALID_PAIRS : 0, out);
}

size_t node_csi_raw(const node_raw_header *header, const int8_t *iq, size_t n_pairs, int first_invalid,
                    unsigned char *out, size_t capacity) {
    const size_t bytes = NODE_RAW_HEADER_BYTES + 2u * n_pairs;
    size_t i;
    if (n_pairs == 0 || n_pairs != (size_t)header->n_antennas * header->n_subcarriers || capacity < bytes) {
        return 0;
    }
    node_raw_write(header, out);
    memcpy(out + NODE_RAW_HEADER_BYTES, iq, 2u * n_pairs);
    for (i = 0; first_invalid && i < 2u * INVALID_PAIRS && i < 2u * n_pairs; i++) {
        out[NODE_RAW_HEADER_BYTES + i] = 0;
    }
    return bytes;
}

uint32_t node_channel_mhz(uint32_t channel) {
    if (channel == 14u) {
        return 2484u;
    }
    return channel >= 1u && channel <= 13u ? 2407u + 5u * channel : 0u;
}
