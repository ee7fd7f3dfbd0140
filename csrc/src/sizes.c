#include "sizes.h"

size_t aether_mul(size_t a, size_t b) {
    return b != 0 && a > SIZE_MAX / b ? SIZE_MAX : a * b;
}

size_t aether_take(aether_bytes *bytes, size_t count, size_t size) {
    const size_t begin = bytes->total;
    const size_t need = aether_mul(count, size);
    if (need > SIZE_MAX - 7 || ((need + 7) & ~(size_t)7) > SIZE_MAX - begin) {
        bytes->too_large = 1;
        return 0;
    }
    bytes->total = begin + ((need + 7) & ~(size_t)7);
    return begin;
}
