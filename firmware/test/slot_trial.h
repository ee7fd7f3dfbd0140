/* A node that opens a blob in given memory. */
#ifndef AETHER_TEST_SLOT_TRIAL_H
#define AETHER_TEST_SLOT_TRIAL_H

#include "slots.h"

typedef struct slot_trial {
    node_wanted wanted;
    void *memory; /* 8-byte aligned */
    size_t bytes;
    node_classifier *classifier; /* of the blob in use */
    unsigned asked;              /* how often a blob was offered */
} slot_trial;

static node_slot_fault slot_trial_open(void *user, const node_slot_header *header, const void *blob, node_slot_verdict *verdict,
                                       node_classifier **classifier) {
    slot_trial *trial = user;
    trial->asked++;
    verdict->status = node_classifier_init(blob, header->blob_length, &trial->wanted, trial->memory, trial->bytes,
                                           &trial->classifier, &verdict->detail);
    *classifier = trial->classifier;
    return verdict->status == AETHER_OK ? NODE_SLOT_OK : NODE_SLOT_BLOB;
}

static void slot_trial_close(void *user) {
    ((slot_trial *)user)->classifier = NULL;
}

static int slot_trial_choose(const node_flash *flash, slot_trial *trial, node_slot_verdict verdicts[NODE_SLOTS]) {
    const node_slot_opener opener = {trial, trial->wanted.cache, slot_trial_open, slot_trial_close};
    return node_slots_choose(flash, &opener, verdicts);
}

#endif
