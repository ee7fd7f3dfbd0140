/* Sends raw CSI frames (magic 0xC5110001) over UDP, to record training data. A separate task sends, so that the Wi-Fi driver's task
   never waits. */
#ifndef AETHER_RAW_SENDER_H
#define AETHER_RAW_SENDER_H

#include "csi_source.h"

/* host, port: as in ruv_udp.h; without a host, logs a warning and sends nothing. ESP_ERR_NO_MEM, and the codes of ruv_udp_open. */
esp_err_t raw_sender_start(const char *host, uint16_t port, uint8_t node_id);

/* Offers a frame. Frames beyond CONFIG_AETHER_RAW_HZ per second are skipped; with receipts none is. When the queue is full, the frame is lost,
   which shows as a gap in the sequence. Returns the number of the frame, or of the next one where it is skipped. */
uint32_t raw_sender_offer(const csi_frame_t *frame);

#endif
