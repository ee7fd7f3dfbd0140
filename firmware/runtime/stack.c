/* Stack high-water mark: start code paints the stack, and what is no longer paint was used. */
#include "platform.h"

#define PAINT 0xA5A5A5A5u /* the same in every start code */

extern const uint32_t aether_stack_low[], aether_stack_high[]; /* linker script */

size_t platform_stack_size(void) {
    return (size_t)((uintptr_t)aether_stack_high - (uintptr_t)aether_stack_low);
}

size_t platform_stack_used(void) {
    const volatile uint32_t *word = aether_stack_low;
    const size_t words = platform_stack_size() / sizeof *word;
    size_t free = 0;
    while (free < words && word[free] == PAINT) {
        free++;
    }
    return (words - free) * sizeof *word;
}
