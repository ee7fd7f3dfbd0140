/* What the core itself needs to know of the pattern, beside aether/head.h. */
#ifndef AETHER_PATTERN_H
#define AETHER_PATTERN_H

#include "aether/head.h"

/* 1 when any query can see a landmark: block means need to be built, and are checked, exactly then. */
int aether_pattern_has_landmarks(const aether_config *config);

/* The smaller of a history and the capacity of a cache; 0 stands for "unlimited" in both and in the result. */
static inline uint64_t aether_history_within(uint64_t history, uint64_t capacity) {
    return history != 0 && (history < capacity || capacity == 0) ? history : capacity;
}

/* `head` as a cache of this capacity sees it: with the history limited to the capacity. */
aether_head aether_head_within(const aether_head *head, uint64_t capacity);

#endif
