// The vectors of a core with register windows: spill and refill by the convention, anything else ends with 100 + EXCCAUSE.
#define SYS_EXIT 1
#define CAUSE_MOVSP 5
#define SIMCALL .byte 0x00, 0x51, 0x00  // not known to the assembler

    .section .vectors, "ax"
    .p2align 10
    .global aether_xtensa_vectors
aether_xtensa_vectors:
    .p2align 6                  // 0x000 overflow of 4 registers
    s32e a0, a5, -16
    s32e a1, a5, -12
    s32e a2, a5, -8
    s32e a3, a5, -4
    rfwo
    .p2align 6                  // 0x040 underflow of 4
underflow4:
    l32e a0, a5, -16
    l32e a1, a5, -12
    l32e a2, a5, -8
    l32e a3, a5, -4
    rfwu
    .p2align 6                  // 0x080 overflow of 8
    s32e a0, a9, -16
    l32e a0, a1, -12
    s32e a1, a9, -12
    s32e a2, a9, -8
    s32e a3, a9, -4
    s32e a4, a0, -32
    s32e a5, a0, -28
    s32e a6, a0, -24
    s32e a7, a0, -20
    rfwo
    .p2align 6                  // 0x0C0 underflow of 8
underflow8:
    l32e a0, a9, -16
    l32e a1, a9, -12
    l32e a2, a9, -8
    l32e a7, a1, -12
    l32e a3, a9, -4
    l32e a4, a7, -32
    l32e a5, a7, -28
    l32e a6, a7, -24
    l32e a7, a7, -20
    rfwu
    .p2align 6                  // 0x100 overflow of 12
    s32e a0, a13, -16
    l32e a0, a1, -12
    s32e a1, a13, -12
    s32e a2, a13, -8
    s32e a3, a13, -4
    s32e a4, a0, -48
    s32e a5, a0, -44
    s32e a6, a0, -40
    s32e a7, a0, -36
    s32e a8, a0, -32
    s32e a9, a0, -28
    s32e a10, a0, -24
    s32e a11, a0, -20
    rfwo
    .p2align 6                  // 0x140 underflow of 12
underflow12:
    l32e a0, a13, -16
    l32e a1, a13, -12
    l32e a2, a13, -8
    l32e a11, a1, -12
    l32e a3, a13, -4
    l32e a4, a11, -48
    l32e a5, a11, -44
    l32e a6, a11, -40
    l32e a7, a11, -36
    l32e a8, a11, -32
    l32e a9, a11, -28
    l32e a10, a11, -24
    l32e a11, a11, -20
    rfwu

    .section .vectors.other, "ax"
    .rept 10                    // 0x180 to 0x3FF: every other exception
    .p2align 6
    wsr a0, excsave1
    rsr a0, exccause
    bnei a0, CAUSE_MOVSP, 1f
    j refill
1:  addi a3, a0, 100
    movi a2, SYS_EXIT
    SIMCALL
    .endr
    .p2align 6

// movsp found the caller's registers spilled: bring them back as a return would have, and try again. The handlers above end with
// rfwu, which turns to the window that PS.OWB names; the caller's call size stands in the two upper bits of a0.
refill:
    rsr a0, windowbase
    rotw -1                     // that is a4 now
    rsr a2, ps
    extui a3, a2, 8, 4          // PS.OWB
    xor a3, a3, a4
    rsr a4, excsave1            // the a0 that was
    slli a3, a3, 8
    xor a2, a2, a3
    wsr a2, ps
    rsync
    bbsi a4, 31, 2f
    j underflow4
2:  rotw -1                     // it is a8 now
    bbsi a8, 30, 3f
    j underflow8
3:  rotw -1
    j underflow12
