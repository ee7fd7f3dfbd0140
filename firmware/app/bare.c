#include "parity.h"

#include "platform.h"

#ifndef AETHER_SCRATCH_BYTES
#define AETHER_SCRATCH_BYTES 196608
#endif
#ifndef AETHER_CHIP
#define AETHER_CHIP "emulated"
#endif

static uint64_t scratch[AETHER_SCRATCH_BYTES / 8];
static report out;
static parity_io io;

static void write_line(void *user, const char *text, size_t bytes) {
    (void)user;
    platform_write(text, bytes);
}

static size_t stack_used(void *user) {
    (void)user;
    return platform_stack_used();
}

const parity_io *bare_io(void) {
    out.write = write_line;
    io.out = &out;
    io.stack_used = stack_used;
    io.stack_size = platform_stack_size();
    io.chip = AETHER_CHIP;
    io.vectors = aether_vectors;
    io.vectors_bytes = (size_t)((uintptr_t)aether_vectors_end - (uintptr_t)aether_vectors);
    io.scratch = scratch;
    io.scratch_bytes = sizeof scratch;
    return &io;
}
