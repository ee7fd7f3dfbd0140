    /* Linux, without a C library: a stack of the project's own, painted; output and exit are system calls. */
    .equ SYS_WRITE, 64
    .equ SYS_EXIT, 93

    .text
    .globl _start
_start:
    adrp x0, aether_stack_low
    add x0, x0, :lo12:aether_stack_low
    adrp x1, aether_stack_high
    add x1, x1, :lo12:aether_stack_high
    mov w2, 0xA5A5
    movk w2, 0xA5A5, lsl 16
1:  str w2, [x0], 4
    cmp x0, x1
    b.lo 1b
    mov sp, x1
    bl firmware_main
    mov x8, SYS_EXIT
    svc 0

    /* void platform_write(const char *text, size_t bytes) */
    .globl platform_write
platform_write:
    mov x2, x1
    mov x1, x0
    mov x0, 1
    mov x8, SYS_WRITE
    svc 0
    ret

    .section .bss.stack, "aw", %nobits
    .p2align 4
    .globl aether_stack_low
aether_stack_low:
    .skip 0x8000
    .globl aether_stack_high
aether_stack_high:
    .section .note.GNU-stack, "", %progbits
