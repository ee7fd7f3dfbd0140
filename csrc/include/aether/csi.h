/* Features from raw channel state information. */
#ifndef AETHER_CSI_H
#define AETHER_CSI_H

#include "model.h"
#include "subcarriers.h"

#ifdef __cplusplus
extern "C" {
#endif

/* out[f] = sqrt(I*I + Q*Q) of pair `subcarriers[f]` of iq [n_pairs][2] (subcarriers NULL: pair f, n == n_pairs), correctly rounded.
   The order of I and Q does not matter. AETHER_E_ARGUMENT, AETHER_E_SHAPE (an index past the end, or n != n_pairs). */
aether_status aether_csi_amplitude(const int8_t *iq, size_t n_pairs, const uint16_t *subcarriers, size_t n, float *out);

/* The same of 12-bit values, -2048 to 2047. AETHER_E_ARGUMENT for a value beyond them. */
aether_status aether_csi_amplitude12(const int16_t *iq, size_t n_pairs, const uint16_t *subcarriers, size_t n, float *out);

/* The frame a model asks for: amplitudes of its subcarriers, [input_dim]. layout: of the frame, or NULL where nobody knows it; a
   model that names its subcarriers by number alone needs it. The first `invalid` pairs count as zero. AETHER_E_SHAPE when the model wants another
   number of pairs, or a subcarrier that the frame lacks. */
aether_status aether_csi_frame(const aether_model *model, const aether_layout *layout, const int8_t *iq, size_t n_pairs, size_t invalid,
                               float *out);

#ifdef __cplusplus
}
#endif
#endif
