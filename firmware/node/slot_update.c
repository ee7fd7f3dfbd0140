/* How a slot is written: commit is the first thing that goes and the last that comes. */
#include <string.h>

#include "aether/crc32.h"
#include "bytes.h"
#include "slot_layout.h"

#define CHUNK 256u /* read back in pieces of this size, on the stack */

static const unsigned char REVOKED[4] = {0, 0, 0, 0};

enum { CLOSED = 0, OPEN = 0x6F70656E };

static unsigned dispensable(const node_slot_verdict verdicts[NODE_SLOTS]) {
    if (verdicts[0].fault != NODE_SLOT_OK || verdicts[1].fault != NODE_SLOT_OK) {
        /* of two that do not count: the one that is there */
        return verdicts[0].fault == NODE_SLOT_OK || verdicts[0].fault == NODE_SLOT_ABSENT ? 1 : 0;
    }
    if (verdicts[0].confirmed != verdicts[1].confirmed) { /* the one that has proven itself stays */
        return verdicts[0].confirmed ? 1 : 0;
    }
    return node_slot_newer(verdicts[1].header.sequence, verdicts[0].header.sequence) ? 0 : 1;
}

/* One look at both decides where an update goes and its number: newer than what stays. A slot that cannot be read may be the one that has
   proven itself, and its number is not known. */
static node_slot_fault aim(const node_flash *flash, int in_use, unsigned *slot, uint32_t *sequence) {
    node_slot_verdict verdicts[NODE_SLOTS];
    const node_slot_verdict *stays;
    const int known = in_use == 0 || in_use == 1;
    unsigned i, target;
    for (i = 0; i < NODE_SLOTS; i++) {
        node_slot_look(flash, i, verdicts + i);
    }
    target = known ? 1u - (unsigned)in_use : dispensable(verdicts);
    stays = verdicts + (1u - target);
    if (verdicts[target].fault == NODE_SLOT_ABSENT) {
        return NODE_SLOT_ABSENT;
    }
    if (stays->fault == NODE_SLOT_READ || (!known && verdicts[target].fault == NODE_SLOT_READ)) {
        return NODE_SLOT_READ;
    }
    *slot = target;
    *sequence = stays->has_header ? stays->header.sequence + 1u : 0u;
    return NODE_SLOT_OK;
}

node_slot_fault node_slot_target(const node_flash *flash, int in_use, unsigned *slot) {
    uint32_t sequence;
    return aim(flash, in_use, slot, &sequence);
}

static node_slot_fault put(const node_slot_update *update, size_t offset, const void *from, size_t bytes) {
    return update->flash->write(update->flash->user, update->slot, offset, from, bytes) == 0 ? NODE_SLOT_OK
                                                                                             : NODE_SLOT_WRITE;
}

node_slot_fault node_slot_update_begin(node_slot_update *update, const node_flash *flash, int in_use,
                                       const node_slot_header *header) {
    node_slot_fault fault;
    uint32_t sequence;
    size_t end;
    memset(update, 0, sizeof *update);
    fault = aim(flash, in_use, &update->slot, &sequence);
    if (fault != NODE_SLOT_OK) {
        return fault;
    }
    update->flash = flash;
    update->header = *header;
    update->header.blob_offset = NODE_SLOT_BLOB_OFFSET;
    update->header.sequence = sequence;
    fault = node_slot_fields(&update->header, flash->slot_bytes[update->slot]);
    if (fault != NODE_SLOT_OK) {
        return fault;
    }
    end = NODE_SLOT_BLOB_OFFSET + header->blob_length;
    end += (NODE_SLOT_SECTOR - end % NODE_SLOT_SECTOR) % NODE_SLOT_SECTOR;
    if (put(update, SLOT_COMMIT_AT, REVOKED, sizeof REVOKED) != NODE_SLOT_OK ||
        flash->erase(flash->user, update->slot, 0, end) != 0) {
        return NODE_SLOT_WRITE;
    }
    update->state = OPEN;
    return NODE_SLOT_OK;
}

node_slot_fault node_slot_update_write(node_slot_update *update, const void *bytes, size_t count) {
    if (update->state != OPEN) {
        return NODE_SLOT_ORDER;
    }
    if (count > update->header.blob_length - update->written) {
        update->state = CLOSED;
        return NODE_SLOT_ORDER;
    }
    if (count > 0 && put(update, update->header.blob_offset + update->written, bytes, count) != NODE_SLOT_OK) {
        update->state = CLOSED;
        return NODE_SLOT_WRITE;
    }
    update->written += count;
    return NODE_SLOT_OK;
}

static node_slot_fault read_back(const node_slot_update *update) {
    unsigned char piece[CHUNK];
    uint32_t crc = 0;
    size_t at = 0;
    const size_t end = update->header.blob_length - NODE_SLOT_BLOB_CRC_BYTES;
    while (at < end) {
        const size_t left = end - at;
        const size_t count = left < CHUNK ? left : CHUNK;
        if (update->flash->read(update->flash->user, update->slot, update->header.blob_offset + at, piece, count) != 0) {
            return NODE_SLOT_READ;
        }
        crc = aether_crc32(crc, piece, count);
        at += count;
    }
    if (update->flash->read(update->flash->user, update->slot, update->header.blob_offset + end, piece,
                            NODE_SLOT_BLOB_CRC_BYTES) != 0) {
        return NODE_SLOT_READ;
    }
    return crc == update->header.blob_crc && node_get_u32(piece) == crc ? NODE_SLOT_OK : NODE_SLOT_BLOB_CRC;
}

/* Writes and compares what is then there. */
static node_slot_fault put_checked(const node_slot_update *update, size_t offset, const unsigned char *from, size_t bytes) {
    unsigned char there[NODE_SLOT_HEADER_BYTES];
    size_t i;
    if (put(update, offset, from, bytes) != NODE_SLOT_OK) {
        return NODE_SLOT_WRITE;
    }
    if (update->flash->read(update->flash->user, update->slot, offset, there, bytes) != 0) {
        return NODE_SLOT_READ;
    }
    for (i = 0; i < bytes; i++) {
        if (there[i] != from[i]) {
            return NODE_SLOT_WRITE;
        }
    }
    return NODE_SLOT_OK;
}

node_slot_fault node_slot_update_finish(node_slot_update *update) {
    unsigned char header[NODE_SLOT_HEADER_BYTES], commit[4];
    node_slot_fault fault;
    if (update->state != OPEN) {
        return NODE_SLOT_ORDER;
    }
    update->state = CLOSED;
    if (update->written != update->header.blob_length) {
        return NODE_SLOT_ORDER;
    }
    fault = read_back(update);
    if (fault == NODE_SLOT_OK) {
        node_slot_encode(&update->header, header);
        fault = put_checked(update, 0, header, sizeof header);
    }
    if (fault == NODE_SLOT_OK) {
        node_put_u32(commit, SLOT_COMMITTED);
        fault = put_checked(update, SLOT_COMMIT_AT, commit, sizeof commit);
        if (fault != NODE_SLOT_OK) { /* whatever it says now, it must not say that */
            (void)put(update, SLOT_COMMIT_AT, REVOKED, sizeof REVOKED);
        }
    }
    return fault;
}
