/* Datagrams to one place. Nothing waits: a datagram that cannot go now is lost, as datagrams are. */
#ifndef RUV_UDP_H
#define RUV_UDP_H

#include <stddef.h>
#include <stdint.h>

#include "esp_err.h"
#include "lwip/sockets.h"

typedef struct ruv_udp {
    int socket; /* -1: closed, or there is nowhere to send to */
    struct sockaddr_in to;
} ruv_udp;

/* Starts lwIP when nobody has; there need be no network yet. host: IPv4 address in digits; "" or NULL: nowhere.
   ESP_ERR_INVALID_ARG: no address. ESP_FAIL: no socket. */
esp_err_t ruv_udp_open(ruv_udp *udp, const char *host, uint16_t port);

/* 1: on its way, 0: lost, or nowhere to go. */
int ruv_udp_send(const ruv_udp *udp, const void *bytes, size_t count);

void ruv_udp_close(ruv_udp *udp);

#endif
