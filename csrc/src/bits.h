/* Bits of a binary32 value, unaligned little-endian fields, powers of two. */
#ifndef AETHER_BITS_H
#define AETHER_BITS_H

#include "contract.h"

#include <stddef.h>
#include <stdint.h>

/* All that is asked of the surroundings: compilers call these by themselves too. */
#if !defined(__STDC_HOSTED__) || __STDC_HOSTED__
#include <string.h>
#else
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
#endif

/* C leaves >> of a negative number to the compiler. One that does not round down does not compile this. */
typedef char aether_shift_rounds_down[(-1 >> 1) == -1 && ((int64_t)-1 >> 1) == -1 ? 1 : -1];

/* A union, because without a C library's promises a compiler calls memcpy for four bytes. */
typedef union aether_word {
    float value;
    uint32_t bits;
} aether_word;

static inline uint32_t aether_bits(float x) {
    aether_word word;
    word.value = x;
    return word.bits;
}

static inline float aether_from_bits(uint32_t bits) {
    aether_word word;
    word.bits = bits;
    return word.value;
}

static inline uint16_t aether_get_u16(const unsigned char *p) {
    return (uint16_t)(p[0] | (uint16_t)(p[1] << 8));
}

static inline uint32_t aether_get_u32(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t aether_get_u64(const unsigned char *p) {
    return (uint64_t)aether_get_u32(p) | (uint64_t)aether_get_u32(p + 4) << 32;
}

static inline void aether_put_u16(unsigned char *p, uint16_t v) {
    p[0] = (unsigned char)(v & 0xFFu);
    p[1] = (unsigned char)(v >> 8);
}

static inline void aether_put_u32(unsigned char *p, uint32_t v) {
    aether_put_u16(p, (uint16_t)(v & 0xFFFFu));
    aether_put_u16(p + 2, (uint16_t)(v >> 16));
}

static inline void aether_put_u64(unsigned char *p, uint64_t v) {
    aether_put_u32(p, (uint32_t)(v & 0xFFFFFFFFu));
    aether_put_u32(p + 4, (uint32_t)(v >> 32));
}

/* Largest power of two not above v; 0 for 0. */
static inline uint64_t aether_power_below(uint64_t v) {
    uint64_t power = 1;
    uint32_t low = 1, left = (uint32_t)v;
    if (v == 0) {
        return 0;
    }
    if (v > UINT32_MAX) {
        while (power <= v / 2) {
            power *= 2;
        }
        return power;
    }
    while ((left >>= 1) != 0) { /* nearly always, and 32-bit processors take long over more */
        low <<= 1;
    }
    return low;
}

#endif
