    /* QEMU's `virt` board, machine mode: paint the stack, clear memory, run, and end through the test device. */
    .equ UART, 0x10000000
    .equ TEST_DEVICE, 0x100000

    .section .start, "ax"
    .globl _start
_start:
    la t0, trap
    csrw mtvec, t0
#ifdef __riscv_flen
    li t0, 0x2000               /* mstatus.FS: the FPU is on */
    csrs mstatus, t0
    csrw fcsr, zero
#endif
    la t0, aether_bss_low
    la t1, aether_bss_high
1:  bgeu t0, t1, 2f
    sw zero, 0(t0)
    addi t0, t0, 4
    j 1b
2:  la sp, aether_stack_high
    la t0, aether_stack_low
    li t1, 0xA5A5A5A5
3:  sw t1, 0(t0)
    addi t0, t0, 4
    bltu t0, sp, 3b
    call firmware_main
stop:
    li t0, 0x5555               /* code 0 */
    beqz a0, 4f
    slli a0, a0, 16
    li t0, 0x3333               /* another code, in the upper half */
    or t0, t0, a0
4:  li t1, TEST_DEVICE
    sw t0, 0(t1)
5:  j 5b

    .balign 4
trap:
    csrr a0, mcause
    addi a0, a0, 100
    j stop

    /* void platform_write(const char *text, size_t bytes) */
    .text
    .globl platform_write
platform_write:
    li t0, UART
    add a1, a1, a0
6:  bgeu a0, a1, 7f
    lbu t1, 0(a0)
    sb t1, 0(t0)
    addi a0, a0, 1
    j 6b
7:  ret

    /* size_t platform_read(char *text, size_t bytes) */
    .globl platform_read
platform_read:
    li t0, UART
    mv t2, a0
    add a1, a1, a0
8:  bgeu a0, a1, 9f
    lbu t1, 5(t0)               /* line status: bit 0 says that a byte has come in */
    andi t1, t1, 1
    beqz t1, 9f
    lbu t1, 0(t0)
    sb t1, 0(a0)
    addi a0, a0, 1
    j 8b
9:  sub a0, a0, t2
    ret
