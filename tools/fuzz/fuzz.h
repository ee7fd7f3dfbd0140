/* What the fuzz targets share. A target aborts on a broken promise; sanitizers see the rest. */
#ifndef AETHER_FUZZ_H
#define AETHER_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aether/aether.h"

#define FUZZ_MEMORY_LIMIT ((size_t)8 << 20) /* larger requests are legal, and not the subject */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

#define FUZZ_CHECK(condition)                                                       \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

/* Memory of exactly this many bytes, so that one byte more is seen. */
static inline void *fuzz_exact(size_t bytes) {
    void *memory = malloc(bytes != 0 ? bytes : 1);
    FUZZ_CHECK(memory != NULL);
    return memory;
}

static inline void *fuzz_copy(const void *data, size_t bytes) {
    void *memory = fuzz_exact(bytes);
    if (bytes != 0) {
        memcpy(memory, data, bytes);
    }
    return memory;
}

static inline uint16_t fuzz_u16(const uint8_t *p) {
    return (uint16_t)(p[0] | (uint16_t)(p[1] << 8));
}

static inline uint32_t fuzz_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void fuzz_put(uint8_t *p, uint32_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        p[i] = (uint8_t)(value >> (8 * i));
    }
}

/* Makes the last four bytes the CRC of all before. */
static inline void fuzz_seal(uint8_t *data, size_t size) {
    if (size >= 4) {
        fuzz_put(data + size - 4, aether_crc32(0, data, size - 4), 4);
    }
}

static inline uint32_t fuzz_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Values between -1 and 1, times a power of two that changes now and then: small, ordinary and large ones meet. */
static inline void fuzz_values(float *x, size_t n, uint32_t *state, int wild) {
    static const float SCALES[4] = {1.0f, 0x1p-70f, 0x1p40f, 0x1p-140f};
    for (size_t i = 0; i < n; i++) {
        const float unit = (float)((int32_t)(fuzz_random(state) & 0xFFFFu) - 0x8000) / 32768.0f;
        x[i] = unit * SCALES[wild ? fuzz_random(state) & 3u : 0];
    }
}

/* A status inside the list, with a text; on failure of a function with detail, a field and what was expected. */
static inline void fuzz_named(aether_status status, const aether_detail *detail) {
    FUZZ_CHECK((unsigned)status < AETHER_STATUS_COUNT);
    if (status != AETHER_OK) {
        FUZZ_CHECK(detail->field != NULL && detail->expected != NULL);
    }
}

#endif
