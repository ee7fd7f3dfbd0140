/* Comparisons of binary32 as comparisons of integers. */
#include "softfloat.h"

static int unordered(uint32_t a, uint32_t b) {
    return (a & ~SOFT_SIGN) > SOFT_INFINITY || (b & ~SOFT_SIGN) > SOFT_INFINITY;
}

/* Sign and magnitude as an integer: both zeros become 0. */
static int32_t rank(uint32_t bits) {
    const int32_t magnitude = (int32_t)(bits & ~SOFT_SIGN);
    return (bits & SOFT_SIGN) != 0 ? -magnitude : magnitude;
}

static int compare(float a, float b, int when_unordered) {
    const uint32_t x = soft_bits(a), y = soft_bits(b);
    if (unordered(x, y)) {
        return when_unordered;
    }
    return rank(x) < rank(y) ? -1 : rank(x) > rank(y);
}

int HELPER(__eqsf2)(float a, float b) {
    return compare(a, b, 1);
}

int HELPER(__nesf2)(float a, float b) {
    return compare(a, b, 1);
}

int HELPER(__ltsf2)(float a, float b) {
    return compare(a, b, 1);
}

int HELPER(__lesf2)(float a, float b) {
    return compare(a, b, 1);
}

int HELPER(__gtsf2)(float a, float b) {
    return compare(a, b, -1);
}

int HELPER(__gesf2)(float a, float b) {
    return compare(a, b, -1);
}

int HELPER(__unordsf2)(float a, float b) {
    return unordered(soft_bits(a), soft_bits(b));
}
