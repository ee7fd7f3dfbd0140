/* Little-endian integers at any address. */
#ifndef NODE_BYTES_H
#define NODE_BYTES_H

#include <stdint.h>

static inline uint16_t node_get_u16(const unsigned char *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t node_get_u32(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t node_get_u64(const unsigned char *p) {
    return node_get_u32(p) | (uint64_t)node_get_u32(p + 4) << 32;
}

static inline void node_put_u16(unsigned char *p, uint32_t value) {
    p[0] = (unsigned char)(value & 0xFFu);
    p[1] = (unsigned char)(value >> 8 & 0xFFu);
}

static inline void node_put_u32(unsigned char *p, uint32_t value) {
    node_put_u16(p, value & 0xFFFFu);
    node_put_u16(p + 2, value >> 16);
}

static inline void node_put_u64(unsigned char *p, uint64_t value) {
    node_put_u32(p, (uint32_t)(value & 0xFFFFFFFFu));
    node_put_u32(p + 4, (uint32_t)(value >> 32));
}

#endif
