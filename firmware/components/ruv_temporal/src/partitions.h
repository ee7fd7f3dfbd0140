/* The two blob slots as partitions of this chip's flash. */
#ifndef RUV_PARTITIONS_H
#define RUV_PARTITIONS_H

#include "esp_partition.h"
#include "slots.h"

typedef struct ruv_partitions {
    const esp_partition_t *partition[NODE_SLOTS]; /* NULL: there is no partition of this name */
    esp_partition_mmap_handle_t mapping[NODE_SLOTS];
    bool mapped[NODE_SLOTS];
    node_flash flash; /* points back here: do not copy */
} ruv_partitions;

/* Finds aether_a and aether_b. */
void ruv_partitions_find(ruv_partitions *partitions);

/* Ends every mapping. */
void ruv_partitions_release(ruv_partitions *partitions);

#endif
