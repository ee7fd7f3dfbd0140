/* The floating-point environment of a call: standard inside, the caller's again outside. On a chip there is only one.
   Work done between the two stands in a function of its own, which the compiler must not move across. */
#ifndef AETHER_FPENV_H
#define AETHER_FPENV_H

#include <stdint.h>

#if defined(__GNUC__)
#define AETHER_NOINLINE __attribute__((noinline))
#elif defined(_MSC_VER)
#define AETHER_NOINLINE __declspec(noinline)
#else
#define AETHER_NOINLINE
#endif

typedef struct aether_fpenv {
    uint64_t saved;
} aether_fpenv;

#if defined(__SSE2__) || defined(_M_X64)

#include <xmmintrin.h>

static inline aether_fpenv aether_fpenv_enter(void) {
    aether_fpenv env = {_mm_getcsr()};
    _mm_setcsr(0x1F80u); /* all masked, nearest even, no flush-to-zero, no denormals-are-zero */
    return env;
}

static inline void aether_fpenv_leave(aether_fpenv env) {
    _mm_setcsr((unsigned)env.saved);
}

#elif defined(__aarch64__)

static inline aether_fpenv aether_fpenv_enter(void) {
    aether_fpenv env;
    __asm__ volatile("mrs %0, fpcr" : "=r"(env.saved) : : "memory");
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0) : "memory");
    return env;
}

static inline void aether_fpenv_leave(aether_fpenv env) {
    __asm__ volatile("msr fpcr, %0" : : "r"(env.saved) : "memory");
}

#elif defined(_M_ARM64)

#include <intrin.h>

static inline aether_fpenv aether_fpenv_enter(void) {
    aether_fpenv env = {(uint64_t)_ReadStatusReg(ARM64_FPCR)};
    _WriteStatusReg(ARM64_FPCR, 0);
    return env;
}

static inline void aether_fpenv_leave(aether_fpenv env) {
    _WriteStatusReg(ARM64_FPCR, (__int64)env.saved);
}

#else

static inline aether_fpenv aether_fpenv_enter(void) {
    aether_fpenv env = {0};
    return env;
}

static inline void aether_fpenv_leave(aether_fpenv env) {
    (void)env;
}

#endif
#endif
