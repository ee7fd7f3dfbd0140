#include "aether/csi.h"

#include "sizes.h"

aether_status aether_csi_amplitude(const int8_t *iq, size_t n_pairs, const uint16_t *subcarriers, size_t n, float *out) {
    size_t f;
    if ((iq == NULL && n_pairs > 0) || (out == NULL && n > 0)) {
        return AETHER_E_ARGUMENT;
    }
    if (!aether_aligned(out, sizeof(float)) || !aether_aligned(subcarriers, sizeof(uint16_t))) {
        return AETHER_E_ALIGNMENT;
    }
    if (subcarriers == NULL && n != n_pairs) {
        return AETHER_E_SHAPE;
    }
    for (f = 0; f < n && subcarriers != NULL; f++) {
        if (subcarriers[f] >= n_pairs) {
            return AETHER_E_SHAPE;
        }
    }
    for (f = 0; f < n; f++) {
        const int8_t *pair = iq + 2 * (subcarriers != NULL ? subcarriers[f] : f);
        const int32_t power = pair[0] * pair[0] + pair[1] * pair[1]; /* at most 32768: exact in binary32 */
        out[f] = aether_sqrt((float)power);
    }
    return AETHER_OK;
}

aether_status aether_csi_frame(const aether_model *model, const int8_t *iq, size_t n_pairs, float *out) {
    if (model == NULL) {
        return AETHER_E_ARGUMENT;
    }
    if (n_pairs != (model->subcarriers != NULL ? model->n_pairs : model->header.input_dim)) {
        return AETHER_E_SHAPE;
    }
    return aether_csi_amplitude(iq, n_pairs, model->subcarriers, model->header.input_dim, out);
}
