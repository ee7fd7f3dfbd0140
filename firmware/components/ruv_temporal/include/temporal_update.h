/* Updates the blob over any channel of the firmware: the bytes of a packed image (`aether device pack --out`), in order, in pieces of any
   size. They are written to the slot that the task does not use. The next start of the task tries the new blob, and reverts to the old one
   if it does not pass. An interrupted update leaves the old blob in use. The firmware must authenticate the sender: nothing here verifies
   where the bytes come from. One update at a time, by one task, which need not be the one that starts and stops the temporal task: a
   start waits while sectors are erased, and vice versa. */
#ifndef TEMPORAL_UPDATE_H
#define TEMPORAL_UPDATE_H

#include <stddef.h>

#include "esp_err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Begins an update, and abandons one in progress. Does not touch flash. ESP_ERR_NOT_FOUND: there is no slot to write to.
   ESP_ERR_INVALID_STATE: the model in use is on trial, and the other slot holds the one to revert to; wait, or stop the task. */
esp_err_t temporal_update_begin(void);

/* Writes the next bytes. Returns the codes of temporal_task_start for an invalid image; nothing has then been erased.
   ESP_ERR_INVALID_STATE: no update was begun, or more bytes than announced. ESP_FAIL: flash failed. The first fault ends the update. */
esp_err_t temporal_update_write(const void *bytes, size_t count);

/* Completes the update. ESP_OK: the slot is pending, and the next start of the task tries it. ESP_ERR_INVALID_CRC: flash does not hold the
   announced blob. ESP_ERR_INVALID_STATE: the image was incomplete. Also returns the codes above. */
esp_err_t temporal_update_finish(void);

#ifdef __cplusplus
}
#endif
#endif
