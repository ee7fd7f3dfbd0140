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

static int is_set(const unsigned char *prefix, size_t flag, uint32_t value) {
    return node_get_u32(prefix + flag) == value;
}

void node_slot_inspect(const node_flash *flash, unsigned slot, node_slot_verdict *verdict) {
    unsigned char prefix[SLOT_PREFIX];
    memset(verdict, 0, sizeof *verdict);
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
    verdict->ran = is_set(prefix, SLOT_RAN_AT, SLOT_RAN);
    if (!is_set(prefix, SLOT_COMMIT_AT, SLOT_COMMITTED)) {
        verdict->fault = NODE_SLOT_UNCOMMITTED;
    } else if (is_set(prefix, SLOT_CONFIRM_AT, SLOT_CONFIRMED)) {
        verdict->confirmed = 1;
    } else {
        verdict->trial_at = unused_trial(prefix);
        verdict->fault = verdict->trial_at != 0 ? NODE_SLOT_OK : NODE_SLOT_NO_TRIALS;
    }
}

unsigned node_slot_standing(const node_slot_verdict *verdict) {
    if (verdict->fault == NODE_SLOT_OK) {
        return verdict->confirmed ? SLOT_CERTAIN : SLOT_ELIGIBLE;
    }
    return verdict->fault == NODE_SLOT_NO_TRIALS && verdict->ran ? SLOT_LAST_RESORT : SLOT_UNUSABLE;
}

int node_slot_set(const node_flash *flash, unsigned slot, size_t flag, uint32_t word) {
    unsigned char bytes[4];
    node_put_u32(bytes, word);
    return flash->write(flash->user, slot, flag, bytes, sizeof bytes);
}

int node_slot_confirm(const node_flash *flash, unsigned slot) {
    const int commit = node_slot_set(flash, slot, SLOT_COMMIT_AT, SLOT_COMMITTED);
    const int ran = node_slot_set(flash, slot, SLOT_RAN_AT, SLOT_RAN);
    const int confirm = node_slot_set(flash, slot, SLOT_CONFIRM_AT, SLOT_CONFIRMED);
    return commit != 0 ? commit : ran != 0 ? ran : confirm;
}

/* Computes. A model that crashes the node does so here, so the trial is counted before. */
static node_slot_fault check(const node_flash *flash, unsigned slot, const node_slot_opener *opener, node_classifier *classifier,
                             node_slot_verdict *verdict) {
    const node_slot_header *header = &verdict->header;
    if (verdict->trial_at != 0 && !verdict->ran) { /* later trials begin with their first frame: trial.h */
        if (node_slot_set(flash, slot, verdict->trial_at, 0) != 0) {
            return NODE_SLOT_WRITE;
        }
        verdict->trial_at = 0;
    }
    verdict->expected = opener->cache == AETHER_BINARY32 ? header->check_binary32 : header->check_binary16;
    verdict->got = node_classifier_check(classifier, header->check_frames, header->check_seed);
    return verdict->got == verdict->expected ? NODE_SLOT_OK : NODE_SLOT_CHECK;
}

static node_slot_fault try_mapped(const node_flash *flash, unsigned slot, const unsigned char *mapped,
                                  const node_slot_opener *opener, node_slot_verdict *verdict) {
    const node_slot_header *header = &verdict->header;
    node_classifier *classifier = NULL;
    node_slot_fault fault;
    verdict->expected = header->blob_crc;
    verdict->got = aether_crc32(0, mapped + header->blob_offset, header->blob_length - NODE_SLOT_BLOB_CRC_BYTES);
    if (verdict->got != verdict->expected) {
        return NODE_SLOT_BLOB_CRC;
    }
    fault = opener->open(opener->user, header, mapped + header->blob_offset, verdict, &classifier);
    if (fault == NODE_SLOT_OK) {
        fault = check(flash, slot, opener, classifier, verdict);
        if (fault != NODE_SLOT_OK) {
            opener->close(opener->user);
        }
    }
    return fault;
}

static node_slot_fault try_slot(const node_flash *flash, unsigned slot, const node_slot_opener *opener,
                                node_slot_verdict *verdict) {
    const unsigned char *mapped = flash->map(flash->user, slot);
    node_slot_fault fault;
    if (mapped == NULL) {
        return NODE_SLOT_READ;
    }
    fault = try_mapped(flash, slot, mapped, opener, verdict);
    if (fault != NODE_SLOT_OK) {
        if (flash->unmap != NULL) {
            flash->unmap(flash->user, slot);
        }
    } else if (verdict->confirmed) {
        (void)node_slot_confirm(flash, slot); /* it is confirmed already */
    }
    return fault;
}

/* The slot to try first: one that is eligible before one that is not; of two alike the newer. */
static unsigned first_of(const node_slot_verdict verdicts[NODE_SLOTS]) {
    const int eligible[NODE_SLOTS] = {verdicts[0].fault == NODE_SLOT_OK, verdicts[1].fault == NODE_SLOT_OK};
    if (eligible[0] != eligible[1]) {
        return eligible[1] ? 1 : 0;
    }
    return verdicts[1].has_header && verdicts[0].has_header &&
                   node_slot_newer(verdicts[1].header.sequence, verdicts[0].header.sequence)
               ? 1
               : 0;
}

int node_slots_choose(const node_flash *flash, const node_slot_opener *opener, node_slot_verdict verdicts[NODE_SLOTS]) {
    unsigned first, i;
    for (i = 0; i < NODE_SLOTS; i++) {
        node_slot_inspect(flash, i, verdicts + i);
    }
    first = first_of(verdicts);
    for (i = 0; i < NODE_SLOTS; i++) {
        const unsigned slot = i == 0 ? first : 1u - first;
        if (node_slot_standing(verdicts + slot) == SLOT_UNUSABLE) {
            continue;
        }
        verdicts[slot].fault = try_slot(flash, slot, opener, verdicts + slot);
        if (verdicts[slot].fault == NODE_SLOT_OK) {
            if (verdicts[1u - slot].fault == NODE_SLOT_OK) {
                verdicts[1u - slot].fault = NODE_SLOT_NOT_TRIED;
            }
            return (int)slot;
        }
    }
    return -1;
}
