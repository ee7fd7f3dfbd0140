/* Which variants there are, and which of them this processor can run. There is no mutable state, so nothing is remembered. */
#include "variants.h"

#if defined(AETHER_VARIANTS_X86)
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#else
#include <cpuid.h>
#endif

static void cpu_id(unsigned leaf, unsigned regs[4]) {
#if defined(_MSC_VER) && !defined(__clang__)
    int r[4];
    __cpuidex(r, (int)leaf, 0);
    for (int i = 0; i < 4; ++i) {
        regs[i] = (unsigned)r[i];
    }
#else
    __cpuid_count(leaf, 0, regs[0], regs[1], regs[2], regs[3]);
#endif
}

/* Register state the operating system saves; only where OSXSAVE is set. */
static unsigned saved_state(void) {
#if defined(_MSC_VER) && !defined(__clang__)
    return (unsigned)_xgetbv(0);
#else
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
#endif
}

/* 0: baseline, 1: also AVX2 and F16C, 2: also AVX-512 F, BW, DQ, VL. */
static int x86_level(void) {
    const unsigned leaf1_c = 1u << 27 | 1u << 28 | 1u << 29; /* OSXSAVE, AVX, F16C */
    const unsigned leaf7_b_avx2 = 1u << 5;
    const unsigned leaf7_b_avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    unsigned regs[4];
    cpu_id(0, regs);
    if (regs[0] < 7) {
        return 0;
    }
    cpu_id(1, regs);
    if ((regs[2] & leaf1_c) != leaf1_c) {
        return 0;
    }
    const unsigned state = saved_state();
    cpu_id(7, regs);
    if ((state & 0x06u) != 0x06u || !(regs[1] & leaf7_b_avx2)) { /* XMM, YMM */
        return 0;
    }
    if ((state & 0xE6u) != 0xE6u || (regs[1] & leaf7_b_avx512) != leaf7_b_avx512) { /* and masks, ZMM */
        return 1;
    }
    return 2;
}
#endif

const aether_kernels *aether_kernels_at(size_t index) {
    switch (index) {
    case 0: return aether_kernels_portable();
    case 1: return &aether_kernels_scalar;
#if defined(AETHER_VARIANTS_X86)
    case 2: return &aether_kernels_sse2;
    case 3: return &aether_kernels_avx2;
    case 4: return &aether_kernels_avx512;
#elif defined(AETHER_VARIANTS_NEON)
    case 2: return &aether_kernels_neon;
#endif
    default: return NULL;
    }
}

int aether_kernels_usable(const aether_kernels *kernels) {
    if (kernels == NULL) {
        return 0;
    }
#if defined(AETHER_VARIANTS_X86)
    if (kernels == &aether_kernels_sse2) {
        return 1;
    }
    if (kernels == &aether_kernels_avx2) {
        return x86_level() >= 1;
    }
    if (kernels == &aether_kernels_avx512) {
        return x86_level() >= 2;
    }
#elif defined(AETHER_VARIANTS_NEON)
    if (kernels == &aether_kernels_neon) {
        return 1;
    }
#endif
    return kernels == aether_kernels_portable() || kernels == &aether_kernels_scalar;
}

const aether_kernels *aether_kernels_fastest(void) {
#if defined(AETHER_VARIANTS_X86)
    const int level = x86_level();
    return level == 2 ? &aether_kernels_avx512 : level == 1 ? &aether_kernels_avx2 : &aether_kernels_sse2;
#elif defined(AETHER_VARIANTS_NEON)
    return &aether_kernels_neon;
#else
    return &aether_kernels_scalar;
#endif
}

static int same_name(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

aether_status aether_kernels_find(const char *name, const aether_kernels **kernels) {
    const aether_kernels *each;
    if (kernels == NULL) {
        return AETHER_E_ARGUMENT;
    }
    if (name == NULL) {
        *kernels = aether_kernels_fastest();
        return AETHER_OK;
    }
    for (size_t i = 0; (each = aether_kernels_at(i)) != NULL; ++i) {
        if (same_name(name, each->name) && aether_kernels_usable(each)) {
            *kernels = each;
            return AETHER_OK;
        }
    }
    return AETHER_E_KERNELS;
}
