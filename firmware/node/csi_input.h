/* Converts the I/Q pairs of a Wi-Fi driver to a model's frame, or to a raw frame for a recorder. Pairs stay in the driver's order, which
   differs by chip and packet; `layout` says which it is, so that a blob's subcarriers are found by number. */
#ifndef NODE_CSI_INPUT_H
#define NODE_CSI_INPUT_H

#include "aether/csi.h"
#include "packets.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the driver says about a frame in 16 bits, as raw frames state it: bits 0 to 3 the family plus 1, 4 and 5 the format (3: not known),
   6 40 MHz, 7 STBC, 8 and 9 the secondary channel, 10 pairs of 12-bit words. 0: nothing is known. Of a C6 family and format count, of a C5
   family and words. */
uint16_t node_layout(const aether_csi_facts *facts);

/* The I/Q pairs that frames for this model have at least: 64 is L-LTF alone, 128 L-LTF and HT-LTF. */
uint32_t node_csi_pairs(const aether_model *model);

/* Computes the model's frame [input_dim] from n_pairs pairs of signed bytes (either of the two may be I) of this layout; of 12-bit words,
   a pair of which is two pairs of bytes. With first_invalid, the first four bytes count as zero, as in the package's readers. Returns the codes of aether_csi_frame. */
aether_status node_csi_frame(const aether_model *model, const int8_t *iq, size_t n_pairs, uint16_t layout, int first_invalid,
                             float *out);

/* Writes a whole raw CSI frame to out. Returns its size, or 0 when `capacity` is too small or n_pairs differs from the header's count. */
size_t node_csi_raw(const node_raw_header *header, const int8_t *iq, size_t n_pairs, int first_invalid,
                    unsigned char *out, size_t capacity);

/* Centre frequency of a channel of 2.4 or 5 GHz, in MHz; 0 for any other number. */
uint32_t node_channel_mhz(uint32_t channel);

#ifdef __cplusplus
}
#endif
#endif
