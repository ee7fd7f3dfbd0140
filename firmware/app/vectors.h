/* All golden files, one after another, in read-only memory; each says its own length (third word). */
#ifndef AETHER_APP_VECTORS_H
#define AETHER_APP_VECTORS_H

#include <stdint.h>

extern const uint32_t aether_vectors[];
extern const uint32_t aether_vectors_end[];

#endif
