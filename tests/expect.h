/* Counts and prints what does not hold, and continues: for the programs of test_core_in_c.py. */
#ifndef AETHER_TEST_EXPECT_H
#define AETHER_TEST_EXPECT_H

#include <stdio.h>

static int wrong;

#define EXPECT(condition)                                  \
    do {                                                   \
        if (!(condition)) {                                \
            printf("line %d: %s\n", __LINE__, #condition); \
            wrong++;                                       \
        }                                                  \
    } while (0)

/* The exit status of the program. */
static int ended(void) {
    printf("%d wrong\n", wrong);
    return wrong > 100 ? 100 : wrong;
}

#endif
