#ifndef FAKE_ESP_TIMER_H
#define FAKE_ESP_TIMER_H
#include "types.h"
#include "prototypes.h"
#endif
