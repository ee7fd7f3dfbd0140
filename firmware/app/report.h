/* Lines for machines: `aether KIND key=value ... *CRC`, the CRC-32 over everything before " *". */
#ifndef AETHER_APP_REPORT_H
#define AETHER_APP_REPORT_H

#include <stddef.h>
#include <stdint.h>

void report_begin(const char *kind);
void report_text(const char *key, const char *value); /* a space becomes _ */
void report_number(const char *key, size_t value);
void report_bits(const char *key, uint32_t value); /* eight hexadecimal digits */
void report_end(void);

#endif
