/* What every lane_*.h shares. A lane header defines, for one instruction set, a vector of LANES binary32 and the
   operations on it (v_*): each lane is one scalar of the contract, and no operation combines lanes but v_transpose. */
#ifndef AETHER_LANE_H
#define AETHER_LANE_H

#include <stddef.h>
#include <stdint.h>

#if defined(_MSC_VER) && !defined(__clang__)
#define LANE_INLINE static __forceinline
#else
#define LANE_INLINE static inline __attribute__((always_inline))
#endif

/* Between these two, functions may use the instruction sets `NAMES`, without an option of the compiler's: which of them the
   processor has is asked at run time (select.c). GCC keeps a target to the end of the file. MSVC knows every intrinsic. */
#define LANE_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define LANE_TARGET(NAMES) LANE_PRAGMA(clang attribute push(__attribute__((target(NAMES))), apply_to = function))
#define LANE_TARGET_END LANE_PRAGMA(clang attribute pop)
#elif defined(__GNUC__)
#define LANE_TARGET(NAMES) LANE_PRAGMA(GCC target(NAMES))
#define LANE_TARGET_END
#else
#define LANE_TARGET(NAMES)
#define LANE_TARGET_END
#endif

/* Before a loop with a constant count: the arrays it indexes then live in registers. Clang does it by itself, GCC at -O3. */
#if defined(__GNUC__) && !defined(__clang__)
#define LANE_UNROLL _Pragma("GCC unroll 16")
#else
#define LANE_UNROLL
#endif

#endif
