/* The payload of a saved cache, shared by cache and stream state (docs/spec/state.md). */
#ifndef AETHER_CACHE_PAYLOAD_H
#define AETHER_CACHE_PAYLOAD_H

#include "aether/cache.h"

/* A saved length of this or more is damage: no stream lives that long, and one that starts below cannot reach 2^63, so that
   arithmetic on positions never wraps. */
#define AETHER_LENGTH_MAX ((uint64_t)1 << 62)

/* Writes zeros to the rows of a pyramid's payload that no later query sees and no later run is made of. */
void aether_cache_clear_dead_rows(const aether_cache *cache, unsigned char *payload);

size_t aether_cache_payload_bytes(const aether_cache *cache);
void aether_cache_payload_save(const aether_cache *cache, unsigned char *payload);

/* 1 when every number in a payload for this cache is finite. Any alignment. */
int aether_cache_payload_sound(const aether_cache *cache, const unsigned char *payload);

/* 1 when all binary32 numbers in these bytes are finite. Any alignment. */
int aether_payload_finite(const unsigned char *p, size_t bytes);

void aether_cache_payload_load(aether_cache *cache, const unsigned char *payload, uint64_t length);

#endif
