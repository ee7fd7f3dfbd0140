/* Lines for machines: `aether KIND key=value ... *CRC`, the CRC-32 over everything before " *". */
#ifndef AETHER_APP_REPORT_H
#define AETHER_APP_REPORT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define REPORT_LINE 256u /* bytes; a longer line loses its end, and with it the CRC: the reader rejects it */

/* Where lines go, and the one that is being made. The memory is the caller's; set write and user, the rest to 0. */
typedef struct report {
    void (*write)(void *user, const char *text, size_t bytes); /* one whole line, newline included; takes all of it */
    void *user;
    size_t lines;  /* written so far */
    size_t length; /* of the line */
    char text[REPORT_LINE];
} report;

void report_begin(report *out, const char *kind);
void report_text(report *out, const char *key, const char *value); /* what is no printable ASCII, and a space, becomes _ */
void report_number(report *out, const char *key, size_t value);
void report_bits(report *out, const char *key, uint32_t value); /* eight hexadecimal digits */
void report_end(report *out);

#ifdef __cplusplus
}
#endif
#endif
