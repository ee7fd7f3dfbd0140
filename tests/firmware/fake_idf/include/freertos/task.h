#ifndef FAKE_TASK_H
#define FAKE_TASK_H
#include "../types.h"
#include "../prototypes.h"
#endif
