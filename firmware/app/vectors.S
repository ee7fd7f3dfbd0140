    /* AETHER_VECTORS: the path of the golden files in one. Read by the assemblers of GCC and of LLVM. */
#ifdef __wasm__
    .section .rodata.vectors,"",@
    .type aether_vectors,@object
    .type aether_vectors_end,@object
#else
    .section .rodata.vectors,"a"
#endif
    .p2align 4
    .globl aether_vectors
aether_vectors:
    .incbin AETHER_VECTORS
#ifdef __wasm__
    .size aether_vectors, . - aether_vectors
#endif
    .globl aether_vectors_end
aether_vectors_end:
    .long 0
#ifdef __wasm__
    .size aether_vectors_end, 4
#endif
#if defined(__ELF__) && !defined(__xtensa__)
    .section .note.GNU-stack,"",%progbits
#endif
