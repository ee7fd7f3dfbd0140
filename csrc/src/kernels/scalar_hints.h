/* What the scalar loops tell a compiler. None of it changes a result. */
#ifndef AETHER_SCALAR_HINTS_H
#define AETHER_SCALAR_HINTS_H

#include <stdint.h>

/* INLINE: for functions that get constants; they cost nothing, and their arrays live in registers once loops are unrolled.
   UNROLL: before a loop with a constant count. */
#if defined(__clang__)
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#else
#define INLINE static inline
#define UNROLL
#endif

/* EXPECT(condition, usual value): the condition. A function would not do: compilers forget what it says when they inline it. */
#if defined(__GNUC__)
#define EXPECT __builtin_expect
#else
static inline long EXPECT(long condition, long usual) {
    (void)usual;
    return condition;
}
#endif

/* The constant in a register. Compilers for processors that load constants from memory would load it again in every round. */
INLINE uint32_t kept(uint32_t constant) {
#if defined(__GNUC__)
    __asm__("" : "+r"(constant));
#endif
    return constant;
}

#endif
