/* The payload of a saved cache, shared by cache and stream state (docs/spec/state.md). */
#ifndef AETHER_CACHE_PAYLOAD_H
#define AETHER_CACHE_PAYLOAD_H

#include "aether/cache.h"

/* Tokens of a cache, and frames of a stream, are fewer than this: the next one is AETHER_E_CACHE_FULL, and a saved length of this or
   more is damage. Arithmetic on positions never wraps. */
#define AETHER_LENGTH_MAX ((uint64_t)1 << 62)

/* 1 when so many more tokens are too many for the counter. */
static inline int aether_counter_ends(const aether_cache *cache, uint64_t tokens) {
    return tokens > AETHER_LENGTH_MAX - 1 - cache->length;
}

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
