/* From what a Wi-Fi driver hands over to a frame of a model, and to a raw frame for a recorder. Pairs stay in the driver's order, which is
   also the order of Espressif's text and of the recordings that models are trained on: a blob's `subcarriers` index means the same place. */
#ifndef NODE_CSI_INPUT_H
#define NODE_CSI_INPUT_H

#include "aether/csi.h"
#include "packets.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The frame [input_dim] that the model asks for, of n_pairs pairs of signed bytes (which of the two is I does not matter). With
   first_invalid the first two pairs are taken as zero, as the readers on a computer do. The codes of aether_csi_frame. */
aether_status node_csi_frame(const aether_model *model, const int8_t *iq, size_t n_pairs, int first_invalid, float *out);

/* A whole raw CSI frame into out; its size, or 0 when `room` is too small or the pairs are not as many as the header says. */
size_t node_csi_raw(const node_raw_header *header, const int8_t *iq, size_t n_pairs, int first_invalid,
                    unsigned char *out, size_t room);

/* Centre frequency of a 2.4 GHz channel, in MHz; 0 for any other number. */
uint32_t node_channel_mhz(uint32_t channel);

#ifdef __cplusplus
}
#endif
#endif
