/* Layout of a slot. */
#ifndef NODE_SLOT_LAYOUT_H
#define NODE_SLOT_LAYOUT_H

#include "slots.h"

#define SLOT_MAGIC 0x544C5341u
#define SLOT_VERSION 1u
#define SLOT_ERASED 0xFFFFFFFFu

#define SLOT_COMMIT_AT 0x40u
#define SLOT_TRIAL_AT 0x50u /* and 0x60, 0x70 */
#define SLOT_TRIALS 3u
#define SLOT_CONFIRM_AT 0x80u
#define SLOT_FLAG_STEP 0x10u
#define SLOT_PREFIX 0x84u /* header and flags */

#define SLOT_COMMITTED 0x54494D43u
#define SLOT_CONFIRMED 0x464E4F43u

/* Writes NODE_SLOT_HEADER_BYTES. */
void node_slot_encode(const node_slot_header *header, unsigned char *out);

/* Decodes and checks a header; writes nothing but *header. slot_bytes: the size of the slot. */
node_slot_fault node_slot_decode(const unsigned char *bytes, size_t slot_bytes, node_slot_header *header);

/* Checks the ranges of a header's fields. */
node_slot_fault node_slot_fields(const node_slot_header *header, size_t slot_bytes);

/* Returns 1 when sequence number a is newer than b. */
int node_slot_newer(uint32_t a, uint32_t b);

#endif
