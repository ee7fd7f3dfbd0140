// QEMU's `sim` machine, windowed convention: paint the stack, clear memory, run, end. Output and exit are simulator calls.
#define SYS_EXIT 1
#define SYS_READ 3
#define SYS_WRITE 4
#define SIMCALL .byte 0x00, 0x51, 0x00  // not known to the assembler

    .text
    .literal_position
    .literal .Lvectors, aether_xtensa_vectors
    .literal .Lbss_low, aether_bss_low
    .literal .Lbss_high, aether_bss_high
    .literal .Lstack_low, aether_stack_low
    .literal .Lstack_high, aether_stack_high
    .literal .Lpaint, 0xA5A5A5A5
    .literal .Lmain, firmware_main
    .literal .Lps, 0x40020       // window overflows on, user mode, no interrupts
    .p2align 2
    .global _start
_start:
    movi a2, 1
    wsr a2, windowstart
    rsync
    l32r a2, .Lvectors
    wsr a2, vecbase
    movi a2, 255
    wsr a2, cpenable            // the FPU is coprocessor 0
    l32r a2, .Lps
    wsr a2, ps
    rsync
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
    addi a2, a1, 0              // the outermost frame: a spill looks for its caller's stack pointer below a1
    addi a1, a1, -64            // and puts registers under that
    addi a3, a1, -16
    s32i a2, a3, 4
    movi a0, 0
    l32r a4, .Lmain
    callx8 a4
    mov a3, a10
    movi a2, SYS_EXIT
    SIMCALL
4:  j 4b

// void platform_write(const char *text, size_t bytes)
    .p2align 2
    .global platform_write
platform_write:
    entry a1, 32
    mov a5, a3
    mov a4, a2
    movi a3, 1
    movi a2, SYS_WRITE
    SIMCALL
    retw

// size_t platform_read(char *text, size_t bytes)
    .p2align 2
    .global platform_read
platform_read:
    entry a1, 32
    mov a5, a3
    mov a4, a2
    movi a3, 0
    movi a2, SYS_READ
    SIMCALL
    movi a3, 0
    movltz a2, a3, a2           // -1: nothing there now
    retw
