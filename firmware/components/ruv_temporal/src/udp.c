#include "ruv_udp.h"

#include <string.h>

#include "esp_netif.h"

esp_err_t ruv_udp_open(ruv_udp *udp, const char *host, uint16_t port) {
    memset(udp, 0, sizeof *udp);
    udp->socket = -1;
    if (host == NULL || host[0] == 0) {
        return ESP_OK;
    }
    udp->to.sin_family = AF_INET;
    udp->to.sin_port = htons(port);
    if (port == 0 || inet_pton(AF_INET, host, &udp->to.sin_addr) != 1) {
        return ESP_ERR_INVALID_ARG;
    }
    if (esp_netif_init() != ESP_OK) { /* required before the first socket; repeated calls do nothing */
        return ESP_FAIL;
    }
    udp->socket = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
    if (udp->socket < 0) {
        udp->socket = -1;
        return ESP_FAIL;
    }
    if (udp->to.sin_addr.s_addr == htonl(INADDR_BROADCAST)) {
        const int yes = 1;
        (void)setsockopt(udp->socket, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes);
    }
    return ESP_OK;
}

int ruv_udp_send(const ruv_udp *udp, const void *bytes, size_t count) {
    return udp->socket >= 0 && sendto(udp->socket, bytes, count, MSG_DONTWAIT, (const struct sockaddr *)&udp->to,
                                      sizeof udp->to) == (ssize_t)count;
}

void ruv_udp_close(ruv_udp *udp) {
    if (udp->socket >= 0) {
        (void)close(udp->socket);
        udp->socket = -1;
    }
}
