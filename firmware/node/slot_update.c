/* Updating a slot: the commit flag is cleared first and set last. */
#include <string.h>

#include "aether/crc32.h"
#include "bytes.h"
#include "slot_layout.h"

#define CHUNK 256u /* bytes of stack for reading back */

static const unsigned char REVOKED[4] = {0, 0, 0, 0};

enum { CLOSED = 0, OPEN = 0x6F70656E };

static unsigned replaceable(const node_slot_verdict verdicts[NODE_SLOTS]) {
    const unsigned a = node_slot_standing(verdicts), b = node_slot_standing(verdicts + 1);
    if (a != b) {
        return a > b ? 1 : 0;
    }
    if (a == SLOT_UNUSABLE) { /* the one that exists */
        return verdicts[0].fault == NODE_SLOT_ABSENT ? 1 : 0;
    }
    return node_slot_newer(verdicts[1].header.sequence, verdicts[0].header.sequence) ? 0 : 1;
}

/* Inspects both slots once, to choose the target of an update and a sequence number newer than that of the slot that is kept. A slot that
   cannot be read may be the confirmed one, and its sequence number is unknown. */
static node_slot_fault find_target(const node_flash *flash, int in_use, unsigned *slot, uint32_t *sequence) {
    node_slot_verdict verdicts[NODE_SLOTS];
    const node_slot_verdict *kept;
    const int known = in_use == 0 || in_use == 1;
    unsigned i, target;
    for (i = 0; i < NODE_SLOTS; i++) {
        node_slot_inspect(flash, i, verdicts + i);
    }
    target = known ? 1u - (unsigned)in_use : replaceable(verdicts);
    kept = verdicts + (1u - target);
    if (verdicts[target].fault == NODE_SLOT_ABSENT) {
        return NODE_SLOT_ABSENT;
    }
    if (kept->fault == NODE_SLOT_READ || (!known && verdicts[target].fault == NODE_SLOT_READ)) {
        return NODE_SLOT_READ;
    }
    if (known && !kept->confirmed && verdicts[target].confirmed) {
        return NODE_SLOT_ON_TRIAL;
    }
    *slot = target;
    *sequence = kept->has_header ? kept->header.sequence + 1u : 0u;
    return NODE_SLOT_OK;
}

node_slot_fault node_slot_target(const node_flash *flash, int in_use, unsigned *slot) {
    uint32_t sequence;
    return find_target(flash, in_use, slot, &sequence);
}

static node_slot_fault write_slot(const node_slot_update *update, size_t offset, const void *from, size_t bytes) {
    return update->flash->write(update->flash->user, update->slot, offset, from, bytes) == 0 ? NODE_SLOT_OK
                                                                                             : NODE_SLOT_WRITE;
}

node_slot_fault node_slot_update_begin(node_slot_update *update, const node_flash *flash, int in_use,
                                       const node_slot_header *header) {
    node_slot_fault fault;
    uint32_t sequence;
    size_t end;
    memset(update, 0, sizeof *update);
    fault = find_target(flash, in_use, &update->slot, &sequence);
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
    if (write_slot(update, SLOT_COMMIT_AT, REVOKED, sizeof REVOKED) != NODE_SLOT_OK ||
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
    if (count > 0 && write_slot(update, update->header.blob_offset + update->written, bytes, count) != NODE_SLOT_OK) {
        update->state = CLOSED;
        return NODE_SLOT_WRITE;
    }
    update->written += count;
    return NODE_SLOT_OK;
}

static node_slot_fault verify_blob(const node_slot_update *update) {
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

/* Writes, reads back and compares. */
static node_slot_fault write_verified(const node_slot_update *update, size_t offset, const unsigned char *from, size_t bytes) {
    unsigned char found[NODE_SLOT_HEADER_BYTES];
    size_t i;
    if (write_slot(update, offset, from, bytes) != NODE_SLOT_OK) {
        return NODE_SLOT_WRITE;
    }
    if (update->flash->read(update->flash->user, update->slot, offset, found, bytes) != 0) {
        return NODE_SLOT_READ;
    }
    for (i = 0; i < bytes; i++) {
        if (found[i] != from[i]) {
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
    fault = verify_blob(update);
    if (fault == NODE_SLOT_OK) {
        node_slot_encode(&update->header, header);
        fault = write_verified(update, 0, header, sizeof header);
    }
    if (fault == NODE_SLOT_OK) {
        node_put_u32(commit, SLOT_COMMITTED);
        fault = write_verified(update, SLOT_COMMIT_AT, commit, sizeof commit);
        if (fault != NODE_SLOT_OK) { /* the flag must not read as set */
            (void)write_slot(update, SLOT_COMMIT_AT, REVOKED, sizeof REVOKED);
        }
    }
    return fault;
}
