/* The variant of every processor: one lane. */
#include "../src/bits.h"
#include "../src/kernels/lane.h"

#define LANES 1

typedef float lane;

LANE_INLINE lane v_zero(void) {
    return 0.0f;
}
LANE_INLINE lane v_set1(float x) {
    return x;
}
LANE_INLINE lane v_load(const float *p) {
    return *p;
}
LANE_INLINE void v_store(float *p, lane a) {
    *p = a;
}
LANE_INLINE lane v_add(lane a, lane b) {
    return a + b;
}
LANE_INLINE lane v_sub(lane a, lane b) {
    return a - b;
}
LANE_INLINE lane v_mul(lane a, lane b) {
    return a * b;
}
LANE_INLINE lane v_max(lane a, lane b) {
    return a > b ? a : b;
}
LANE_INLINE lane v_zero_below(lane x, lane limit, lane y) {
    return x < limit ? 0.0f : y;
}
LANE_INLINE lane v_shift_add(lane y, lane z) {
    return aether_from_bits(aether_bits(y) + (aether_bits(z) << 23));
}
LANE_INLINE void v_transpose(lane x[LANES]) {
    (void)x;
}

#include "lane_gradient.h"

GRADIENT_KERNEL(portable);
