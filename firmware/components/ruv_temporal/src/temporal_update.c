#include "temporal_update.h"

#include "esp_log.h"
#include "opening.h"
#include "slot_image.h"

static const char TAG[] = "temporal_update";

static ruv_partitions partitions;
static node_slot_image image;
static bool open;

static esp_err_t log_fault(node_slot_fault fault) {
    if (fault != NODE_SLOT_OK) {
        ESP_LOGE(TAG, "%s", node_slot_text(fault));
        open = false;
    }
    return ruv_fault_error(fault, AETHER_OK);
}

esp_err_t temporal_update_begin(void) {
    node_slot_fault fault;
    unsigned slot;
    int in_use;
    ruv_slots_take();
    in_use = ruv_slot_in_use();
    ruv_partitions_find(&partitions);
    node_slot_image_begin(&image, &partitions.flash, in_use);
    open = true;
    fault = node_slot_target(&partitions.flash, in_use, &slot);
    ruv_slots_give();
    return log_fault(fault);
}

esp_err_t temporal_update_write(const void *bytes, size_t count) {
    if (!open) {
        return ESP_ERR_INVALID_STATE;
    }
    if (bytes == NULL && count > 0) {
        return ESP_ERR_INVALID_ARG;
    }
    if (image.at < NODE_SLOT_HEADER_BYTES) { /* the target is not chosen yet: meanwhile the task may have started */
        node_slot_fault fault;
        ruv_slots_take();
        image.in_use = ruv_slot_in_use();
        fault = node_slot_image_write(&image, bytes, count);
        ruv_slots_give();
        return log_fault(fault);
    }
    return log_fault(node_slot_image_write(&image, bytes, count));
}

esp_err_t temporal_update_finish(void) {
    esp_err_t error;
    if (!open) {
        return ESP_ERR_INVALID_STATE;
    }
    error = log_fault(node_slot_image_finish(&image));
    if (error == ESP_OK) {
        ESP_LOGI(TAG, "slot aether_%c is pending: the next start tries it", image.update.slot == 0 ? 'a' : 'b');
    }
    open = false;
    return error;
}
