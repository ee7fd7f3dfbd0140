    /* QEMU's `sim` machine, call0 convention: paint the stack, clear memory, run, end. Output and exit are simulator calls. */
    .equ SYS_EXIT, 1
    .equ SYS_READ, 3
    .equ SYS_WRITE, 4

    .section .start, "ax"
    .align 4
    .global _start
    .literal_position
    .literal .Lbss_low, aether_bss_low
    .literal .Lbss_high, aether_bss_high
    .literal .Lstack_low, aether_stack_low
    .literal .Lstack_high, aether_stack_high
    .literal .Lpaint, 0xA5A5A5A5
    .align 4
_start:
    l32r a2, .Lbss_low
    l32r a3, .Lbss_high
    movi a4, 0
1:  bgeu a2, a3, 2f
    s32i a4, a2, 0
    addi a2, a2, 4
    j 1b
2:  l32r a1, .Lstack_high
    l32r a2, .Lstack_low
    l32r a3, .Lpaint
3:  s32i a3, a2, 0
    addi a2, a2, 4
    bltu a2, a1, 3b
    movi a0, 0
    call0 firmware_main
    mov a3, a2
    movi a2, SYS_EXIT
    simcall
4:  j 4b

    /* void platform_write(const char *text, size_t bytes) */
    .text
    .align 4
    .global platform_write
platform_write:
    mov a5, a3
    mov a4, a2
    movi a3, 1
    movi a2, SYS_WRITE
    simcall
    ret

    /* size_t platform_read(char *text, size_t bytes) */
    .align 4
    .global platform_read
platform_read:
    mov a5, a3
    mov a4, a2
    movi a3, 0
    movi a2, SYS_READ
    simcall
    movi a3, 0
    movltz a2, a3, a2           /* -1: nothing there now */
    ret
