/* The floating-point control register of the calling thread, for tests that call with another one than the standard. */
#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
uint64_t fpmode_get(void) { return _mm_getcsr(); }
void fpmode_set(uint64_t mode) { _mm_setcsr((unsigned)mode); }
#elif defined(__aarch64__)
uint64_t fpmode_get(void) {
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
void fpmode_set(uint64_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#endif
