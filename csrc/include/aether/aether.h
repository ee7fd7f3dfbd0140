/* Everything. */
#ifndef AETHER_H
#define AETHER_H

#include "crc32.h"
#include "csi.h"
#include "pool.h"
#include "resample.h"

#define AETHER_VERSION "0.1.0"

#endif
