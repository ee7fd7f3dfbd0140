/* binary16 by shift and mask. */
#ifndef AETHER_SCALAR_HALF_H
#define AETHER_SCALAR_HALF_H

#include "../bits.h"

/* A finite binary16 value times 2^-112, exactly: sign and magnitude moved to their places in binary32. What it is multiplied by
   is held times 2^112, so the product, and with it its rounding, is that of the values themselves. */
#define HALF_MASK 0x8FFFE000u
#define HALF(x) aether_from_bits(((uint32_t)(int32_t)(x) << 13) & HALF_MASK)
#define SINGLE(x) (x)
#define HALF_SCALE 0x1p112f

/* Keeps a constant in its register: compilers for processors that load constants from memory do so again in every turn. */
#if defined(__GNUC__)
#define KEEP(constant) __asm__("" : "+r"(constant))
#define RARELY(condition) __builtin_expect(condition, 0)
#define INLINE static inline __attribute__((always_inline)) /* a call with more than six arguments costs as much as a small layer */
#else
#define KEEP(constant) (void)(constant)
#define RARELY(condition) (condition)
#define INLINE static inline
#endif

/* 1 when every value times 2^112 is finite. */
static inline int scalar_can_scale(const float *x, size_t n) {
    const uint32_t limit = 0x47800000u; /* 2^16 */
    size_t i;
    for (i = 0; i < n; i++) {
        if ((aether_bits(x[i]) & 0x7FFFFFFFu) >= limit) {
            return 0;
        }
    }
    return 1;
}

#endif
