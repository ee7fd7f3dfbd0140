/* Cortex-M on the MPS2 boards: vector table, memory, semihosting output and exit. */
#include "platform.h"

extern uint32_t aether_stack_high[], aether_data_load[], aether_data_low[], aether_data_high[], aether_bss_low[],
    aether_bss_high[]; /* linker script */

enum { SYS_OPEN = 1, SYS_WRITE = 5, SYS_EXIT_EXTENDED = 0x20 };
#define STOPPED_APPLICATION_EXIT 0x20026u

static int semihost(int operation, const uint32_t *arguments) {
    register int r0 __asm__("r0") = operation;
    register const uint32_t *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void platform_write(const char *text, size_t bytes) {
    static int console = -1;
    uint32_t arguments[3];
    if (console < 0) {
        const uint32_t terminal[3] = {(uint32_t)(uintptr_t) ":tt", 4, 3}; /* for writing */
        console = semihost(SYS_OPEN, terminal);
    }
    arguments[0] = (uint32_t)console;
    arguments[1] = (uint32_t)(uintptr_t)text;
    arguments[2] = bytes;
    (void)semihost(SYS_WRITE, arguments);
}

static void stop(int code) {
    const uint32_t arguments[2] = {STOPPED_APPLICATION_EXIT, (uint32_t)code};
    (void)semihost(SYS_EXIT_EXTENDED, arguments);
    for (;;) {
    }
}

static void fault(void) {
    stop(100);
}

static void __attribute__((used)) start(void) {
    const uint32_t *from = aether_data_load;
    uint32_t *to;
    for (to = aether_data_low; to < aether_data_high; to++) {
        *to = *from++;
    }
    for (to = aether_bss_low; to < aether_bss_high; to++) {
        *to = 0;
    }
#if defined(__ARM_FP)
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: the FPU, for everyone */
    __asm__ volatile("dsb\n isb\n vmsr fpscr, %0" : : "r"(0));
#endif
    stop(firmware_main());
}

/* Paints the stack before C uses it. */
void reset(void);

void __attribute__((naked)) reset(void) {
    __asm__ volatile("ldr r0, =aether_stack_low\n"
                     "ldr r1, =aether_stack_high\n"
                     "ldr r2, =0xA5A5A5A5\n"
                     "1: str r2, [r0], #4\n"
                     "cmp r0, r1\n"
                     "blo 1b\n"
                     "b start");
}

typedef union vector {
    uint32_t *stack;
    void (*handler)(void);
} vector;

static const vector VECTORS[16] __attribute__((section(".vectors"), used)) = {
    {.stack = aether_stack_high}, {.handler = reset},   {.handler = fault}, {.handler = fault},
    {.handler = fault},           {.handler = fault},   {.handler = fault}, {.handler = fault},
    {.handler = fault},           {.handler = fault},   {.handler = fault}, {.handler = fault},
    {.handler = fault},           {.handler = fault},   {.handler = fault}, {.handler = fault},
};
