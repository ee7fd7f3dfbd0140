#ifndef FAKE_ESP_HEAP_CAPS_H
#define FAKE_ESP_HEAP_CAPS_H
#include "types.h"
#include "prototypes.h"
#endif
