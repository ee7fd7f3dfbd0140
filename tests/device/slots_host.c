/* The node's own reading of two slots in a file, on this computer: `slots_host FILE SLOT_BYTES f32|f16`. Prints the slot it uses and what
   became of each; flags are written back into the file, as a node writes them into flash. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classifier.h"
#include "slots.h"

static unsigned char *slots;
static size_t slot_bytes;
static aether_dtype cache;

static int read_flash(void *user, unsigned slot, size_t offset, void *to, size_t bytes) {
    (void)user;
    memcpy(to, slots + slot * slot_bytes + offset, bytes);
    return 0;
}

static int write_flash(void *user, unsigned slot, size_t offset, const void *from, size_t bytes) {
    const unsigned char *data = from;
    size_t i;
    (void)user;
    for (i = 0; i < bytes; i++) {
        slots[slot * slot_bytes + offset + i] = (unsigned char)(slots[slot * slot_bytes + offset + i] & data[i]);
    }
    return 0;
}

static int erase_flash(void *user, unsigned slot, size_t offset, size_t bytes) {
    (void)user;
    memset(slots + slot * slot_bytes + offset, 0xFF, bytes);
    return 0;
}

static const void *map_flash(void *user, unsigned slot) {
    (void)user;
    return slots + slot * slot_bytes;
}

static void *memory;

static node_slot_fault open_blob(void *user, const node_slot_header *header, const void *blob, node_slot_verdict *verdict,
                                 node_classifier **classifier) {
    node_wanted wanted = {0, 0, 64, AETHER_BINARY32, 0};
    size_t need = 0;
    (void)user;
    wanted.cache = cache;
    verdict->status = node_classifier_size(blob, header->blob_length, &wanted, &need, &verdict->detail);
    if (verdict->status == AETHER_OK) {
        memory = malloc(need);
        verdict->status = node_classifier_init(blob, header->blob_length, &wanted, memory, need, classifier, &verdict->detail);
    }
    return verdict->status == AETHER_OK ? NODE_SLOT_OK : NODE_SLOT_BLOB;
}

static void close_blob(void *user) {
    (void)user;
    free(memory);
}

int main(int argc, char **argv) {
    node_slot_verdict verdicts[NODE_SLOTS];
    node_flash flash = {NULL, {0, 0}, read_flash, write_flash, erase_flash, map_flash, NULL};
    node_slot_opener opener = {NULL, AETHER_BINARY32, open_blob, close_blob};
    FILE *file;
    int used;
    if (argc != 4) {
        return 2;
    }
    slot_bytes = strtoul(argv[2], NULL, 0);
    cache = strcmp(argv[3], "f16") == 0 ? AETHER_BINARY16 : AETHER_BINARY32;
    opener.cache = cache;
    flash.slot_bytes[0] = flash.slot_bytes[1] = slot_bytes;
    slots = aligned_alloc(4096, 2 * slot_bytes);
    file = fopen(argv[1], "r+b");
    if (slots == NULL || file == NULL || fread(slots, 1, 2 * slot_bytes, file) != 2 * slot_bytes) {
        return 3;
    }
    used = node_slots_choose(&flash, &opener, verdicts);
    if (used >= 0) { /* its task then predicts in time */
        node_slot_confirm(&flash, (unsigned)used);
    }
    printf("%d\n", used);
    printf("%s\n%s\n", node_slot_text(verdicts[0].fault), node_slot_text(verdicts[1].fault));
    rewind(file);
    if (fwrite(slots, 1, 2 * slot_bytes, file) != 2 * slot_bytes || fclose(file) != 0) {
        return 3;
    }
    free(slots);
    return 0;
}
