/* docs/spec/state.md: a cache's memory from `sums` on, with the block sums of the committed tokens there whichever place they have,
   and dead rows as zeros. What stands before belongs to a token that is not committed. */
#include "bits.h"
#include "cache_layout.h"
#include "pyramid.h"

#include "aether/crc32.h"

#define MAGIC 0x564B4541u
#define VERSION 1u
#define HEADER 72u
#define FLAG_BINARY16 1u
#define FLAG_RING 2u
#define FLAG_LOG_STRIDE 4u
#define FLAG_LANDMARKS 8u
#define FLAG_PYRAMID 16u

size_t aether_cache_payload_bytes(const aether_cache *cache) {
    const aether_cache_layout at = cache->at;
    return at.total - at.sums;
}

void aether_cache_payload_save(const aether_cache *cache, unsigned char *payload) {
    const aether_cache_layout at = cache->at;
    const uint64_t size = cache->head.config.block_size;
    const size_t element = aether_element(cache->dtype);
    const size_t row = (size_t)(cache->length % at.n_rows) * at.row * element;
    size_t g;
    memcpy(payload, cache->memory + at.sums, at.total - at.sums);
    if (aether_is_pyramid(&cache->head.config)) {
        aether_cache_clear_dead_rows(cache, payload);
        return;
    }
    memcpy(payload, aether_block_sums(cache, 0), 2 * at.row * sizeof(float));
    memset(payload + (at.rows_k - at.sums) + row, 0, at.row * element);
    memset(payload + (at.rows_v - at.sums) + row, 0, at.row * element);
    for (g = cache->n_globals; g > 0 && cache->head.config.globals[g - 1] >= cache->length; g--) {
        memset(payload + (at.globals_k - at.sums) + (g - 1) * at.row * element, 0, at.row * element);
        memset(payload + (at.globals_v - at.sums) + (g - 1) * at.row * element, 0, at.row * element);
    }
    if (at.n_blocks > 0 && cache->length % size == size - 1) {
        const size_t block = (size_t)(cache->length / size % at.n_blocks) * at.row * sizeof(float);
        memset(payload + (at.mean_k - at.sums) + block, 0, at.row * sizeof(float));
        memset(payload + (at.mean_v - at.sums) + block, 0, at.row * sizeof(float));
    }
}

int aether_payload_finite(const unsigned char *p, size_t bytes) {
    for (; bytes >= 4; p += 4, bytes -= 4) {
        if ((aether_get_u32(p) & 0x7F800000u) == 0x7F800000u) {
            return 0;
        }
    }
    return 1;
}

static int finite16(const unsigned char *p, size_t bytes) {
    for (; bytes >= 2; p += 2, bytes -= 2) {
        if ((aether_get_u16(p) & 0x7C00u) == 0x7C00u) {
            return 0;
        }
    }
    return 1;
}

int aether_cache_payload_sound(const aether_cache *cache, const unsigned char *payload) {
    const aether_cache_layout at = cache->at;
    const size_t singles = at.rows_k - at.sums, rows = at.total - at.rows_k; /* sums and means; rows of the cache's type */
    if (cache->dtype == AETHER_BINARY32) {
        return aether_payload_finite(payload, singles + rows);
    }
    return aether_payload_finite(payload, singles) && finite16(payload + singles, rows);
}

void aether_cache_payload_load(aether_cache *cache, const unsigned char *payload, uint64_t length) {
    const aether_cache_layout at = cache->at;
    memset(cache->memory, 0, at.sums);
    memcpy(cache->memory + at.sums, payload, at.total - at.sums);
    cache->length = length;
    if (aether_is_pyramid(&cache->head.config)) {
        return;
    }
    memcpy(aether_block_sums(cache, 0), payload, 2 * at.row * sizeof(float));
}

size_t aether_cache_saved_size(const aether_cache *cache) {
    return HEADER + 4 * cache->n_globals + aether_cache_payload_bytes(cache) + 4;
}

aether_status aether_cache_save(const aether_cache *cache, void *bytes, size_t size) {
    const aether_config *config;
    unsigned char *p = bytes;
    size_t payload, total, g;
    if (cache == NULL || bytes == NULL) {
        return AETHER_E_ARGUMENT;
    }
    config = &cache->head.config;
    payload = aether_cache_payload_bytes(cache);
    total = aether_cache_saved_size(cache);
    if (size < total) {
        return AETHER_E_MEMORY;
    }
    aether_put_u32(p, MAGIC);
    aether_put_u16(p + 4, VERSION);
    aether_put_u16(p + 6, (uint16_t)((cache->dtype != AETHER_BINARY32 ? FLAG_BINARY16 : 0u) |
                                     (cache->policy == AETHER_ON_FULL_RING ? FLAG_RING : 0u) |
                                     (config->use_log_stride ? FLAG_LOG_STRIDE : 0u) |
                                     (config->use_landmarks ? FLAG_LANDMARKS : 0u) |
                                     (config->pattern == AETHER_PYRAMID ? FLAG_PYRAMID : 0u)));
    aether_put_u32(p + 8, config->q_heads);
    aether_put_u32(p + 12, config->kv_heads);
    aether_put_u32(p + 16, config->head_dim);
    aether_put_u32(p + 20, (uint32_t)cache->n_globals);
    aether_put_u64(p + 24, config->window);
    aether_put_u64(p + 32, config->block_size);
    aether_put_u64(p + 40, cache->history);
    aether_put_u64(p + 48, cache->capacity);
    aether_put_u64(p + 56, cache->length);
    aether_put_u64(p + 64, payload);
    for (g = 0; g < cache->n_globals; g++) {
        aether_put_u32(p + HEADER + 4 * g, config->globals[g]);
    }
    aether_cache_payload_save(cache, p + HEADER + 4 * cache->n_globals);
    aether_put_u32(p + total - 4, aether_crc32(0, p, total - 4));
    return AETHER_OK;
}

static aether_status damaged(aether_detail *detail, const char *field, const char *expected, uint64_t found,
                             size_t offset) {
    return aether_fail(detail, AETHER_E_STATE, field, expected, found, offset);
}

/* Payload of a cache as a saved state describes it; UINT64_MAX when there can be no such cache. */
static uint64_t payload_of(const aether_saved *saved) {
    aether_config config = saved->config;
    aether_cache_layout at;
    aether_head head;
    config.n_globals = 0; /* their order is checked apart */
    if (aether_head_init(&head, &config, NULL, NULL) != AETHER_OK) {
        return UINT64_MAX;
    }
    if (config.pattern == AETHER_PYRAMID && saved->config.n_globals != 0) {
        return UINT64_MAX;
    }
    head.config.n_globals = saved->config.n_globals;
    head = aether_head_within(&head, saved->capacity);
    return aether_cache_lay_out(&head, saved->dtype, &at) == AETHER_OK ? at.total - at.sums : UINT64_MAX;
}

aether_status aether_cache_peek(const void *bytes, size_t size, aether_saved *saved, aether_detail *detail) {
    const unsigned char *p = bytes;
    aether_saved own;
    uint64_t payload;
    uint32_t flags;
    size_t g;
    if (bytes == NULL || saved == NULL) {
        return aether_fail(detail, AETHER_E_ARGUMENT, bytes == NULL ? "bytes" : "saved", "not NULL", 0, SIZE_MAX);
    }
    if (size < HEADER + 4) {
        return damaged(detail, "length", "at least 76 bytes", size, SIZE_MAX);
    }
    if (aether_get_u32(p) != MAGIC) {
        return damaged(detail, "magic", "0x564B4541", aether_get_u32(p), 0);
    }
    if (aether_get_u16(p + 4) != VERSION) {
        return damaged(detail, "version", "1", aether_get_u16(p + 4), 4);
    }
    own.config.n_globals = aether_get_u32(p + 20);
    payload = aether_get_u64(p + 64);
    if (own.config.n_globals > (size - HEADER - 4) / 4 || payload != size - HEADER - 4 - 4 * own.config.n_globals) {
        return damaged(detail, "payload_len", "what is left between global tokens and CRC", payload, 64);
    }
    if (aether_get_u32(p + size - 4) != aether_crc32(0, p, size - 4)) {
        return damaged(detail, "crc32", "the CRC of the bytes before", aether_get_u32(p + size - 4), size - 4);
    }
    flags = aether_get_u16(p + 6);
    if (flags > 31u) {
        return damaged(detail, "flags", "bits 0 to 4 only", flags, 6);
    }
    own.dtype = (flags & FLAG_BINARY16) != 0 ? AETHER_BINARY16 : AETHER_BINARY32;
    own.policy = (flags & FLAG_RING) != 0 ? AETHER_ON_FULL_RING : AETHER_ON_FULL_ERROR;
    own.config.backend = AETHER_SPARSE;
    own.config.pattern = (flags & FLAG_PYRAMID) != 0 ? AETHER_PYRAMID : AETHER_REFERENCE;
    own.config.causal = 1;
    own.config.use_log_stride = (flags & FLAG_LOG_STRIDE) != 0;
    own.config.use_landmarks = (flags & FLAG_LANDMARKS) != 0;
    own.config.q_heads = aether_get_u32(p + 8);
    own.config.kv_heads = aether_get_u32(p + 12);
    own.config.head_dim = aether_get_u32(p + 16);
    own.config.window = aether_get_u64(p + 24);
    own.config.block_size = aether_get_u64(p + 32);
    own.config.history = aether_get_u64(p + 40);
    own.config.globals = NULL;
    own.capacity = aether_get_u64(p + 48);
    own.length = aether_get_u64(p + 56);
    own.globals_offset = HEADER;
    if (own.capacity == 0) {
        return damaged(detail, "capacity", "at least 1", 0, 48);
    }
    if (own.length >= AETHER_LENGTH_MAX || (own.policy == AETHER_ON_FULL_ERROR && own.length > own.capacity)) {
        return damaged(detail, "length", "less than 2^62, and at most the capacity without a ring", own.length, 56);
    }
    if (payload != payload_of(&own)) {
        return damaged(detail, "payload_len", "the bytes of a cache of this shape", payload, 64);
    }
    for (g = 1; g < own.config.n_globals; g++) {
        if (aether_get_u32(p + HEADER + 4 * (g - 1)) >= aether_get_u32(p + HEADER + 4 * g)) {
            return damaged(detail, "globals", "strictly ascending tokens", aether_get_u32(p + HEADER + 4 * g),
                           HEADER + 4 * g);
        }
    }
    *saved = own;
    return AETHER_OK;
}

aether_status aether_cache_load(aether_cache *cache, const void *bytes, size_t size, aether_detail *detail) {
    const unsigned char *p = bytes;
    const aether_config *config;
    aether_saved saved;
    aether_status status;
    size_t g, begin;
    if (cache == NULL) {
        return aether_fail(detail, AETHER_E_ARGUMENT, "cache", "not NULL", 0, SIZE_MAX);
    }
    status = aether_cache_peek(bytes, size, &saved, detail);
    if (status != AETHER_OK) {
        return status;
    }
    config = &cache->head.config;
    if (saved.config.pattern != config->pattern || saved.config.q_heads != config->q_heads || saved.config.kv_heads != config->kv_heads ||
        saved.config.head_dim != config->head_dim || saved.config.window != config->window ||
        saved.config.block_size != config->block_size || saved.config.history != cache->history ||
        saved.config.use_log_stride != config->use_log_stride || saved.config.use_landmarks != config->use_landmarks ||
        saved.config.n_globals != cache->n_globals || saved.capacity != cache->capacity ||
        saved.dtype != cache->dtype || saved.policy != cache->policy) {
        return aether_fail(detail, AETHER_E_CACHE_MISMATCH, "saved state", "that of a cache like this one", 0, SIZE_MAX);
    }
    for (g = 0; g < cache->n_globals; g++) {
        if (aether_get_u32(p + saved.globals_offset + 4 * g) != config->globals[g]) {
            return aether_fail(detail, AETHER_E_CACHE_MISMATCH, "globals", "those of this cache",
                               aether_get_u32(p + saved.globals_offset + 4 * g), saved.globals_offset + 4 * g);
        }
    }
    begin = saved.globals_offset + 4 * cache->n_globals;
    if (size - 4 - begin != aether_cache_payload_bytes(cache)) {
        return damaged(detail, "payload_len", "the bytes of a cache of this shape", size - 4 - begin, 64);
    }
    if (!aether_cache_payload_sound(cache, p + begin)) {
        return damaged(detail, "payload", "finite numbers", 0, begin);
    }
    aether_cache_payload_load(cache, p + begin, saved.length);
    return AETHER_OK;
}
