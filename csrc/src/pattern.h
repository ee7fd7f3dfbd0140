/* What the core itself needs to know of the pattern, beside aether/head.h. */
#ifndef AETHER_PATTERN_H
#define AETHER_PATTERN_H

#include "aether/head.h"

/* 1 when any query can see a landmark: block means need to be built, and are checked, exactly then. */
int aether_pattern_has_landmarks(const aether_config *config);

#endif
