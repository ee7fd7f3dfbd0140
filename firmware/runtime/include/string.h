/* The four of <string.h> that the core uses, and memcmp for tests, for toolchains without a C library. Known to the compiler, so
   that copying four bytes into a word is no call; memory.c holds the functions for when it is one. */
#ifndef AETHER_RUNTIME_STRING_H
#define AETHER_RUNTIME_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
int strcmp(const char *a, const char *b);

#define memcpy(to, from, bytes) __builtin_memcpy(to, from, bytes)
#define memmove(to, from, bytes) __builtin_memmove(to, from, bytes)
#define memset(to, value, bytes) __builtin_memset(to, value, bytes)

#endif
