#include "text.h"

#include <stdint.h>
#include <string.h>

#define ELLIPSIS "..."

/* Bytes of the UTF-8 character at `p` (of `left` bytes) that may stay; 0: its first byte is to be escaped. */
static size_t kept(const unsigned char *p, size_t left) {
    static const uint32_t least[] = {0, 0, 0xA0, 0x800, 0x10000};
    const size_t length = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
    uint32_t code;
    size_t i;
    if (length <= 1) {
        return length == 1 && p[0] >= 0x20 && p[0] != 0x7F && p[0] != '\\';
    }
    code = p[0] & (0x7Fu >> length);
    for (i = 1; i < length; i++) {
        if (i >= left || p[i] >> 6 != 2) {
            return 0;
        }
        code = code << 6 | (p[i] & 0x3Fu);
    }
    if (code < least[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF) || /* not UTF-8 */
        (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069)) {     /* breaks a line, or turns it round */
        return 0;
    }
    return length;
}

static size_t escape(unsigned char byte, char *out) {
    static const char digits[] = "0123456789ABCDEF";
    out[0] = '\\';
    if (byte == '\\') {
        out[1] = '\\';
        return 2;
    }
    out[1] = 'x';
    out[2] = digits[byte >> 4];
    out[3] = digits[byte & 15];
    return 4;
}

const char *node_text(const char *text, size_t bytes, char *out, size_t capacity) {
    const unsigned char *p = (const unsigned char *)text;
    const size_t most = capacity - sizeof ELLIPSIS; /* what may precede an ellipsis */
    size_t used = 0, fits = 0, i = 0;
    while (text != NULL && i < bytes && p[i] != 0) {
        char piece[4];
        const size_t whole = kept(p + i, bytes - i), count = whole > 0 ? whole : escape(p[i], piece);
        if (used + count >= capacity) {
            memcpy(out + fits, ELLIPSIS, sizeof ELLIPSIS);
            return out;
        }
        memcpy(out + used, whole > 0 ? (const char *)p + i : piece, count);
        used += count;
        i += whole > 0 ? whole : 1;
        if (used <= most) {
            fits = used;
        }
    }
    out[used] = 0;
    return out;
}
