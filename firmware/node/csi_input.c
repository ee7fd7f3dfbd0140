#include "csi_input.h"

#include <string.h>

#define INVALID_PAIRS 2u /* four bytes */
#define WORD_PAIRS 26u   /* of L-LTF in 12-bit words, two of two bytes each */

uint16_t node_layout(const aether_csi_facts *facts) {
    const unsigned family = facts->family + 1u;
    const unsigned format = facts->format < 3u ? facts->format : 3u;
    if (facts->family == AETHER_CSI_CLASSIC) {
        return (uint16_t)(family | format << 4 | (facts->forty & 1u) << 6 | (facts->stbc & 1u) << 7 | (facts->secondary & 3u) << 8);
    }
    return (uint16_t)(facts->family == AETHER_CSI_C6 ? family | format << 4 : family | (facts->twelve_bits & 1u) << 10);
}

static aether_csi_facts facts_of(uint16_t layout) {
    aether_csi_facts facts = {(uint8_t)((layout & 15u) - 1u), (uint8_t)(layout >> 10 & 1u), AETHER_CSI_UNKNOWN, AETHER_CSI_UNKNOWN,
                              AETHER_CSI_UNKNOWN, AETHER_CSI_UNKNOWN};
    const unsigned format = layout >> 4 & 3u;
    if (facts.family != AETHER_CSI_C5 && format < 3u) {
        facts.format = (uint8_t)format;
    }
    if (facts.family == AETHER_CSI_CLASSIC) {
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

/* A frame whose pairs are 12-bit words: low byte, high byte with four bits that mean nothing. Bytes that are less than a pair of words mean
   nothing either. Only a model that names subcarriers by number takes such frames. */
static aether_status words_frame(const aether_model *model, const aether_csi_facts *facts, const int8_t *iq, size_t n_pairs,
                                 size_t invalid, float *out) {
    int16_t words[2 * WORD_PAIRS];
    uint16_t index;
    aether_layout layout;
    size_t i, f;
    if (model->numbers == NULL || n_pairs / 2u != WORD_PAIRS || aether_layout_of(facts, WORD_PAIRS, &layout) != AETHER_OK) {
        return AETHER_E_SHAPE;
    }
    for (i = 0; i < 2 * WORD_PAIRS; i++) {
        const int word = (uint8_t)iq[2 * i] | (iq[2 * i + 1] & 15) << 8;
        words[i] = (int16_t)(i < 2 * invalid ? 0 : word < 2048 ? word : word - 4096);
    }
    for (f = 0; f < 2 * (size_t)model->header.input_dim; f++) { /* all are there before the first is written */
        const size_t feature = f % model->header.input_dim;
        const aether_wanted wanted = {model->bands + feature, model->numbers + feature, 1};
        aether_status status = aether_subcarriers_find(layout.runs, layout.n_runs, &wanted, &index, NULL);
        if (status == AETHER_OK && f >= model->header.input_dim) {
            status = aether_csi_amplitude12(words, WORD_PAIRS, &index, 1, out + feature);
        }
        if (status != AETHER_OK) {
            return status;
        }
    }
    return AETHER_OK;
}

aether_status node_csi_frame(const aether_model *model, const int8_t *iq, size_t n_pairs, uint16_t layout, int first_invalid,
                             float *out) {
    const aether_csi_facts facts = facts_of(layout);
    const size_t invalid = first_invalid ? INVALID_PAIRS : 0;
    aether_layout found;
    if (facts.twelve_bits) {
        return words_frame(model, &facts, iq, n_pairs, invalid / 2u, out);
    }
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
    if (channel >= 36u && channel <= 177u) {
        return 5000u + 5u * channel;
    }
    return channel >= 1u && channel <= 13u ? 2407u + 5u * channel : 0u;
}
