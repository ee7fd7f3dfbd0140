/* Declares the prototypes of the test doubles after the real ones; the compiler reports any difference. */
#include "esp_err.h"
#include "esp_heap_caps.h"
#include "esp_netif.h"
#include "esp_partition.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "prototypes.h"
#define SAME(name, value) _Static_assert((name) == (value), #name)
SAME(ESP_OK, 0); SAME(ESP_FAIL, -1); SAME(ESP_ERR_NO_MEM, 0x101); SAME(ESP_ERR_INVALID_ARG, 0x102);
SAME(ESP_ERR_INVALID_STATE, 0x103); SAME(ESP_ERR_INVALID_SIZE, 0x104); SAME(ESP_ERR_NOT_FOUND, 0x105);
SAME(ESP_ERR_NOT_SUPPORTED, 0x106); SAME(ESP_ERR_INVALID_CRC, 0x109); SAME(ESP_ERR_INVALID_VERSION, 0x10A);
SAME(MALLOC_CAP_8BIT, 1 << 2); SAME(eSuspended, 3); SAME(eIncrement, 2); SAME(pdPASS, 1); SAME(pdTRUE, 1);
SAME(ESP_PARTITION_TYPE_DATA, 1); SAME(ESP_PARTITION_SUBTYPE_ANY, 0xff); SAME(ESP_PARTITION_MMAP_DATA, 0);
SAME(INCLUDE_vTaskSuspend, 1); SAME(INCLUDE_eTaskGetState, 1); SAME(INCLUDE_uxTaskGetStackHighWaterMark, 1);
SAME(sizeof(StackType_t), 1); /* so that stack depths and marks are bytes */
