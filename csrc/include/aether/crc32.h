/* CRC-32/ISO-HDLC (IEEE 802.3): "123456789" gives 0xCBF43926. */
#ifndef AETHER_CRC32_H
#define AETHER_CRC32_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CRC of `bytes` bytes; to continue over several pieces pass the previous result as `crc`, 0 at the start. Any alignment. */
uint32_t aether_crc32(uint32_t crc, const void *data, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
