/* The two blob slots as partitions of this chip's flash; opens a classifier from them and verifies it. */
#ifndef RUV_OPENING_H
#define RUV_OPENING_H

#include "classifier.h"
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

/* An open classifier, and memory for the queue of a node on it. Zero it before use; do not copy. */
typedef struct ruv_opened {
    ruv_partitions partitions;
    node_classifier *classifier;
    void *memory, *queue;
    size_t bytes;              /* of both */
    int slot;                  /* -1: a blob at an address */
    node_slot_verdict verdict; /* on the slot */
} ruv_opened;

/* Opens the newest slot whose blob passes and whose memory there is, and logs the result for each slot. ESP_ERR_NOT_FOUND: there is no blob.
   Otherwise the code that says why the newest blob was rejected. Nothing stays open on failure. */
esp_err_t ruv_open_slots(const node_wanted *wanted, ruv_opened *opened);

/* A blob at an address. The codes of ruv_temporal_init. */
esp_err_t ruv_open_blob(const uint8_t *weights, size_t weights_len, const node_wanted *wanted, ruv_opened *opened);

/* The bytes that ruv_open_blob would allocate. The codes of ruv_temporal_init. */
esp_err_t ruv_blob_memory(const uint8_t *weights, size_t weights_len, const node_wanted *wanted, size_t *bytes);

void ruv_close(ruv_opened *opened);

/* Repeats the check of the slot's header, in the calling task. */
bool ruv_check_again(const ruv_opened *opened);

/* Converts a slot's fault to a code of esp_err.h; status: used with NODE_SLOT_BLOB. */
esp_err_t ruv_fault_error(node_slot_fault fault, aether_status status);

/* A lock: while it is held, no other task starts or stops the temporal task, or chooses the slot that an update erases. Otherwise a start
   could map a slot that is about to be erased. ruv_slots_take waits. */
void ruv_slots_take(void);
void ruv_slots_give(void);

/* The slot whose blob the running task uses, or -1. Call it with the lock held. */
int ruv_slot_in_use(void);

#endif
