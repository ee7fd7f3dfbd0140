#ifndef FAKE_ESP_NETIF_H
#define FAKE_ESP_NETIF_H
#include "types.h"
#include "prototypes.h"
#endif
