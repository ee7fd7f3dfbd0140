#include "opening.h"

#include <string.h>

#include "esp_log.h"

static const char TAG[] = "ruv_partitions";
static const char *const LABELS[NODE_SLOTS] = {"aether_a", "aether_b"};

static const esp_partition_t *of(void *user, unsigned slot) {
    return ((ruv_partitions *)user)->partition[slot];
}

static int read_flash(void *user, unsigned slot, size_t offset, void *to, size_t bytes) {
    return esp_partition_read(of(user, slot), offset, to, bytes) != ESP_OK;
}

static int write_flash(void *user, unsigned slot, size_t offset, const void *from, size_t bytes) {
    return esp_partition_write(of(user, slot), offset, from, bytes) != ESP_OK;
}

static int erase_flash(void *user, unsigned slot, size_t offset, size_t bytes) {
    return esp_partition_erase_range(of(user, slot), offset, bytes) != ESP_OK;
}

static void unmap_flash(void *user, unsigned slot) {
    ruv_partitions *partitions = user;
    if (partitions->mapped[slot]) {
        esp_partition_munmap(partitions->mapping[slot]);
        partitions->mapped[slot] = false;
    }
}

static const void *map_flash(void *user, unsigned slot) {
    ruv_partitions *partitions = user;
    const void *address = NULL;
    unmap_flash(user, slot);
    if (esp_partition_mmap(of(user, slot), 0, of(user, slot)->size, ESP_PARTITION_MMAP_DATA, &address,
                           &partitions->mapping[slot]) != ESP_OK) {
        return NULL;
    }
    partitions->mapped[slot] = true;
    return address;
}

void ruv_partitions_find(ruv_partitions *partitions) {
    unsigned i;
    memset(partitions, 0, sizeof *partitions);
    partitions->flash.user = partitions;
    partitions->flash.read = read_flash;
    partitions->flash.write = write_flash;
    partitions->flash.erase = erase_flash;
    partitions->flash.map = map_flash;
    partitions->flash.unmap = unmap_flash;
    for (i = 0; i < NODE_SLOTS; i++) {
        partitions->partition[i] =
            esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY, LABELS[i]);
        if (partitions->partition[i] != NULL && partitions->partition[i]->encrypted) {
            ESP_LOGE(TAG, "partition %s: expected no flag `encrypted`; clear it in the partition table", LABELS[i]);
            partitions->partition[i] = NULL;
        }
        partitions->flash.slot_bytes[i] = partitions->partition[i] != NULL ? partitions->partition[i]->size : 0;
    }
}

void ruv_partitions_release(ruv_partitions *partitions) {
    unsigned i;
    for (i = 0; i < NODE_SLOTS; i++) {
        unmap_flash(partitions, i);
    }
}
