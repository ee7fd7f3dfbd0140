/* The search behind aether_subcarriers_find, one subcarrier at a time. */
#ifndef AETHER_SRC_SUBCARRIERS_H
#define AETHER_SRC_SUBCARRIERS_H

#include "aether/subcarriers.h"

/* The band from which wanted subcarriers of band ANY are taken. */
uint8_t aether_any_band(const aether_run *runs, size_t n_runs, const aether_wanted *wanted);

/* The pair of wanted subcarrier f; SIZE_MAX when the frame lacks it. */
size_t aether_pair_of(const aether_run *runs, size_t n_runs, const aether_wanted *wanted, uint8_t any_band, size_t f);

#endif
