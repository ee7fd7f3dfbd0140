/* Two flash slots for the weight blob (docs/spec/slots.md): choosing the one to use, and updating one while the other stays intact. Flash
   is accessed through function pointers, so that tests can simulate it. */
#ifndef NODE_SLOTS_H
#define NODE_SLOTS_H

#include "classifier.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NODE_SLOTS 2u
#define NODE_SLOT_SECTOR 4096u
#define NODE_SLOT_HEADER_BYTES 64u
#define NODE_SLOT_BLOB_OFFSET 256u
#define NODE_SLOT_BLOB_CRC_BYTES 4u /* a blob's last bytes are its own CRC; the slot's CRC covers the bytes before them */
#define NODE_SLOT_MAX_CHECK_FRAMES 64u

/* The state of a slot, or why it is not used. */
typedef enum node_slot_fault {
    NODE_SLOT_OK = 0,
    NODE_SLOT_NOT_TRIED,    /* the other slot is in use */
    NODE_SLOT_ABSENT,       /* no such partition */
    NODE_SLOT_READ,         /* flash could not be read or mapped */
    NODE_SLOT_WRITE,        /* flash could not be written or erased, or reads back differently */
    NODE_SLOT_EMPTY,        /* erased */
    NODE_SLOT_MAGIC,
    NODE_SLOT_VERSION,
    NODE_SLOT_HEADER_CRC,
    NODE_SLOT_FIELD,        /* a header field is out of range */
    NODE_SLOT_UNCOMMITTED,  /* an update was interrupted */
    NODE_SLOT_NO_TRIALS,    /* three trials, none of which confirmed it */
    NODE_SLOT_BLOB_CRC,
    NODE_SLOT_BLOB,         /* the blob is rejected; see status and detail */
    NODE_SLOT_CHECK,        /* the model's check value differs from the header's */
    NODE_SLOT_TOO_LARGE,    /* update: the blob does not fit into a slot */
    NODE_SLOT_ORDER,        /* update: calls out of order, or a byte count other than announced */
    NODE_SLOT_MEMORY,       /* not enough memory for the blob's classifier and queue */
    NODE_SLOT_ON_TRIAL,     /* update: the blob in use is on trial, and the other slot holds the one to revert to */
    NODE_SLOT_FAULTS
} node_slot_fault;

/* A description for a log; never NULL. */
const char *node_slot_text(node_slot_fault fault);

typedef struct node_slot_header {
    uint32_t sequence;
    uint32_t blob_offset, blob_length, blob_crc;
    uint32_t check_frames, check_seed, check_binary32, check_binary16;
} node_slot_header;

/* Access to flash. Slot is 0 (aether_a) or 1 (aether_b); offsets are within it. read, write and erase return 0 on success; write only
   clears bits; erase takes whole sectors. slot_bytes[i] 0: there is no such slot. map returns the address of a slot's first byte, valid
   until unmap (may be NULL) is called for it, or NULL on failure. */
typedef struct node_flash {
    void *user;
    size_t slot_bytes[NODE_SLOTS];
    int (*read)(void *user, unsigned slot, size_t offset, void *to, size_t bytes);
    int (*write)(void *user, unsigned slot, size_t offset, const void *from, size_t bytes);
    int (*erase)(void *user, unsigned slot, size_t offset, size_t bytes);
    const void *(*map)(void *user, unsigned slot);
    void (*unmap)(void *user, unsigned slot);
} node_flash;

/* The outcome for one slot. `header` is valid when has_header is set. */
typedef struct node_slot_verdict {
    node_slot_fault fault;
    int has_header;
    int confirmed;         /* eligible, and already confirmed by a node */
    int ran;               /* a task of this node has run the blob */
    size_t trial_at;       /* offset of the next trial flag; 0: confirmed, or all are set */
    node_slot_header header;
    aether_status status;  /* with NODE_SLOT_BLOB */
    aether_detail detail;  /* likewise */
    uint32_t expected, got; /* with NODE_SLOT_CHECK and NODE_SLOT_BLOB_CRC */
} node_slot_verdict;

/* Checks header and flags only. NODE_SLOT_OK: the slot is eligible (docs/spec/slots.md, "Which slot is used"). */
void node_slot_inspect(const node_flash *flash, unsigned slot, node_slot_verdict *verdict);

/* What the application does with a blob. `open` is called for each slot that comes into question, in order of preference, until one passes:
   it checks the blob against the application's requirements, opens it in place with all memory that the application needs, and returns
   NODE_SLOT_OK or a fault; it may fill the verdict's status and detail. Nothing is computed yet. `close` undoes it when the blob then fails
   the check. The blob stays mapped when it passes; otherwise it is unmapped. */
typedef struct node_slot_opener {
    void *user;
    aether_dtype cache; /* of the stream: which check value applies */
    node_slot_fault (*open)(void *user, const node_slot_header *header, const void *blob, node_slot_verdict *verdict,
                            node_classifier **classifier);
    void (*close)(void *user);
} node_slot_opener;

/* Chooses the slot to use; -1: none. `verdicts` gives the outcome for each. Flags are written as the specification says. A trial flag that
   cannot be written makes its slot NODE_SLOT_WRITE, because a trial that cannot be counted must not start. A slot that is not confirmed is
   on trial: see trial.h. */
int node_slots_choose(const node_flash *flash, const node_slot_opener *opener, node_slot_verdict verdicts[NODE_SLOTS]);

/* Writes the flags of a slot that works: commit, ran and confirm. Writing one again makes certain a bit that a power failure left
   undecided. Returns 0 when the flash took all three; else the caller, or the next start, writes them again. */
int node_slot_confirm(const node_flash *flash, unsigned slot);

/* An update in progress. Fields are private. */
typedef struct node_slot_update {
    const node_flash *flash;
    node_slot_header header;
    unsigned slot;
    size_t written;
    int state;
} node_slot_update;

/* Finds the slot that an update would go to: the one that is not `in_use`. When in_use is -1 (no slot is in use): the one that a start
   would use last, else the older one. NODE_SLOT_ABSENT: there is none. NODE_SLOT_READ: a slot on which the choice depends cannot be read;
   a retry may succeed. NODE_SLOT_ON_TRIAL: the slot in use is on trial, and the other one is confirmed. On failure *slot is untouched. */
node_slot_fault node_slot_target(const node_flash *flash, int in_use, unsigned *slot);

/* Begins an update of slot node_slot_target(flash, in_use). The caller provides blob_length, blob_crc and check_* in `header`; sequence and
   blob_offset are set here. Everything is checked before anything is erased: NODE_SLOT_FIELD, NODE_SLOT_TOO_LARGE, NODE_SLOT_ABSENT,
   NODE_SLOT_READ, NODE_SLOT_ON_TRIAL; then NODE_SLOT_WRITE. */
node_slot_fault node_slot_update_begin(node_slot_update *update, const node_flash *flash, int in_use,
                                       const node_slot_header *header);

/* Writes the blob's next bytes, in pieces of any size. NODE_SLOT_ORDER and NODE_SLOT_WRITE end the update. */
node_slot_fault node_slot_update_write(node_slot_update *update, const void *bytes, size_t count);

/* Verifies the blob, writes and verifies the header, and commits. After NODE_SLOT_OK the slot is pending: the next start tries it. After any
   other code (NODE_SLOT_ORDER, NODE_SLOT_BLOB_CRC, NODE_SLOT_READ, NODE_SLOT_WRITE) the slot is not eligible. */
node_slot_fault node_slot_update_finish(node_slot_update *update);

#ifdef __cplusplus
}
#endif
#endif
