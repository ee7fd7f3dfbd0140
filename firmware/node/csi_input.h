/* Converts the I/Q pairs of a Wi-Fi driver to a model's frame, or to a raw frame for a recorder. Pairs stay in the driver's order, which
   is also the order of Espressif's text and of the recordings that models are trained on: an index in a blob's `subcarriers` selects the
   same subcarrier everywhere. */
#ifndef NODE_CSI_INPUT_H
#define NODE_CSI_INPUT_H

#include "aether/csi.h"
#include "packets.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Computes the model's frame [input_dim] from n_pairs pairs of signed bytes (either of the two may be I). With first_invalid, the first
   two pairs count as zero, as in the package's readers. Returns the codes of aether_csi_frame. */
aether_status node_csi_frame(const aether_model *model, const int8_t *iq, size_t n_pairs, int first_invalid, float *out);

/* Writes a whole raw CSI frame to out. Returns its size, or 0 when `capacity` is too small or n_pairs differs from the header's count. */
size_t node_csi_raw(const node_raw_header *header, const int8_t *iq, size_t n_pairs, int first_invalid,
                    unsigned char *out, size_t capacity);

/* Centre frequency of a 2.4 GHz channel, in MHz; 0 for any other number. */
uint32_t node_channel_mhz(uint32_t channel);

#ifdef __cplusplus
}
#endif
#endif
