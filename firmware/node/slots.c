/* Choosing the slot to use. */
#include "slots.h"

#include <string.h>

#include "aether/crc32.h"
#include "bytes.h"
#include "slot_layout.h"

/* Offset of the first erased trial flag; 0: all trials are used. */
static size_t unused_trial(const unsigned char *prefix) {
    size_t i;
    for (i = 0; i < SLOT_TRIALS; i++) {
        const size_t at = SLOT_TRIAL_AT + i * SLOT_FLAG_STEP;
        if (node_get_u32(prefix + at) == SLOT_ERASED) {
            return at;
        }
    }
    return 0;
}

/* *trial_at: offset of the next trial flag; 0 when the slot is confirmed and needs no trial. */
static void inspect(const node_flash *flash, unsigned slot, node_slot_verdict *verdict, size_t *trial_at) {
    unsigned char prefix[SLOT_PREFIX];
    memset(verdict, 0, sizeof *verdict);
    *trial_at = 0;
    if (flash->slot_bytes[slot] < NODE_SLOT_SECTOR) {
        verdict->fault = NODE_SLOT_ABSENT;
        return;
    }
    if (flash->read(flash->user, slot, 0, prefix, sizeof prefix) != 0) {
        verdict->fault = NODE_SLOT_READ;
        return;
    }
    verdict->fault = node_slot_decode(prefix, flash->slot_bytes[slot], &verdict->header);
    if (verdict->fault != NODE_SLOT_OK) {
        return;
    }
    verdict->has_header = 1;
    if (node_get_u32(prefix + SLOT_COMMIT_AT) != SLOT_COMMITTED) {
        verdict->fault = NODE_SLOT_UNCOMMITTED;
    } else if (node_get_u32(prefix + SLOT_CONFIRM_AT) != SLOT_CONFIRMED) {
        *trial_at = unused_trial(prefix);
        verdict->fault = *trial_at != 0 ? NODE_SLOT_OK : NODE_SLOT_NO_TRIALS;
    } else {
        verdict->confirmed = 1;
    }
}

void node_slot_inspect(const node_flash *flash, unsigned slot, node_slot_verdict *verdict) {
    size_t trial_at;
    inspect(flash, slot, verdict, &trial_at);
}

static node_slot_fault try_slot(const node_flash *flash, unsigned slot, size_t trial_at, node_slot_accept accept,
                                void *user, node_slot_verdict *verdict) {
    static const unsigned char used[4] = {0, 0, 0, 0};
    const node_slot_header *header = &verdict->header;
    const unsigned char *mapped;
    node_slot_fault fault;
    if (trial_at != 0 && flash->write(flash->user, slot, trial_at, used, sizeof used) != 0) {
        return NODE_SLOT_WRITE;
    }
    mapped = flash->map(flash->user, slot);
    if (mapped == NULL) {
        return NODE_SLOT_READ;
    }
    verdict->expected = header->blob_crc;
    verdict->got = aether_crc32(0, mapped + header->blob_offset, header->blob_length - NODE_SLOT_BLOB_CRC_BYTES);
    fault = verdict->got == verdict->expected ? accept(user, header, mapped + header->blob_offset, verdict)
                                              : NODE_SLOT_BLOB_CRC;
    if (fault != NODE_SLOT_OK) {
        if (flash->unmap != NULL) {
            flash->unmap(flash->user, slot);
        }
    } else if (trial_at != 0) {
        unsigned char confirmed[4];
        node_put_u32(confirmed, SLOT_CONFIRMED);
        (void)flash->write(flash->user, slot, SLOT_CONFIRM_AT, confirmed, sizeof confirmed);
    }
    return fault;
}

int node_slots_choose(const node_flash *flash, node_slot_accept accept, void *user,
                      node_slot_verdict verdicts[NODE_SLOTS]) {
    size_t trial_at[NODE_SLOTS];
    unsigned first = 0, i;
    for (i = 0; i < NODE_SLOTS; i++) {
        inspect(flash, i, verdicts + i, trial_at + i);
    }
    if (verdicts[1].fault == NODE_SLOT_OK &&
        (verdicts[0].fault != NODE_SLOT_OK || node_slot_newer(verdicts[1].header.sequence, verdicts[0].header.sequence))) {
        first = 1;
    }
    for (i = 0; i < NODE_SLOTS; i++) {
        const unsigned slot = i == 0 ? first : 1u - first;
        if (verdicts[slot].fault != NODE_SLOT_OK) {
            continue;
        }
        verdicts[slot].fault = try_slot(flash, slot, trial_at[slot], accept, user, verdicts + slot);
        if (verdicts[slot].fault == NODE_SLOT_OK) {
            if (verdicts[1u - slot].fault == NODE_SLOT_OK) {
                verdicts[1u - slot].fault = NODE_SLOT_NOT_TRIED;
            }
            return (int)slot;
        }
    }
    return -1;
}
