/* Checks for programs that run on every target, without a C library. A test program is firmware_main: check_test for each test,
   then `return check_end();`. test_custom_runner.py reads what it prints; without the line of check_end the program has failed. */
#ifndef AETHER_TEST_CHECK_H
#define AETHER_TEST_CHECK_H

#include <stddef.h>
#include <stdint.h>

/* Runs one test and reports it. */
void check_test(const char *name, void (*test)(void));

/* Prints the closing line. Returns the exit code: 0 when there was a test, each had a check and none failed. */
int check_end(void);

/* Inside a test. Each continues after a failure, and returns 1 when its check holds. */
#define CHECK(condition) check_true((condition) ? 1 : 0, #condition, __FILE__, __LINE__)
#define CHECK_EQUAL(expected, got) check_number((uint64_t)(expected), (uint64_t)(got), #got, __FILE__, __LINE__)
#define CHECK_BITS(expected, got) check_bits((expected), (got), #got, __FILE__, __LINE__) /* uint32_t */

#define CHECK_NEVER(what) check_true(0, (what), __FILE__, __LINE__) /* unreachable unless the test fails */

int check_true(int holds, const char *what, const char *file, int line);
int check_number(uint64_t expected, uint64_t got, const char *what, const char *file, int line);
int check_bits(uint32_t expected, uint32_t got, const char *what, const char *file, int line);

#endif
