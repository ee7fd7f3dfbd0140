/* A small golden file (docs/spec/golden.md) in flash. */
#ifndef RUV_SELF_TEST_VECTORS_H
#define RUV_SELF_TEST_VECTORS_H

#include <stddef.h>
#include <stdint.h>

extern const size_t ruv_self_test_bytes;
extern const uint32_t ruv_self_test_vectors[];

#endif
