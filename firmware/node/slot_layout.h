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
#define SLOT_RAN_AT 0x90u
#define SLOT_FLAG_STEP 0x10u
#define SLOT_PREFIX 0x94u /* header and flags */

#define SLOT_COMMITTED 0x54494D43u
#define SLOT_CONFIRMED 0x464E4F43u
#define SLOT_RAN 0x214E4152u

/* Writes NODE_SLOT_HEADER_BYTES. */
void node_slot_encode(const node_slot_header *header, unsigned char *out);

/* Decodes and checks a header; writes nothing but *header. slot_bytes: the size of the slot. */
node_slot_fault node_slot_decode(const unsigned char *bytes, size_t slot_bytes, node_slot_header *header);

/* Checks the ranges of a header's fields. */
node_slot_fault node_slot_fields(const node_slot_header *header, size_t slot_bytes);

/* Sets a flag. 0: written. */
int node_slot_set(const node_flash *flash, unsigned slot, size_t flag, uint32_t word);

/* How a start regards a slot, by header and flags alone. */
enum { SLOT_UNUSABLE, SLOT_LAST_RESORT, SLOT_ELIGIBLE, SLOT_CERTAIN };
unsigned node_slot_standing(const node_slot_verdict *verdict);

/* Returns 1 when sequence number a is newer than b. */
int node_slot_newer(uint32_t a, uint32_t b);

#endif
