/* What every lane_*.h shares. A lane header defines, for one instruction set, a vector of LANES binary32 and the
   operations on it (v_*): each lane is one scalar of the contract, and no operation mixes lanes but v_transpose. */
#ifndef AETHER_LANE_H
#define AETHER_LANE_H

#include <stddef.h>
#include <stdint.h>

#if defined(_MSC_VER) && !defined(__clang__)
#define LANE_INLINE static __forceinline
#else
#define LANE_INLINE static inline __attribute__((always_inline))
#endif

/* Before a loop with a constant count: the arrays it indexes then live in registers. Clang does it by itself, GCC at -O3. */
#if defined(__GNUC__) && !defined(__clang__)
#define LANE_UNROLL _Pragma("GCC unroll 16")
#else
#define LANE_UNROLL
#endif

#endif
