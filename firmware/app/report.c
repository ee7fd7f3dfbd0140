#include "report.h"

#include "aether/crc32.h"

static void put(report *out, char c) {
    if (out->length < REPORT_LINE) {
        out->text[out->length++] = c;
    }
}

static void put_text(report *out, const char *text) {
    while (*text != 0) {
        put(out, *text++);
    }
}

static void put_bits(report *out, uint32_t value) {
    int shift;
    for (shift = 28; shift >= 0; shift -= 4) {
        put(out, "0123456789ABCDEF"[value >> shift & 15u]);
    }
}

static void put_key(report *out, const char *key) {
    put(out, ' ');
    put_text(out, key);
    put(out, '=');
}

void report_begin(report *out, const char *kind) {
    out->length = 0;
    put_text(out, "aether ");
    put_text(out, kind);
}

void report_text(report *out, const char *key, const char *value) {
    put_key(out, key);
    for (; *value != 0; value++) {
        put(out, *value > ' ' && *value <= '~' ? *value : '_');
    }
}

void report_number(report *out, const char *key, size_t value) {
    char digits[20];
    size_t n = 0;
    put_key(out, key);
    do {
        digits[n++] = (char)('0' + (char)(value % 10));
        value /= 10;
    } while (value != 0);
    while (n > 0) {
        put(out, digits[--n]);
    }
}

void report_bits(report *out, const char *key, uint32_t value) {
    put_key(out, key);
    put_bits(out, value);
}

void report_end(report *out) {
    const uint32_t crc = aether_crc32(0, out->text, out->length);
    put_text(out, " *");
    put_bits(out, crc);
    put(out, '\n');
    out->lines++;
    out->write(out->user, out->text, out->length);
}
