/* How a test plays the chip. */
#ifndef FAKE_H
#define FAKE_H

#include "types.h"

#define FAKE_SLOT_BYTES 0x20000u

/* Flash of aether_a and aether_b: NOR, erased at first. */
extern unsigned char fake_flash[2][FAKE_SLOT_BYTES];
void fake_flash_there(unsigned slot, bool there);

/* The time since the start, from now on: it stands still but for fake_clock_jump. */
void fake_clock_stop(int64_t microseconds);

/* Added to the time. */
void fake_clock_jump(int64_t microseconds);

/* Allocations and mappings that are open, and tasks that live. */
int fake_open(void);

/* Allocations ever made. */
int fake_allocations(void);

/* The allocation (or task) so many ahead fails; 0: none does. */
void fake_fail_allocation(int ahead);

#endif
