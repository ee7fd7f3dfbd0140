/* A node with two slots in simulated flash: an update, and a start that opens a blob in given memory. */
#ifndef AETHER_TEST_SLOT_NODE_H
#define AETHER_TEST_SLOT_NODE_H

#include <string.h>

#include "slots.h"

#include "flash_sim.h"
#include "node_blobs.h"

#define SLOT NODE_SLOT_SECTOR /* one sector: header, flags, a small blob */
#define COMMIT 0x40u
#define TRIAL 0x50u
#define CONFIRM 0x80u
#define RAN 0x90u

/* Emulated chips test every byte of one update and every 13th of the others; a computer tests all. */
#if __STDC_HOSTED__
#define OTHERS 1u
#else
#define OTHERS 13u
#endif

/* Words, so that a blob in a slot is aligned as it is in flash. */
static uint32_t slot_a[SLOT / 4], slot_b[SLOT / 4], kept_a[SLOT / 4], kept_b[SLOT / 4];
static uint64_t memory[2048];
static flash_sim sim;

static void begin(void) {
    memset(slot_a, 0xFF, SLOT);
    memset(slot_b, 0xFF, SLOT);
    flash_begin(&sim, (unsigned char *)slot_a, (unsigned char *)slot_b, SLOT);
}

static unsigned char *at(unsigned slot, size_t offset) {
    return sim.bytes[slot] + offset;
}

static void keep(void) {
    memcpy(kept_a, slot_a, SLOT);
    memcpy(kept_b, slot_b, SLOT);
}

static void bring_back(void) {
    memcpy(slot_a, kept_a, SLOT);
    memcpy(slot_b, kept_b, SLOT);
    flash_restart(&sim);
}

static node_slot_header header_of(const node_blob *blob) {
    node_slot_header header;
    memset(&header, 0, sizeof header);
    header.blob_length = (uint32_t)blob->bytes;
    header.blob_crc = blob->crc;
    header.check_frames = NODE_BLOB_FRAMES;
    header.check_seed = NODE_BLOB_SEED;
    header.check_binary32 = blob->check_binary32;
    header.check_binary16 = blob->check_binary16;
    return header;
}

static node_slot_fault update_with(int in_use, const node_blob *blob, const node_slot_header *header, size_t piece) {
    node_slot_update update;
    node_slot_fault fault = node_slot_update_begin(&update, &sim.flash, in_use, header);
    size_t done = 0;
    while (fault == NODE_SLOT_OK && done < blob->bytes) {
        const size_t left = blob->bytes - done, count = left < piece ? left : piece;
        fault = node_slot_update_write(&update, (const unsigned char *)blob->words + done, count);
        done += count;
    }
    return fault == NODE_SLOT_OK ? node_slot_update_finish(&update) : fault;
}

static node_slot_fault update(int in_use, int which) {
    const node_slot_header header = header_of(&NODE_BLOB[which]);
    return update_with(in_use, &NODE_BLOB[which], &header, 33);
}

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

static slot_trial trial;
static node_slot_verdict verdicts[NODE_SLOTS];

/* A node's start, up to the moment at which the task would begin: nothing is mapped yet. */
static int start_only(void) {
    sim.mapped[0] = sim.mapped[1] = 0;
    memset(&trial, 0, sizeof trial);
    trial.wanted.context = 64;
    trial.wanted.cache = AETHER_BINARY16;
    trial.memory = memory;
    trial.bytes = sizeof memory;
    return slot_trial_choose(&sim.flash, &trial, verdicts);
}

/* A start whose task makes its first predictions in time. */
static int choose(void) {
    const int used = start_only();
    if (used >= 0) {
        node_slot_confirm(&sim.flash, (unsigned)used);
    }
    return used;
}

/* The slot in use holds this blob, whole. */
static int runs(int used, int which) {
    return used >= 0 && trial.classifier->model.blob_bytes == NODE_BLOB[which].bytes &&
           memcmp(trial.classifier->model.blob, NODE_BLOB[which].words, NODE_BLOB[which].bytes) == 0 &&
           sim.mapped[used] == 1 && sim.mapped[1 - used] == 0;
}

/* The slot that an update would go to; 9: none. */
static unsigned target(int in_use) {
    unsigned slot = 9;
    return node_slot_target(&sim.flash, in_use, &slot) == NODE_SLOT_OK ? slot : 9;
}

#endif
