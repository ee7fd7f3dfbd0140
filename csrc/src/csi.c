#include "aether/csi.h"

#include "sizes.h"

#define MOST 2048 /* the largest magnitude of 12 bits: 2 * 2048 * 2048 is exact in binary32 */

static float magnitude(int32_t a, int32_t b) {
    return aether_sqrt((float)(a * a + b * b));
}

static aether_status check(const void *iq, size_t n_pairs, const uint16_t *subcarriers, size_t n, const float *out) {
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
    return AETHER_OK;
}

aether_status aether_csi_amplitude(const int8_t *iq, size_t n_pairs, const uint16_t *subcarriers, size_t n, float *out) {
    const aether_status status = check(iq, n_pairs, subcarriers, n, out);
    size_t f;
    for (f = 0; status == AETHER_OK && f < n; f++) {
        const int8_t *pair = iq + 2 * (subcarriers != NULL ? subcarriers[f] : f);
        out[f] = magnitude(pair[0], pair[1]);
    }
    return status;
}

aether_status aether_csi_amplitude12(const int16_t *iq, size_t n_pairs, const uint16_t *subcarriers, size_t n, float *out) {
    aether_status status = check(iq, n_pairs, subcarriers, n, out);
    size_t f;
    if (status == AETHER_OK && !aether_aligned(iq, sizeof(int16_t))) {
        status = AETHER_E_ALIGNMENT;
    }
    for (f = 0; status == AETHER_OK && f < 2 * n_pairs; f++) {
        status = iq[f] >= -MOST && iq[f] < MOST ? AETHER_OK : AETHER_E_ARGUMENT;
    }
    for (f = 0; status == AETHER_OK && f < n; f++) {
        const int16_t *pair = iq + 2 * (subcarriers != NULL ? subcarriers[f] : f);
        out[f] = magnitude(pair[0], pair[1]);
    }
    return status;
}

/* The pair of each feature is looked up twice, so that nothing is written for a frame that lacks one. */
static aether_status numbered(const aether_model *model, const aether_layout *layout, const int8_t *iq, size_t n_pairs, size_t invalid,
                              float *out) {
    const aether_wanted wanted = {model->bands, model->numbers, model->header.input_dim};
    uint8_t any;
    size_t f;
    if (layout == NULL) {
        return AETHER_E_SHAPE;
    }
    any = aether_any_band(layout->runs, layout->n_runs, &wanted);
    for (f = 0; f < wanted.n; f++) {
        if (aether_pair_of(layout->runs, layout->n_runs, &wanted, any, f) >= n_pairs) {
            return AETHER_E_SHAPE;
        }
    }
    for (f = 0; f < wanted.n; f++) {
        const size_t pair = aether_pair_of(layout->runs, layout->n_runs, &wanted, any, f);
        out[f] = pair < invalid ? 0.0f : magnitude(iq[2 * pair], iq[2 * pair + 1]);
    }
    return AETHER_OK;
}

aether_status aether_csi_frame(const aether_model *model, const aether_layout *layout, const int8_t *iq, size_t n_pairs, size_t invalid,
                               float *out) {
    aether_status status;
    size_t f;
    if (model == NULL || iq == NULL || out == NULL) {
        return AETHER_E_ARGUMENT;
    }
    if (!aether_aligned(out, sizeof(float))) {
        return AETHER_E_ALIGNMENT;
    }
    if (model->numbers != NULL && (layout != NULL || model->subcarriers == NULL)) {
        return numbered(model, layout, iq, n_pairs, invalid, out);
    }
    if (n_pairs != (model->subcarriers != NULL ? model->n_pairs : model->header.input_dim)) {
        return AETHER_E_SHAPE;
    }
    status = aether_csi_amplitude(iq, n_pairs, model->subcarriers, model->header.input_dim, out);
    for (f = 0; status == AETHER_OK && f < model->header.input_dim; f++) {
        if ((model->subcarriers != NULL ? model->subcarriers[f] : f) < invalid) {
            out[f] = 0.0f;
        }
    }
    return status;
}
