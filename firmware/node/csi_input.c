#include "csi_input.h"

#include <string.h>

#define INVALID_PAIRS 2u /* four bytes */

uint16_t node_layout(const aether_csi_facts *facts) {
    const unsigned family = facts->family + 1u;
    const unsigned format = facts->format < 3u ? facts->format : 3u;
    if (facts->family != AETHER_CSI_CLASSIC) {
        return (uint16_t)family;
    }
    return (uint16_t)(family | format << 4 | (facts->forty & 1u) << 6 | (facts->stbc & 1u) << 7 | (facts->secondary & 3u) << 8);
}

static aether_csi_facts facts_of(uint16_t layout) {
    aether_csi_facts facts = {(uint8_t)((layout & 15u) - 1u), 0, AETHER_CSI_UNKNOWN, AETHER_CSI_UNKNOWN, AETHER_CSI_UNKNOWN,
                              AETHER_CSI_UNKNOWN};
    if (facts.family == AETHER_CSI_CLASSIC) {
        const unsigned format = layout >> 4 & 3u;
        facts.format = (uint8_t)(format < 3u ? format : AETHER_CSI_UNKNOWN);
        facts.forty = (uint8_t)(layout >> 6 & 1u);
        facts.stbc = (uint8_t)(layout >> 7 & 1u);
        facts.secondary = (uint8_t)(layout >> 8 & 3u);
    }
    return facts;
}

uint32_t node_csi_pairs(const aether_model *model) {
    uint32_t f;
    if (model->numbers == NULL || model->subcarriers != NULL) {
        return model->subcarriers != NULL ? model->n_pairs : model->header.input_dim;
    }
    for (f = 0; f < model->header.input_dim; f++) {
        if (model->bands[f] > AETHER_BAND_LLTF) {
            return 128u;
        }
    }
    return 64u;
}

aether_status node_csi_frame(const aether_model *model, const int8_t *iq, size_t n_pairs, uint16_t layout, int first_invalid,
                             float *out) {
    const aether_csi_facts facts = facts_of(layout);
    const size_t invalid = first_invalid ? INVALID_PAIRS : 0;
    aether_layout found;
    if (model->numbers == NULL || layout == 0 || aether_layout_of(&facts, n_pairs, &found) != AETHER_OK) {
        return aether_csi_frame(model, NULL, iq, n_pairs, invalid, out);
    }
    return aether_csi_frame(model, &found, iq, n_pairs, invalid, out);
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
