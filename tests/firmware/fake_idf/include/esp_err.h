#ifndef FAKE_ESP_ERR_H
#define FAKE_ESP_ERR_H
#include "types.h"
#include "prototypes.h"
#endif
