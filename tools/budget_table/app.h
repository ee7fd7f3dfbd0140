/* What the budget application shares with the image's data. */
#ifndef BUDGET_APP_H
#define BUDGET_APP_H

#include "aether/aether.h"

/* One way to run one model. The table ends with a NULL blob. */
typedef struct budget_case {
    const uint32_t *blob;
    uint32_t bytes, context, dtype, pushes;
} budget_case;
extern const budget_case budget_cases[];

#endif
