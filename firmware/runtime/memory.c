/* What compilers call behind one's back to move memory. Words where both ends allow it, bytes otherwise; compiled with
   -fno-builtin (and GCC's loop patterns off), or the loops would become calls of themselves. */
#include "compiler_calls.h"

/* May alias anything, as memory functions do. */
typedef uint32_t __attribute__((may_alias)) any_word;

static int together(const void *a, const void *b) {
    return (((uintptr_t)a | (uintptr_t)b) & 3u) == 0;
}

void *HELPER(memcpy)(void *restrict to, const void *restrict from, size_t bytes) {
    unsigned char *t = to;
    const unsigned char *f = from;
    if (together(t, f)) {
        for (; bytes >= 32; t += 32, f += 32, bytes -= 32) {
            any_word *to_8 = (any_word *)(void *)t;
            const any_word *from_8 = (const any_word *)(const void *)f;
            to_8[0] = from_8[0];
            to_8[1] = from_8[1];
            to_8[2] = from_8[2];
            to_8[3] = from_8[3];
            to_8[4] = from_8[4];
            to_8[5] = from_8[5];
            to_8[6] = from_8[6];
            to_8[7] = from_8[7];
        }
        for (; bytes >= 4; t += 4, f += 4, bytes -= 4) {
            *(any_word *)(void *)t = *(const any_word *)(const void *)f;
        }
    }
    while (bytes-- > 0) {
        *t++ = *f++;
    }
    return to;
}

void *HELPER(memmove)(void *to, const void *from, size_t bytes) {
    unsigned char *t = to;
    const unsigned char *f = from;
    if ((uintptr_t)t - (uintptr_t)f >= bytes) { /* also when `to` lies below: the difference wraps */
        size_t i;
        for (i = 0; i < bytes; i++) {
            t[i] = f[i];
        }
    } else {
        while (bytes-- > 0) {
            t[bytes] = f[bytes];
        }
    }
    return to;
}

void *HELPER(memset)(void *to, int value, size_t bytes) {
    unsigned char *t = to;
    const unsigned char byte = (unsigned char)value;
    if (together(t, t)) {
        const uint32_t word = byte * 0x01010101u;
        for (; bytes >= 4; t += 4, bytes -= 4) {
            *(any_word *)(void *)t = word;
        }
    }
    while (bytes-- > 0) {
        *t++ = byte;
    }
    return to;
}

int HELPER(memcmp)(const void *a, const void *b, size_t bytes) {
    const unsigned char *x = a, *y = b;
    for (; bytes > 0; x++, y++, bytes--) {
        if (*x != *y) {
            return *x < *y ? -1 : 1;
        }
    }
    return 0;
}

int HELPER(strcmp)(const char *a, const char *b) {
    for (; *a != 0 && *a == *b; a++, b++) {
    }
    return (int)(unsigned char)*a - (int)(unsigned char)*b;
}
