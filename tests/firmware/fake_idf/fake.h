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

/* The allocation (or task), or the call that reads, writes, erases or maps flash, so many ahead fails; 0: none does. Returns what was left
   of the last setting: 0 when that call came. */
int fake_fail_allocation(int ahead);
int fake_fail_flash(int ahead);

/* NVS: what is stored is there at later starts. Calls so many ahead fail, as above; there (false): it was not initialised. */
int fake_fail_nvs(int ahead);
void fake_nvs_there(bool there);

/* Allocations fail that would exceed so many bytes together with the stacks and what is open; 0: none. */
void fake_heap(size_t bytes);

#endif
