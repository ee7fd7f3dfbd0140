#include "aether/crc32.h"

#include "bits.h"

/* A chip has one kilobyte for this, a host eight. */
#ifdef AETHER_PORTABLE_ONLY
#define AETHER_CRC_ROWS 1
#else
#define AETHER_CRC_ROWS 8
#endif

#include "crc32_tables.h"

uint32_t aether_crc32(uint32_t crc, const void *data, size_t bytes) {
    const unsigned char *p = data;
    crc = ~crc;
#if AETHER_CRC_ROWS == 8
    for (; bytes >= 8; p += 8, bytes -= 8) {
        const uint32_t low = aether_get_u32(p) ^ crc;
        const uint32_t high = aether_get_u32(p + 4);
        crc = TABLES[7][low & 0xFFu] ^ TABLES[6][(low >> 8) & 0xFFu] ^ TABLES[5][(low >> 16) & 0xFFu] ^
              TABLES[4][low >> 24] ^ TABLES[3][high & 0xFFu] ^ TABLES[2][(high >> 8) & 0xFFu] ^
              TABLES[1][(high >> 16) & 0xFFu] ^ TABLES[0][high >> 24];
    }
#endif
    for (; bytes > 0; p++, bytes--) {
        crc = (crc >> 8) ^ TABLES[0][(crc ^ *p) & 0xFFu];
    }
    return ~crc;
}
