/* The functions that an application needs from a board: output, input, stack use. Start code calls firmware_main and exits with its result
   (100 and above: the processor trapped). */
#ifndef AETHER_RUNTIME_PLATFORM_H
#define AETHER_RUNTIME_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

int firmware_main(void);

void platform_write(const char *text, size_t bytes);

/* Takes what came in over the serial line, at most `bytes`; does not wait, 0 when there is nothing. Only where the board has such a
   line (`serial` in TARGET.toml). */
size_t platform_read(char *text, size_t bytes);

/* Bytes of stack ever used and bytes there are; both 0 where the stack is not the project's own. */
size_t platform_stack_used(void);
size_t platform_stack_size(void);

#endif
