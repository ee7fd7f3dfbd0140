/* This computer, with its C library. The stack is the system's own. */
#include "platform.h"

#include <stdio.h>

void platform_write(const char *text, size_t bytes) {
    (void)fwrite(text, 1, bytes, stdout);
}

size_t platform_stack_used(void) {
    return 0;
}

size_t platform_stack_size(void) {
    return 0;
}

int main(void) {
    return firmware_main();
}
