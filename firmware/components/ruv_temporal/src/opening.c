#include "opening.h"

#include <inttypes.h>
#include <string.h>

#include "context.h"
#include "esp_heap_caps.h"
#include "esp_log.h"
#include "node.h"

static const char TAG[] = "ruv_blob";
static const char NAMES[NODE_SLOTS] = {'a', 'b'};

typedef struct attempt {
    const node_wanted *wanted;
    ruv_opened *opened;
} attempt;

static aether_status no_memory(const char *expected, size_t bytes, aether_detail *detail) {
    return aether_fail(detail, AETHER_E_MEMORY, "memory", expected, bytes, SIZE_MAX);
}

static aether_status open_here(const void *blob, size_t length, const node_wanted *wanted, ruv_opened *opened,
                               aether_detail *detail) {
    size_t bytes = 0, queue;
    aether_status status = node_classifier_size(blob, length, wanted, &bytes, detail);
    if (status != AETHER_OK) {
        return status;
    }
    opened->memory = heap_caps_aligned_alloc(8, bytes, MALLOC_CAP_8BIT);
    if (opened->memory == NULL) {
        return no_memory("the bytes that the model needs", bytes, detail);
    }
    status = node_classifier_init(blob, length, wanted, opened->memory, bytes, &opened->classifier, detail);
    if (status != AETHER_OK) {
        return status;
    }
    queue = node_queue_memory(opened->classifier);
    opened->queue = queue <= SIZE_MAX - bytes ? heap_caps_aligned_alloc(8, queue, MALLOC_CAP_8BIT) : NULL;
    if (opened->queue == NULL) {
        return no_memory("the bytes that the queue of frames needs", queue, detail);
    }
    opened->bytes = bytes + queue;
    return AETHER_OK;
}

static void drop(ruv_opened *opened) {
    heap_caps_free(opened->memory);
    heap_caps_free(opened->queue);
    opened->memory = opened->queue = NULL;
    opened->classifier = NULL;
}

static node_slot_fault open_slot(void *user, const node_slot_header *header, const void *blob, node_slot_verdict *verdict,
                                 node_classifier **classifier) {
    const attempt *own = user;
    if (header->check_frames > own->wanted->context) {
        verdict->status = aether_fail(&verdict->detail, AETHER_E_SHAPE, "check_frames", "at most the context's frames",
                                      header->check_frames, 0x18);
        return NODE_SLOT_BLOB;
    }
    verdict->status = open_here(blob, header->blob_length, own->wanted, own->opened, &verdict->detail);
    if (verdict->status != AETHER_OK) {
        drop(own->opened);
        return verdict->status == AETHER_E_MEMORY ? NODE_SLOT_MEMORY : NODE_SLOT_BLOB;
    }
    *classifier = own->opened->classifier;
    return NODE_SLOT_OK;
}

static void close_slot(void *user) {
    drop(((const attempt *)user)->opened);
}

static void log_verdict(unsigned slot, const node_slot_verdict *verdict) {
    const char name = NAMES[slot];
    switch (verdict->fault) {
    case NODE_SLOT_OK:
        ESP_LOGI(TAG, "slot aether_%c: in use: sequence %" PRIu32 ", %" PRIu32 " bytes%s", name, verdict->header.sequence,
                 verdict->header.blob_length, verdict->confirmed ? "" : ", on trial");
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
    case NODE_SLOT_ON_TRIAL:
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
    const node_slot_opener opener = {&own, wanted->cache, open_slot, close_slot};
    node_slot_verdict verdicts[NODE_SLOTS];
    esp_err_t error;
    unsigned i, newest;
    int used;
    ruv_partitions_find(&opened->partitions);
    used = opened->slot = node_slots_choose(&opened->partitions.flash, &opener, verdicts);
    for (i = 0; i < NODE_SLOTS; i++) {
        log_verdict(i, verdicts + i);
    }
    if (used >= 0) {
        opened->verdict = verdicts[used];
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

static esp_err_t log_rejection(aether_status status, const aether_detail *detail) {
    if (status != AETHER_OK) {
        ESP_LOGE(TAG, "blob: %s: %s: expected %s, found %" PRIu64, aether_status_text(status),
                 detail->field != NULL ? detail->field : "blob", detail->expected != NULL ? detail->expected : "another",
                 detail->found);
    }
    return ruv_error(status);
}

esp_err_t ruv_open_blob(const uint8_t *weights, size_t weights_len, const node_wanted *wanted, ruv_opened *opened) {
    aether_detail detail = {0};
    const aether_status status = open_here(weights, weights_len, wanted, opened, &detail);
    if (status != AETHER_OK) {
        drop(opened);
    }
    opened->slot = -1;
    return log_rejection(status, &detail);
}

esp_err_t ruv_blob_memory(const uint8_t *weights, size_t weights_len, const node_wanted *wanted, size_t *bytes) {
    aether_detail detail = {0};
    aether_rvne_header header;
    aether_status status = node_classifier_size(weights, weights_len, wanted, bytes, &detail);
    if (status == AETHER_OK) {
        status = aether_rvne_parse(weights, weights_len, &header, &detail);
    }
    if (status == AETHER_OK) {
        *bytes += node_queue_size(header.input_dim);
    }
    return log_rejection(status, &detail);
}

bool ruv_check_again(const ruv_opened *opened) {
    const node_slot_header *header = &opened->verdict.header;
    return node_classifier_check(opened->classifier, header->check_frames, header->check_seed) == opened->verdict.got;
}

void ruv_close(ruv_opened *opened) {
    drop(opened);
    ruv_partitions_release(&opened->partitions);
}
