/* Runs the golden vectors on a chip, at start and on command, and reports differences (format: firmware/README.md). Plain C: the board's
   functions are passed as pointers. One run at a time. */
#ifndef AETHER_APP_PARITY_H
#define AETHER_APP_PARITY_H

#include "report.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARITY_ID 24u /* longest id; the rest is cut */

/* The board's functions and memory. The caller owns all memory, which must outlive the calls. */
typedef struct parity_io {
    report *out;                      /* output of the report */
    void (*rest)(void *user);         /* called between checks, to let other tasks run or feed a watchdog; NULL: nothing */
    size_t (*stack_used)(void *user); /* bytes ever used of stack_size; NULL: not measured, both are reported as 0 */
    void *user;
    size_t stack_size;
    const char *chip;        /* the chip's name, for the report */
    const uint32_t *vectors; /* all golden files (tests/golden, by name), one after another; in flash, 4-byte aligned */
    size_t vectors_bytes;
    void *scratch; /* 8-byte aligned, parity_scratch bytes; may be freed between runs */
    size_t scratch_bytes;
} parity_io;

/* Largest scratch in bytes that any file needs with any variant of this build; 0 when no file can be read. Reads only the vectors. */
size_t parity_scratch(const parity_io *io);

/* Runs everything and reports, from the line `begin` to the line `end`. id: of the command, "boot" at start.
   0: every bit is equal. 1: a bit differs, or a file could not be run (too little scratch gives `status=MEMORY`). */
int parity_run(const parity_io *io, const char *id);

/* Writes the line `info`, without a run. */
void parity_info(const parity_io *io, const char *id);

/* Executes one command line, without its end of line: `parity [ID]` or `info [ID]`. The reply repeats the ID. 0: the line is not a command
   of this application; nothing was done. */
int parity_command(const parity_io *io, const char *line, size_t length);

/* Assembles lines from received bytes. Initialise with zeros. */
typedef struct parity_console {
    size_t length;
    int too_long;
    char line[64];
} parity_console;

/* Takes bytes from the serial line and executes each complete line. The reply to an unknown command is the line `unknown`. */
void parity_console_take(parity_console *console, const parity_io *io, const char *bytes, size_t count);

/* The environment of a chip without an operating system. Its memory is static: one at a time. */
const parity_io *bare_io(void);

/* All golden files, one after another, in read-only memory; each says its own length (third word). */
extern const uint32_t aether_vectors[];
extern const uint32_t aether_vectors_end[];

#ifdef __cplusplus
}
#endif
#endif
