/* A new blob over whatever channel the firmware has: the bytes of a packed image (`aether device pack --out`), in order, in pieces of any
   size. They go to the slot that the task does not use; the task tries the new blob when it is started the next time, and keeps the old one
   when the new one does not pass. Whatever interrupts this costs the update only. Who may send an update is the firmware's to decide:
   nothing here proves where the bytes come from. One update at a time, by one task, which may be another than
   the one that starts and stops the temporal task: a start waits while sectors are erased, and the other way round. */
#ifndef TEMPORAL_UPDATE_H
#define TEMPORAL_UPDATE_H

#include <stddef.h>

#include "esp_err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Begins anew; touches nothing yet. ESP_ERR_NOT_FOUND: there is no slot to write to. */
esp_err_t temporal_update_begin(void);

/* The next bytes. The codes of temporal_task_start for an image that cannot be: nothing has then been erased.
   ESP_ERR_INVALID_STATE: no update was begun, or bytes beyond what was announced. ESP_FAIL: flash failed. The first fault ends it. */
esp_err_t temporal_update_write(const void *bytes, size_t count);

/* Ends it. ESP_OK: the next start of the task tries it. ESP_ERR_INVALID_CRC: what stands in flash is not what was announced.
   ESP_ERR_INVALID_STATE: it was not whole. The codes above. */
esp_err_t temporal_update_finish(void);

#ifdef __cplusplus
}
#endif
#endif
