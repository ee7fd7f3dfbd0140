/* What the core itself needs to know of the pattern, beside aether/head.h. */
#ifndef AETHER_PATTERN_H
#define AETHER_PATTERN_H

#include "aether/head.h"

/* 1 when any query can see a landmark: block means need to be built, and are checked, exactly then. */
int aether_pattern_has_landmarks(const aether_config *config);

/* The most tokens that a query sees below its window by a stride, of a causal head with a history. */
size_t aether_pattern_max_strides(const aether_config *config);

#endif
