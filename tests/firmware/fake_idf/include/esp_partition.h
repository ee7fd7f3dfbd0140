#ifndef FAKE_ESP_PARTITION_H
#define FAKE_ESP_PARTITION_H
#include "types.h"
#include "prototypes.h"
#endif
