#include "report.h"

#include "aether/crc32.h"
#include "platform.h"

#define LINE 256u

static struct {
    char text[LINE];
    size_t length;
} line;

static void put(char c) {
    if (line.length < LINE) {
        line.text[line.length++] = c; /* a longer line loses its end, and with it the CRC: the reader refuses it */
    }
}

static void put_text(const char *text) {
    while (*text != 0) {
        put(*text++);
    }
}

static void put_bits(uint32_t value) {
    int shift;
    for (shift = 28; shift >= 0; shift -= 4) {
        put("0123456789ABCDEF"[value >> shift & 15u]);
    }
}

static void put_key(const char *key) {
    put(' ');
    put_text(key);
    put('=');
}

void report_begin(const char *kind) {
    line.length = 0;
    put_text("aether ");
    put_text(kind);
}

void report_text(const char *key, const char *value) {
    put_key(key);
    for (; *value != 0; value++) {
        put(*value == ' ' ? '_' : *value);
    }
}

void report_number(const char *key, size_t value) {
    char digits[20];
    size_t n = 0;
    put_key(key);
    do {
        digits[n++] = (char)('0' + (char)(value % 10));
        value /= 10;
    } while (value != 0);
    while (n > 0) {
        put(digits[--n]);
    }
}

void report_bits(const char *key, uint32_t value) {
    put_key(key);
    put_bits(value);
}

void report_end(void) {
    const uint32_t crc = aether_crc32(0, line.text, line.length);
    put_text(" *");
    put_bits(crc);
    put('\n');
    platform_write(line.text, line.length);
}
