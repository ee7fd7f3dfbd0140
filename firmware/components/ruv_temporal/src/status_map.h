/* Converts a status of the core to a code of esp_err.h. */
#ifndef RUV_STATUS_MAP_H
#define RUV_STATUS_MAP_H

#include "aether/status.h"
#include "esp_err.h"

esp_err_t ruv_error(aether_status status);

#endif
