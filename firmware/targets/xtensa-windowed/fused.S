// float fmaf(float a, float b, float c) by madd.s, for the control that must fail: what a contracting compiler does to a * b + c.
    .text
    .p2align 2
    .global fmaf
fmaf:
    entry a1, 32
    wfr f0, a4
    wfr f1, a2
    wfr f2, a3
    madd.s f0, f1, f2
    rfr a2, f0
    retw
