/* Two slots of flash for the weight blob (docs/spec/slots.md): which one is used, and how one is written without putting the other at
   risk. Flash is reached through three functions and a mapping, so that a computer can play it. */
#ifndef NODE_SLOTS_H
#define NODE_SLOTS_H

#include "aether/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NODE_SLOTS 2u
#define NODE_SLOT_SECTOR 4096u
#define NODE_SLOT_HEADER_BYTES 64u
#define NODE_SLOT_BLOB_OFFSET 256u
#define NODE_SLOT_BLOB_CRC_BYTES 4u /* a blob's last bytes are its own CRC; the slot's is over those before */
#define NODE_SLOT_MAX_CHECK_FRAMES 64u

/* What became of a slot. */
typedef enum node_slot_fault {
    NODE_SLOT_OK = 0,
    NODE_SLOT_NOT_TRIED,    /* another one was used before it came to this */
    NODE_SLOT_ABSENT,       /* no such partition */
    NODE_SLOT_READ,         /* flash could not be read or mapped */
    NODE_SLOT_WRITE,        /* flash could not be written or erased, or kept something else */
    NODE_SLOT_EMPTY,        /* erased: nothing was ever put there */
    NODE_SLOT_MAGIC,
    NODE_SLOT_VERSION,
    NODE_SLOT_HEADER_CRC,
    NODE_SLOT_FIELD,        /* a header field is out of range */
    NODE_SLOT_UNCOMMITTED,  /* an update that did not come to its end */
    NODE_SLOT_WORN,         /* three tries began and none was confirmed */
    NODE_SLOT_BLOB_CRC,
    NODE_SLOT_BLOB,         /* the blob is rejected: status and detail say why */
    NODE_SLOT_CHECK,        /* the model computes other bits than the slot states */
    NODE_SLOT_TOO_LARGE,    /* update: the blob does not fit into a slot */
    NODE_SLOT_ORDER,        /* update: calls out of order, or more or fewer bytes than announced */
    NODE_SLOT_MEMORY,       /* no memory for the blob's classifier */
    NODE_SLOT_FAULTS
} node_slot_fault;

/* One sentence; never NULL. */
const char *node_slot_text(node_slot_fault fault);

typedef struct node_slot_header {
    uint32_t sequence;
    uint32_t blob_offset, blob_length, blob_crc;
    uint32_t check_frames, check_seed, check_binary32, check_binary16;
} node_slot_header;

/* Flash as this sees it. Slot is 0 (aether_a) or 1 (aether_b); offsets are within it. read, write and erase return 0 on success;
   write only clears bits; erase takes whole sectors. slot_bytes[i] 0: there is no such slot. map gives the address of a slot's first
   byte, valid as long as unmap (may be NULL) is not called for it, or NULL. */
typedef struct node_flash {
    void *user;
    size_t slot_bytes[NODE_SLOTS];
    int (*read)(void *user, unsigned slot, size_t offset, void *to, size_t bytes);
    int (*write)(void *user, unsigned slot, size_t offset, const void *from, size_t bytes);
    int (*erase)(void *user, unsigned slot, size_t offset, size_t bytes);
    const void *(*map)(void *user, unsigned slot);
    void (*unmap)(void *user, unsigned slot);
} node_flash;

/* A slot's verdict. header and has_header as far as it could be read. */
typedef struct node_slot_verdict {
    node_slot_fault fault;
    int has_header;
    int confirmed;         /* it counts, and a node has already passed it */
    node_slot_header header;
    aether_status status;  /* with NODE_SLOT_BLOB */
    aether_detail detail;  /* likewise */
    uint32_t expected, got; /* with NODE_SLOT_CHECK and NODE_SLOT_BLOB_CRC */
} node_slot_verdict;

/* Header and marks alone. NODE_SLOT_OK: it counts (docs/spec/slots.md, "Which slot is used"). */
void node_slot_look(const node_flash *flash, unsigned slot, node_slot_verdict *verdict);

/* Asked for each slot that counts, the best first, until one is taken: opens the blob in place, checks it against what is wanted and
   against header->check_*, and returns NODE_SLOT_OK, or why not (verdict's status, detail, expected and got are there to be filled).
   The blob stays mapped when it is taken, and is unmapped when it is not. */
typedef node_slot_fault (*node_slot_accept)(void *user, const node_slot_header *header, const void *blob,
                                            node_slot_verdict *verdict);

/* Chooses. The slot used, or -1: none, and verdicts say why of each. Marks are written as the specification says; a mark that cannot be
   written makes its slot NODE_SLOT_WRITE (a try that cannot be counted is not begun), except confirm: that is tried again at the
   next start. */
int node_slots_choose(const node_flash *flash, node_slot_accept accept, void *user, node_slot_verdict verdicts[NODE_SLOTS]);

/* An update. Fields are private. */
typedef struct node_slot_update {
    const node_flash *flash;
    node_slot_header header;
    unsigned slot;
    size_t written;
    int state;
} node_slot_update;

/* The slot an update would go to: the other one than `in_use` (-1: none is; then the one that does not count, else the one that
   is not confirmed, else the older one). NODE_SLOT_ABSENT: there is none. NODE_SLOT_READ: one cannot be read on which that depends; the
   next look may succeed. *slot is then untouched. */
node_slot_fault node_slot_target(const node_flash *flash, int in_use, unsigned *slot);

/* Begins one into slot node_slot_target(flash, in_use). `header` is what the sender of the blob says: blob_length, blob_crc and check_*;
   sequence and blob_offset are set here. All is checked before anything is erased: NODE_SLOT_FIELD, NODE_SLOT_TOO_LARGE,
   NODE_SLOT_ABSENT, NODE_SLOT_READ; then NODE_SLOT_WRITE. */
node_slot_fault node_slot_update_begin(node_slot_update *update, const node_flash *flash, int in_use,
                                       const node_slot_header *header);

/* The blob's bytes in order, in pieces of any size. NODE_SLOT_ORDER, NODE_SLOT_WRITE; either ends the update. */
node_slot_fault node_slot_update_write(node_slot_update *update, const void *bytes, size_t count);

/* Reads back, writes the header, reads it back, commits. After NODE_SLOT_OK the next start tries the new blob; after anything else
   (NODE_SLOT_ORDER, NODE_SLOT_BLOB_CRC, NODE_SLOT_READ, NODE_SLOT_WRITE) it never will. */
node_slot_fault node_slot_update_finish(node_slot_update *update);

#ifdef __cplusplus
}
#endif
#endif
