#include "sizes.h"

size_t aether_mul(size_t a, size_t b) {
    return b != 0 && a > SIZE_MAX / b ? SIZE_MAX : a * b;
}

size_t aether_add(size_t a, size_t b) {
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

size_t aether_take(aether_bytes *bytes, size_t count, size_t size) {
    const size_t begin = bytes->total;
    const size_t end = aether_add(begin, aether_mul(count, size));
    if (end > SIZE_MAX - 7) {
        bytes->too_large = 1;
        return 0;
    }
    bytes->total = (end + 7) & ~(size_t)7; /* begin is a multiple of 8 */
    return begin;
}
