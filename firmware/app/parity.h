/* The golden vectors on a chip: run them and report what differs, at start and when a line asks for it (firmware/README.md says
   how a report reads). Plain C: what it needs of the board comes in through pointers. One run at a time. */
#ifndef AETHER_APP_PARITY_H
#define AETHER_APP_PARITY_H

#include "report.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PARITY_ID 24u /* characters of an id that are kept */

/* The board, as the application sees it. All memory is the caller's and outlives the calls. */
typedef struct parity_io {
    report *out;                      /* where lines go */
    void (*rest)(void *user);         /* between checks: lets others run, feeds a watchdog; NULL: nothing */
    size_t (*stack_used)(void *user); /* bytes ever used of stack_size; NULL: not measured, both are reported as 0 */
    void *user;
    size_t stack_size;
    const char *chip;        /* what it runs on, for the report */
    const uint32_t *vectors; /* all golden files (tests/golden, by name), one after another; in flash, 4-byte aligned */
    size_t vectors_bytes;
    void *scratch; /* 8-byte aligned, parity_scratch says how much; may be freed between runs */
    size_t scratch_bytes;
} parity_io;

/* Scratch bytes for the hungriest file with the hungriest variant of this build; 0 when no file can be read. Reads only the vectors. */
size_t parity_scratch(const parity_io *io);

/* Runs everything and reports, from the line `begin` to the line `end`. id: who asked, "boot" at start.
   0: every bit is the same. 1: something is not, or could not be run (too little scratch reads `status=MEMORY`). */
int parity_run(const parity_io *io, const char *id);

/* What this is, in one line `info`, without running anything. */
void parity_info(const parity_io *io, const char *id);

/* Does what one line asks: `parity [ID]`, `info [ID]`; end of line left out. The answer repeats the ID, so that the asker knows it from
   another's. 0: not a line for this application, nothing was done. */
int parity_command(const parity_io *io, const char *line, size_t length);

/* Lines out of bytes as they come in. Starts as all zeros. */
typedef struct parity_console {
    size_t length;
    int too_long;
    char line[64];
} parity_console;

/* Takes bytes from the serial line; a line that is complete is done at once, one that is not known is answered with the line `unknown`. */
void parity_console_take(parity_console *console, const parity_io *io, const char *bytes, size_t count);

#ifdef __cplusplus
}
#endif
#endif
