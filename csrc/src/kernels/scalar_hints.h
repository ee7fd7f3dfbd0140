/* What the scalar loops tell a compiler. None of it changes a result. */
#ifndef AETHER_SCALAR_HINTS_H
#define AETHER_SCALAR_HINTS_H

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

#endif
