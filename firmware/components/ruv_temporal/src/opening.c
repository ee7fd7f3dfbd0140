#include "opening.h"

#include <inttypes.h>
#include <string.h>

#include "esp_heap_caps.h"
#include "esp_log.h"
#include "status_map.h"

static const char TAG[] = "ruv_blob";
static const char NAMES[NODE_SLOTS] = {'a', 'b'};

typedef struct attempt {
    const node_wanted *wanted;
    ruv_opened *opened;
} attempt;

static aether_status open_here(const void *blob, size_t length, const node_wanted *wanted, ruv_opened *opened,
                               aether_detail *detail) {
    size_t bytes = 0;
    aether_status status = node_classifier_size(blob, length, wanted, &bytes, detail);
    if (status != AETHER_OK) {
        return status;
    }
    opened->memory = heap_caps_aligned_alloc(8, bytes, MALLOC_CAP_8BIT);
    if (opened->memory == NULL) {
        return aether_fail(detail, AETHER_E_MEMORY, "memory", "the bytes that the model needs", bytes, SIZE_MAX);
    }
    opened->bytes = bytes;
    return node_classifier_init(blob, length, wanted, opened->memory, bytes, &opened->classifier, detail);
}

static void drop(ruv_opened *opened) {
    heap_caps_free(opened->memory);
    opened->memory = NULL;
    opened->classifier = NULL;
}

static node_slot_fault accept(void *user, const node_slot_header *header, const void *blob, node_slot_verdict *verdict) {
    const attempt *own = user;
    ruv_opened *opened = own->opened;
    node_slot_fault fault = NODE_SLOT_OK;
    if (header->check_frames > own->wanted->context) {
        verdict->status = aether_fail(&verdict->detail, AETHER_E_SHAPE, "check_frames", "at most the context's frames",
                                      header->check_frames, 0x18);
        return NODE_SLOT_BLOB;
    }
    verdict->status = open_here(blob, header->blob_length, own->wanted, opened, &verdict->detail);
    if (verdict->status != AETHER_OK) {
        fault = opened->memory == NULL && verdict->status == AETHER_E_MEMORY ? NODE_SLOT_MEMORY : NODE_SLOT_BLOB;
    } else {
        verdict->expected = own->wanted->cache == AETHER_BINARY32 ? header->check_binary32 : header->check_binary16;
        verdict->got = node_classifier_check(opened->classifier, header->check_frames, header->check_seed);
        fault = verdict->got == verdict->expected ? NODE_SLOT_OK : NODE_SLOT_CHECK;
    }
    if (fault != NODE_SLOT_OK) {
        drop(opened);
    }
    return fault;
}

static void log_verdict(unsigned slot, const node_slot_verdict *verdict) {
    const char name = NAMES[slot];
    switch (verdict->fault) {
    case NODE_SLOT_OK:
        ESP_LOGI(TAG, "slot aether_%c: in use: sequence %" PRIu32 ", %" PRIu32 " bytes", name, verdict->header.sequence,
                 verdict->header.blob_length);
        break;
    case NODE_SLOT_NOT_TRIED:
    case NODE_SLOT_EMPTY:
        ESP_LOGI(TAG, "slot aether_%c: %s", name, node_slot_text(verdict->fault));
        break;
    case NODE_SLOT_BLOB:
    case NODE_SLOT_MEMORY:
        ESP_LOGE(TAG, "slot aether_%c: %s: %s: %s: expected %s, found %" PRIu64, name, node_slot_text(verdict->fault),
                 aether_status_text(verdict->status), verdict->detail.field != NULL ? verdict->detail.field : "blob",
                 verdict->detail.expected != NULL ? verdict->detail.expected : "another", verdict->detail.found);
        break;
    case NODE_SLOT_BLOB_CRC:
    case NODE_SLOT_CHECK:
        ESP_LOGE(TAG, "slot aether_%c: %s: expected %08" PRIX32 ", found %08" PRIX32, name, node_slot_text(verdict->fault),
                 verdict->expected, verdict->got);
        break;
    default:
        ESP_LOGE(TAG, "slot aether_%c: %s", name, node_slot_text(verdict->fault));
        break;
    }
}

esp_err_t ruv_fault_error(node_slot_fault fault, aether_status status) {
    switch (fault) {
    case NODE_SLOT_OK:
        return ESP_OK;
    case NODE_SLOT_READ:
    case NODE_SLOT_WRITE:
        return ESP_FAIL;
    case NODE_SLOT_MAGIC:
        return ESP_ERR_INVALID_ARG;
    case NODE_SLOT_VERSION:
        return ESP_ERR_INVALID_VERSION;
    case NODE_SLOT_HEADER_CRC:
    case NODE_SLOT_BLOB_CRC:
        return ESP_ERR_INVALID_CRC;
    case NODE_SLOT_FIELD:
    case NODE_SLOT_TOO_LARGE:
        return ESP_ERR_INVALID_SIZE;
    case NODE_SLOT_BLOB:
        return ruv_error(status);
    case NODE_SLOT_MEMORY:
        return ESP_ERR_NO_MEM;
    case NODE_SLOT_NO_TRIALS:
    case NODE_SLOT_CHECK:
    case NODE_SLOT_ORDER:
    case NODE_SLOT_NOT_TRIED:
    case NODE_SLOT_FAULTS:
        return ESP_ERR_INVALID_STATE;
    case NODE_SLOT_ABSENT:
    case NODE_SLOT_EMPTY:
    case NODE_SLOT_UNCOMMITTED:
        break;
    }
    return ESP_ERR_NOT_FOUND;
}

static esp_err_t fault_of(const node_slot_verdict *verdict) {
    return ruv_fault_error(verdict->fault, verdict->status);
}

esp_err_t ruv_open_slots(const node_wanted *wanted, ruv_opened *opened) {
    attempt own = {wanted, opened};
    node_slot_verdict verdicts[NODE_SLOTS];
    esp_err_t error;
    unsigned i, newest;
    int used;
    ruv_partitions_find(&opened->partitions);
    used = opened->slot = node_slots_choose(&opened->partitions.flash, accept, &own, verdicts);
    for (i = 0; i < NODE_SLOTS; i++) {
        log_verdict(i, verdicts + i);
    }
    if (used >= 0) {
        return ESP_OK;
    }
    newest = verdicts[1].has_header &&
             (!verdicts[0].has_header || (int32_t)(verdicts[1].header.sequence - verdicts[0].header.sequence) > 0);
    error = fault_of(verdicts + newest);
    if (error == ESP_ERR_NOT_FOUND) {
        error = fault_of(verdicts + (1u - newest));
    }
    ruv_partitions_release(&opened->partitions);
    return error;
}

esp_err_t ruv_open_blob(const uint8_t *weights, size_t weights_len, const node_wanted *wanted, ruv_opened *opened) {
    aether_detail detail = {0};
    const aether_status status = open_here(weights, weights_len, wanted, opened, &detail);
    if (status != AETHER_OK) {
        ESP_LOGE(TAG, "blob: %s: %s: expected %s, found %" PRIu64, aether_status_text(status),
                 detail.field != NULL ? detail.field : "blob", detail.expected != NULL ? detail.expected : "another",
                 detail.found);
        drop(opened);
    }
    opened->slot = -1;
    return ruv_error(status);
}

void ruv_close(ruv_opened *opened) {
    drop(opened);
    ruv_partitions_release(&opened->partitions);
}
