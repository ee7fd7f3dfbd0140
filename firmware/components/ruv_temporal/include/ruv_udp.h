/* Sends datagrams to one address. No call waits: a datagram that cannot be sent at once is lost. */
#ifndef RUV_UDP_H
#define RUV_UDP_H

#include <stddef.h>
#include <stdint.h>

#include "esp_err.h"
#include "lwip/sockets.h"

typedef struct ruv_udp {
    int socket; /* -1: closed, or no address is configured */
    struct sockaddr_in to;
} ruv_udp;

/* Opens a socket, and starts lwIP if necessary; the network may come up later. host: IPv4 address in digits; "" or NULL: send nothing.
   ESP_ERR_INVALID_ARG: not an address. ESP_FAIL: no socket. */
esp_err_t ruv_udp_open(ruv_udp *udp, const char *host, uint16_t port);

/* 1: sent, 0: lost, or no address is configured. */
int ruv_udp_send(const ruv_udp *udp, const void *bytes, size_t count);

void ruv_udp_close(ruv_udp *udp);

#endif
