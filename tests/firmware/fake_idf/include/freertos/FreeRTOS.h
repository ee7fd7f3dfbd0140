#ifndef FAKE_FREERTOS_H
#define FAKE_FREERTOS_H
#include "../types.h"
#include "../prototypes.h"
#endif
