/* Everything a compiler may call behind one's back on a 32-bit processor without FPU or divider; names and meaning are libgcc's. */
#ifndef AETHER_RUNTIME_COMPILER_CALLS_H
#define AETHER_RUNTIME_COMPILER_CALLS_H

#include <stddef.h>
#include <stdint.h>

/* A host test carries them beside the compiler's own under another name. */
#ifndef HELPER
#define HELPER(name) name
#endif

/* memory.c */
void *HELPER(memcpy)(void *restrict to, const void *restrict from, size_t bytes);
void *HELPER(memmove)(void *to, const void *from, size_t bytes);
void *HELPER(memset)(void *to, int value, size_t bytes);
int HELPER(memcmp)(const void *a, const void *b, size_t bytes);
int HELPER(strcmp)(const char *a, const char *b);

/* integer.c */
uint32_t HELPER(__udivsi3)(uint32_t n, uint32_t d);
uint32_t HELPER(__umodsi3)(uint32_t n, uint32_t d);
int32_t HELPER(__divsi3)(int32_t n, int32_t d);
int32_t HELPER(__modsi3)(int32_t n, int32_t d);
uint64_t HELPER(__muldi3)(uint64_t a, uint64_t b);
uint64_t HELPER(__udivdi3)(uint64_t n, uint64_t d);
uint64_t HELPER(__umoddi3)(uint64_t n, uint64_t d);
int64_t HELPER(__divdi3)(int64_t n, int64_t d);
int64_t HELPER(__moddi3)(int64_t n, int64_t d);
uint64_t HELPER(__ashldi3)(uint64_t x, int count); /* counts 0 to 63 */
uint64_t HELPER(__lshrdi3)(uint64_t x, int count);
int64_t HELPER(__ashrdi3)(int64_t x, int count);

/* softfloat.c: arithmetic */
float HELPER(__addsf3)(float a, float b);
float HELPER(__subsf3)(float a, float b);
float HELPER(__mulsf3)(float a, float b);
float HELPER(__divsf3)(float a, float b);

/* Conversions: out of range is undefined in C; here it saturates */
float HELPER(__floatsisf)(int32_t x);
float HELPER(__floatunsisf)(uint32_t x);
float HELPER(__floatdisf)(int64_t x);
float HELPER(__floatundisf)(uint64_t x);
int32_t HELPER(__fixsfsi)(float x);
uint32_t HELPER(__fixunssfsi)(float x);

/* Comparisons: the sign of the result against zero, chosen so that a NaN compares false */
int HELPER(__eqsf2)(float a, float b);
int HELPER(__nesf2)(float a, float b);
int HELPER(__ltsf2)(float a, float b);
int HELPER(__lesf2)(float a, float b);
int HELPER(__gtsf2)(float a, float b);
int HELPER(__gesf2)(float a, float b);
int HELPER(__unordsf2)(float a, float b);

#endif
