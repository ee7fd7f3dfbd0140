/* A node's acceptance test: a blob is accepted when it opens and its check value matches the header. */
#ifndef AETHER_TEST_SLOT_TRIAL_H
#define AETHER_TEST_SLOT_TRIAL_H

#include "classifier.h"
#include "slots.h"

typedef struct slot_trial {
    node_wanted wanted;
    void *memory; /* 8-byte aligned */
    size_t bytes;
    node_classifier *classifier; /* of the blob in use */
    unsigned asked;              /* how often a blob was offered */
    int *crashes;                /* when not NULL: set to 1 during a trial, to simulate a crash */
} slot_trial;

static node_slot_fault slot_accept(void *user, const node_slot_header *header, const void *blob, node_slot_verdict *verdict) {
    slot_trial *trial = user;
    trial->asked++;
    if (trial->crashes != NULL) {
        *trial->crashes = 1;
    }
    verdict->status = node_classifier_init(blob, header->blob_length, &trial->wanted, trial->memory, trial->bytes,
                                           &trial->classifier, &verdict->detail);
    if (verdict->status != AETHER_OK) {
        return NODE_SLOT_BLOB;
    }
    verdict->expected = trial->wanted.cache == AETHER_BINARY32 ? header->check_binary32 : header->check_binary16;
    verdict->got = node_classifier_check(trial->classifier, header->check_frames, header->check_seed);
    return verdict->got == verdict->expected ? NODE_SLOT_OK : NODE_SLOT_CHECK;
}

#endif
