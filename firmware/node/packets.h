/* The packets that a node sends and receives: classification packet, feature-state packet, raw CSI frame.
   Little-endian; CRC-32 is CRC-32/ISO-HDLC. */
#ifndef NODE_PACKETS_H
#define NODE_PACKETS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NODE_MAGIC_RAW 0xC5110001u
#define NODE_MAGIC_STATE 0xC5110006u
#define NODE_MAGIC_CLASS 0xC5110007u

#define NODE_CLASS_BYTES 40u
#define NODE_STATE_BYTES 60u
#define NODE_STATE_FEATURES 9u
#define NODE_RAW_HEADER_BYTES 20u
#define NODE_MAX_CLASSES 256u /* the packet names a class in one byte */

/* The prediction of logits [n], n >= 1: the class with the largest logit (the first of equals), and its margin over the second; +0 when
   n is 1. A margin that overflows binary32 becomes the largest finite number. */
typedef struct node_prediction {
    uint32_t argmax;
    float top, margin;
} node_prediction;
node_prediction node_prediction_of(const float *logits, size_t n);

/* Writes NODE_CLASS_BYTES. */
typedef struct node_class_packet {
    uint16_t n_classes;
    uint8_t node_id;
    uint64_t time; /* microseconds */
    uint32_t sequence;
    node_prediction prediction; /* argmax < 256 */
} node_class_packet;
void node_class_write(const node_class_packet *packet, unsigned char *out);

/* Reads the nine features of a feature-state packet, in its order, and its time (may be NULL). Returns 1 when length, magic and CRC are
   correct; else 0, and writes nothing. Values are not checked: a stream rejects those that are not finite. */
int node_state_read(const void *bytes, size_t length, float features[NODE_STATE_FEATURES], uint64_t *time);

/* The header that precedes n_antennas * n_subcarriers pairs. Writes NODE_RAW_HEADER_BYTES. */
typedef struct node_raw_header {
    uint8_t node_id, n_antennas;
    uint16_t n_subcarriers;
    uint32_t frequency_mhz;
    uint32_t sequence;
    int8_t rssi, noise_floor;
    uint16_t layout; /* node_layout (csi_input.h) */
} node_raw_header;
void node_raw_write(const node_raw_header *header, unsigned char *out);

#ifdef __cplusplus
}
#endif
#endif
