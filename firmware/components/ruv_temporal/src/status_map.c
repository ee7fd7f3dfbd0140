#include "context.h"

esp_err_t ruv_error(aether_status status) {
    switch (status) {
    case AETHER_OK:
        return ESP_OK;
    case AETHER_E_ARGUMENT:
    case AETHER_E_CONFIG:
    case AETHER_E_NOT_FINITE:
    case AETHER_E_OVERFLOW:
    case AETHER_E_NO_STREAMING:
    case AETHER_E_ALIGNMENT:
    case AETHER_E_BLOB_MAGIC:
        return ESP_ERR_INVALID_ARG;
    case AETHER_E_SHAPE:
    case AETHER_E_BLOB_SHORT:
    case AETHER_E_BLOB_LENGTH:
    case AETHER_E_BLOB_HEADER: /* dimensions out of range, or sections and weights that do not fit them */
        return ESP_ERR_INVALID_SIZE;
    case AETHER_E_TOO_LARGE:
    case AETHER_E_MEMORY:
        return ESP_ERR_NO_MEM;
    case AETHER_E_BLOB_CRC:
        return ESP_ERR_INVALID_CRC;
    case AETHER_E_BLOB_VERSION:
    case AETHER_E_BLOB_FLAGS: /* written by something newer */
        return ESP_ERR_INVALID_VERSION;
    case AETHER_E_CACHE_FULL:
    case AETHER_E_CACHE_MISMATCH:
    case AETHER_E_STATE:
    case AETHER_E_KERNELS:
    case AETHER_E_GOLDEN:
    case AETHER_STATUS_COUNT:
        break;
    }
    return ESP_ERR_INVALID_STATE;
}
