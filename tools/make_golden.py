#!/usr/bin/env python3
"""Writes tests/golden/*.agv from the reference (docs/spec/golden.md). Run it from anywhere: `python tools/make_golden.py`.

`--check` makes everything anew and fails when a committed file differs.
"""

from __future__ import annotations

import argparse
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from reference import attention, model, numeric, pattern, rvne, state
from reference.attention import Head, Tensor
from reference.golden_file import Case, Input, Kernel, decode, encode, explicit, ramp, uniform, wild
from reference.numeric import Vector, from_bits, to_bits
from reference.pattern import Pattern
from reference.status import Refused

NONE = 0xFFFFFFFF
FORWARD, SPLIT, STEP, PREFILL, APPEND, RESET = 1, 2, 4, 8, 16, 32
STREAMING = STEP | PREFILL | APPEND | RESET
HUGE = 1 << 40
UNLIMITED = (1 << 64) - 1


def seed_of(name: str, which: int = 0) -> int:
    """A seed that depends on the case's name alone, so that adding a case changes no other."""
    return numeric.crc32(f"{name}#{which}".encode())


def values(source: Input) -> Vector:
    """The words of an input as binary32."""
    return [from_bits(int(w)) for w in source.words()]


def bits(vector: Sequence[np.float32]) -> list[int]:
    """binary32 values as words."""
    return [to_bits(x) for x in vector]


def halves(source: Sequence[int]) -> list[int]:
    """binary16 bits, two to a word, the first in the low half."""
    padded = [*source, *[0] * (len(source) % 2)]
    return [a | b << 16 for a, b in zip(padded[::2], padded[1::2], strict=True)]


def byte_words(data: bytes) -> list[int]:
    """Bytes as words, zero bytes at the end."""
    return [w for (w,) in struct.iter_unpack("<I", data + bytes(-len(data) % 4))]


# -- single operations ---------------------------------------------------------------------------------------------------


def map_case(kernel: Kernel, name: str, source: Input, f: Callable[[int], int], stride: int = 1) -> Case:
    """A case whose output is a function of each input word."""
    with np.errstate(all="ignore"):
        return Case(kernel, name, [], [source]).expect([f(int(w)) for w in source.words()], stride)


def exp_cases() -> list[Case]:
    def f(word: int) -> int:
        return to_bits(numeric.exp(from_bits(word)))

    c0 = 0xC2AEAC4F
    edges = [0x00000000, 0x80000000, 0x80000001, 0x807FFFFF, 0x80800000, 0xFF800000, 0xFF7FFFFF, 0xBF800000]
    edges += [c0 + i for i in range(-3, 4)]
    # Either side of where the integer part changes: -(k + 1/2) ln 2.
    edges += [to_bits(np.float32(-(k + 0.5) * 0.6931471805599453)) + i for k in (0, 1, 2, 63, 125) for i in (-1, 0, 1)]
    return [
        map_case(Kernel.EXP, "exp/edges", explicit(edges), f),
        map_case(Kernel.EXP, "exp/tiny", ramp(512, 0x80000001, 0x0000F00D * 64), f, 8),
        map_case(Kernel.EXP, "exp/normal", ramp(4096, 0xB0000001, 0x00012ABD), f, 16),
        map_case(Kernel.EXP, "exp/softmax", ramp(4096, 0xBD000003, 0x0000586F), f, 16),
        map_case(Kernel.EXP, "exp/below", ramp(64, 0xC2AEAC50, 0x00F00001), f, 8),
    ]


def root_cases() -> list[Case]:
    def f(word: int) -> int:
        return to_bits(numeric.sqrt(from_bits(word)))

    edges = [0, 1, 2, 3, 0x007FFFFF, 0x00800000, 0x00800001, 0x3F800000, 0x3F7FFFFF, 0x3F800001, 0x40000000, 0x7F7FFFFF]
    edges += [0x7F800000, 0x40800000, 0x40800001, 0x407FFFFF, 0x41100000]
    dims = list(range(1, 81)) + [96, 100, 127, 128, 255, 256, 1000, 16777217]
    with np.errstate(all="ignore"):
        scales = [to_bits(numeric.scale_of(d)) for d in dims]
    return [
        map_case(Kernel.SQRT, "sqrt/edges", explicit(edges), f),
        map_case(Kernel.SQRT, "sqrt/normal", ramp(2000, 0x00800001, 0x000FE5F3), f, 8),
        map_case(Kernel.SQRT, "sqrt/subnormal", ramp(256, 5, 0x00007FF1), f, 8),
        Case(Kernel.SCALE, "scale/dims", dims, []).expect(scales),
    ]


def half_cases() -> list[Case]:
    def narrow(word: int) -> int:
        return numeric.half_from_float(from_bits(word))

    def widen(word: int) -> int:
        return to_bits(numeric.float_from_half(word & 0xFFFF))

    edges = []
    for bound in (0x33000000, 0x33800000, 0x33C00000, 0x34400000, 0x387FC000, 0x387FE000, 0x38800000, 0x3F800000):
        edges += [bound + i for i in (-1, 0, 1)]  # 2^-25, 2^-24, ties among subnormals, the smallest normal, 1
    edges += [0x3F801000, 0x3F803000, 0x3F801001, 0x3F800FFF, 0x477FE000, 0x477FEFFF, 0x477FDFFF, 0, 1, 0x007FFFFF]
    edges += [0x3FFFF000, 0x3FFFEFFF, 0x38000000, 0x38001000, 0x32FFFFFF]
    edges += [word | 0x80000000 for word in edges]
    out = [
        map_case(Kernel.NARROW, "narrow/edges", explicit(edges), narrow),
        map_case(Kernel.NARROW, "narrow/subnormal", wild(512, seed_of("narrow/subnormal"), 100, 114), narrow, 8),
        map_case(Kernel.NARROW, "narrow/normal", wild(512, seed_of("narrow/normal"), 112, 141), narrow, 8),
        map_case(Kernel.WIDEN, "widen/positive", ramp(0x7C00, 0, 1), widen, 509),
        map_case(Kernel.WIDEN, "widen/negative", ramp(0x7C00, 0x8000, 1), widen, 509),
    ]
    for name, word in (
        ("tie", 0x477FF000),
        ("above", 0x477FF001),
        ("negative", 0xC77FF000),
        ("2^16", 0x47800000),
        ("largest", 0x7F7FFFFF),
        ("infinity", 0x7F800000),
    ):
        out.append(Case(Kernel.NARROW, f"narrow/beyond-{name}", [], [explicit([word])], "OVERFLOW"))
    return out


def crc_cases() -> list[Case]:
    def case(name: str, data: bytes) -> Case:
        return Case(Kernel.CRC32, name, [len(data)], [explicit(byte_words(data))]).expect([numeric.crc32(data)])

    long = uniform(517, seed_of("crc/long"), 0)
    data = b"".join(struct.pack("<I", int(w)) for w in long.words())
    return [
        case("crc/empty", b""),
        case("crc/check", b"123456789"),
        case("crc/zero", bytes(1)),
        *(case(f"crc/{n}", bytes((7 * i + 129) & 0xFF for i in range(n))) for n in (1, 3, 4, 7, 8, 15, 16, 17, 33, 64, 65)),
        Case(Kernel.CRC32, "crc/long", [len(data) - 3], [long]).expect([numeric.crc32(data[:-3])]),
    ]


def linear_cases() -> list[Case]:
    out = []
    for rows, n_in, n_out, half, bias, exponent in (
        (1, 1, 1, False, False, 0),
        (1, 1, 1, False, True, 0),
        (3, 5, 7, False, True, 0),
        (1, 16, 32, False, False, 1),
        (2, 17, 33, False, True, 3),
        (1, 64, 5, False, True, -1),
        (5, 3, 16, False, False, 0),
        (4, 9, 15, False, True, 0),
        (1, 33, 65, False, True, 2),
        (2, 8, 17, True, True, 0),
        (1, 31, 9, True, False, 1),
        (3, 7, 8, True, True, 0),
        (1, 40, 35, True, True, 0),
        (2, 12, 19, False, True, -126),
        (2, 12, 19, False, True, 62),
    ):
        name = f"linear/{rows}x{n_in}x{n_out}{'-f16' if half else ''}{'-bias' if bias else ''}-2^{exponent}"
        x = uniform(rows * n_in, seed_of(name), exponent)
        b = uniform(n_out, seed_of(name, 2), exponent)
        if half:
            raw = [numeric.half_from_float(v) for v in values(uniform(n_in * n_out, seed_of(name, 1), 0))]
            raw[: min(3, len(raw))] = [0x8000, 0x0001, 0x83FF][: min(3, len(raw))]
            w, flat = explicit(halves(raw)), [numeric.float_from_half(h) for h in raw]
        else:
            w = uniform(n_in * n_out, seed_of(name, 1), 0)
            flat = values(w)
        weight = [flat[i * n_out : (i + 1) * n_out] for i in range(n_in)]
        xs = values(x)
        y: Vector = []
        for r in range(rows):
            y += numeric.linear(xs[r * n_in : (r + 1) * n_in], weight, values(b) if bias else None)
        params = [rows, n_in, n_out, int(half), int(bias)]
        out.append(Case(Kernel.LINEAR, name, params, [x, w, b] if bias else [x, w]).expect(bits(y)))
    return out


def amplitude_cases() -> list[Case]:
    def case(name: str, iq: Sequence[int], carriers: Sequence[int] | None, status: str = "OK") -> Case:
        pairs = len(iq) // 2
        inputs = [explicit(byte_words(struct.pack(f"{len(iq)}b", *iq)))]
        picked = range(pairs) if carriers is None else carriers
        if carriers is not None:
            inputs.append(explicit(halves(carriers)))
        out = Case(Kernel.AMPLITUDE, name, [pairs, len(picked), int(carriers is not None)], inputs, status)
        if status == "OK":
            out.expect(bits([numeric.amplitude(iq[2 * c], iq[2 * c + 1]) for c in picked]))
        return out

    every = [v for i in range(-128, 128, 5) for v in (i, (i * 37 + 11) % 256 - 128)]
    edges = [0, 0, -128, -128, 127, 127, -128, 127, 3, 4, -3, -4, 1, 0, 0, -1, 1, 1, 127, 0]
    return [
        case("amplitude/edges", edges, None),
        case("amplitude/spread", every, None),
        case("amplitude/carriers", every, [5, 0, 51, 17, 17]),
        case("amplitude/carrier-beyond", every, [5, 52], "SHAPE"),
    ]


# -- pattern and attention -------------------------------------------------------------------------------------------------


def config_words(head: Head) -> list[int]:
    """The configuration block that pattern and attention cases begin with (the global tokens stand last)."""
    p = head.pattern
    wide = [n for value in (p.window, p.block_size, p.history) for n in (value & NONE, value >> 32)]
    return [
        int(p.dense),
        head.q_heads,
        head.kv_heads,
        head.head_dim,
        *wide,
        int(p.causal),
        int(p.log_stride),
        int(p.landmarks),
        len(p.globals_),
    ]


def pattern_case(name: str, p: Pattern, length: int, queries: Sequence[int], edges_length: int = 0) -> Case:
    out: list[int] = []
    for i in queries:
        seen, landmarks = pattern.tokens(p, i, length), pattern.blocks(p, i, length)
        out += [len(seen), *seen, len(landmarks), *landmarks]
    edges = pattern.edges(p, edges_length)
    out += [edges & NONE, edges >> 32]
    params = [*config_words(Head(1, 1, 1, p)), length, edges_length, len(queries), *queries, *p.globals_]
    return Case(Kernel.PATTERN, name, params, []).expect(out)


def pattern_cases() -> list[Case]:
    base = Pattern()
    both = replace(base, causal=False)
    return [
        pattern_case("pattern/default", base, 200, (0, 1, 15, 16, 31, 32, 33, 34, 100, 199), 120),
        pattern_case("pattern/noncausal", both, 200, (0, 15, 16, 100, 199), 90),
        pattern_case("pattern/long", base, 20001, (20000, 16383), 5),
        pattern_case("pattern/long-noncausal", both, 20001, (0, 10000), 1),
        pattern_case("pattern/history", replace(base, history=40, globals_=(0, 3, 60, 5000)), 150, (39, 40, 41, 70, 149), 100),
        pattern_case("pattern/history-1", replace(base, history=1), 50, (0, 1, 15, 31, 49), 50),
        pattern_case("pattern/history-noncausal", replace(both, history=20), 90, (0, 30, 47, 89), 60),
        pattern_case("pattern/window-0", replace(base, window=0, block_size=5), 64, (0, 4, 5, 9, 63), 64),
        pattern_case("pattern/window-2^40", replace(base, window=HUGE, block_size=32), 70, (0, 31, 69), 70),
        pattern_case("pattern/window-unlimited", replace(both, window=UNLIMITED), 40, (0, 20, 39), 40),
        pattern_case("pattern/window-only", replace(base, log_stride=False, landmarks=False, globals_=()), 90, (0, 32, 89), 90),
        pattern_case("pattern/block-1", replace(base, window=2, block_size=1), 60, (0, 1, 2, 59), 60),
        pattern_case("pattern/block-2^40", replace(base, window=2, block_size=HUGE), 60, (0, 59), 60),
        pattern_case("pattern/dense", replace(base, dense=True), 40, (0, 39), 40),
        pattern_case("pattern/dense-history", replace(both, dense=True, history=9), 40, (0, 8, 9, 39), 40),
    ]


def tensor(flat: Vector, tokens: int, heads: int, dim: int) -> Tensor:
    """[tokens][heads][dim]."""
    row = heads * dim
    return [[flat[t * row + h * dim : t * row + (h + 1) * dim] for h in range(heads)] for t in range(tokens)]


def attention_case(
    name: str,
    head: Head,
    tokens: int,
    *,
    q: Callable[[int, int], Input] | None = None,
    k: Callable[[int, int], Input] | None = None,
    v: Callable[[int, int], Input] | None = None,
    half: bool = False,
    capacity: int = 0,
    ring: bool = False,
    modes: int = 0,
    poison_at: int = NONE,
    save_at: int = NONE,
    stride: int = 1,
) -> Case:
    """One attention case. q, k, v make an input from (count, seed); default: uniform, scores of a few units.

    `capacity` without `ring` is one a stream must not exceed; the case then ends with what step says.
    """
    name = "attention/" + name
    dim, p = head.head_dim, head.pattern
    spread = 1 if dim > 8 else 2
    default = (
        lambda n, s: uniform(n, s, spread),
        lambda n, s: uniform(n, s, 0),
        lambda n, s: uniform(n, s, 0),
    )
    counts = (tokens * head.q_heads * dim, tokens * head.kv_heads * dim, tokens * head.kv_heads * dim)
    makers = [given or made for given, made in zip((q, k, v), default, strict=True)]
    inputs = [make(n, seed_of(name, i)) for i, (make, n) in enumerate(zip(makers, counts, strict=True))]
    tq = tensor(values(inputs[0]), tokens, head.q_heads, dim)
    tk, tv = (tensor(values(i), tokens, head.kv_heads, dim) for i in inputs[1:])
    streams = p.causal and not p.dense
    if not modes:
        modes = FORWARD | SPLIT | (STREAMING if streams else 0)
    status, rows = "OK", []
    try:
        if streams:
            cache = attention.Cache(head, capacity or tokens, half=half, ring=ring)
            for t in range(tokens):
                rows.append(cache.step(tq[t], tk[t], tv[t]))
        else:
            rows = attention.forward(head, tq, tk, tv, half=half)
    except Refused as refused:
        status = refused.status
        modes &= ~(APPEND | RESET)  # these take some tokens in another way first
    if modes & FORWARD and status == "OK":
        seen = p.with_capacity(capacity) if capacity else p
        again = attention.forward(replace(head, pattern=seen), tq, tk, tv, half=half)
        if _flat(again) != _flat(rows):
            raise AssertionError(f"{name}: the reference's forward and step differ")
    params = [*config_words(head), tokens, int(half), capacity, int(ring), modes, poison_at, save_at, *p.globals_]
    return Case(Kernel.ATTENTION, name, params, inputs, status).expect(_flat(rows), stride)


def _flat(rows: Tensor) -> list[int]:
    return [to_bits(x) for row in rows for vector in row for x in vector]


def length_cases() -> list[Case]:
    out = []
    for tokens in (1, 2, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 34, 47, 48, 49, 63, 64, 65, 66, 97):
        for causal in (True, False):
            head = Head(2, 1, 3, Pattern(causal=causal))
            out.append(attention_case(f"length-{tokens}{'' if causal else '-noncausal'}", head, tokens, stride=5))
    out.append(attention_case("length-0", Head(2, 1, 3), 0, modes=FORWARD | SPLIT | STEP | PREFILL))
    out.append(attention_case("length-300", Head(1, 1, 2, Pattern(window=9, block_size=4)), 300, stride=5))
    noncausal = Pattern(window=9, block_size=4, causal=False)
    out.append(attention_case("length-210-noncausal", Head(1, 1, 2, noncausal), 210, stride=5))
    return out


def switch_cases() -> list[Case]:
    changes: dict[str, dict[str, object]] = {
        "default": {},
        "no-stride": {"log_stride": False},
        "no-landmarks": {"landmarks": False},
        "window-only": {"log_stride": False, "landmarks": False},
        "globals-none": {"globals_": ()},
        "globals-several": {"globals_": (0, 7, 20, 33)},
        "globals-middle": {"globals_": (21,), "window": 3},
        "globals-beyond": {"globals_": (2, 5000, 4000000000)},
        "window-0": {"window": 0},
        "window-0-alone": {"window": 0, "log_stride": False, "landmarks": False, "globals_": ()},
        "window-1": {"window": 1},
        "window-7": {"window": 7},
        "window-15": {"window": 15},
        "window-16": {"window": 16},
        "window-2^40": {"window": HUGE},
        "window-unlimited": {"window": UNLIMITED},
        "window-all-no-landmarks": {"window": UNLIMITED, "landmarks": False},
        "block-1": {"block_size": 1, "window": 4},
        "block-5": {"block_size": 5, "window": 4},
        "block-16": {"block_size": 16, "window": 4},
        "block-32": {"block_size": 32, "window": 4},
        "block-2^40": {"block_size": HUGE, "window": 4},
        "history-1": {"history": 1},
        "history-2": {"history": 2, "block_size": 1, "window": 4},
        "history-16": {"history": 16},
        "history-17": {"history": 17},
        "history-33": {"history": 33, "globals_": (0, 3, 11)},
        "history-40": {"history": 40, "block_size": 5, "window": 6},
        "history-2^40": {"history": HUGE},
    }
    out = []
    for name, change in changes.items():
        for causal in (True, False):
            p = replace(Pattern(causal=causal), **change)  # type: ignore[arg-type]
            out.append(attention_case(f"{name}{'' if causal else '-noncausal'}", Head(2, 1, 4, p), 57, stride=5))
    return out


def shape_cases() -> list[Case]:
    out = []
    small = Pattern(window=6, block_size=4)
    for dim in (1, 3, 8, 17, 32, 64):
        tokens = 25 if dim < 32 else 18  # a chip has to hold all of it
        for q_heads, kv_heads in ((1, 1), (2, 2) if dim == 64 else (4, 4), (4, 2), (4, 1)):
            head = Head(q_heads, kv_heads, dim, small)
            out.append(attention_case(f"heads-{q_heads}-{kv_heads}-dim-{dim}", head, tokens, stride=11))
        head = Head(3, 1, dim, replace(small, causal=False))
        out.append(attention_case(f"heads-3-1-dim-{dim}-noncausal", head, tokens, stride=11))
    for q_heads, kv_heads in ((6, 3), (5, 1), (8, 2), (3, 3), (9, 1)):
        out.append(attention_case(f"heads-{q_heads}-{kv_heads}-dim-5", Head(q_heads, kv_heads, 5, small), 21, stride=7))
    out.append(attention_case("reference-shape", Head(), 49, stride=13))
    out.append(attention_case("reference-shape-f16", Head(), 34, half=True, stride=13))
    return out


def dense_cases() -> list[Case]:
    out = []
    for tokens in (1, 16, 33, 50):
        for causal in (True, False):
            p = Pattern(dense=True, causal=causal)
            out.append(attention_case(f"dense-{tokens}{'' if causal else '-noncausal'}", Head(4, 2, 5, p), tokens, stride=5))
    for causal in (True, False):
        p = Pattern(dense=True, causal=causal, history=11, globals_=())
        out.append(attention_case(f"dense-history{'' if causal else '-noncausal'}", Head(2, 2, 3, p), 40, stride=3))
    return out


def value_cases() -> list[Case]:
    small = Pattern(window=5, block_size=4)
    head, out = Head(2, 1, 4, small), []

    def scaled(exponent: int) -> Callable[[int, int], Input]:
        return lambda n, s: uniform(n, s, exponent)

    def wilder(low: int, high: int) -> Callable[[int, int], Input]:
        return lambda n, s: wild(n, s, low, high)

    for name, q, k, v in (
        ("v-subnormal", scaled(1), scaled(0), scaled(-126)),
        ("v-tiny", scaled(1), scaled(0), wilder(0, 30)),
        ("v-large", scaled(1), scaled(0), scaled(120)),
        ("v-wild", scaled(1), scaled(0), wilder(0, 246)),
        ("scores-subnormal", scaled(-70), scaled(-70), scaled(0)),
        ("scores-underflow", scaled(-80), scaled(-80), scaled(0)),
        ("scores-steep", scaled(5), scaled(3), scaled(0)),
        ("scores-at-c0", scaled(4), scaled(4), scaled(0)),
        ("scores-huge", scaled(60), scaled(60), scaled(0)),
        ("scores-wild", wilder(60, 190), wilder(60, 190), scaled(0)),
        ("all-subnormal", scaled(-126), scaled(-126), scaled(-126)),
        ("zeros", scaled(0), lambda n, s: ramp(n, 0, 0), lambda n, s: ramp(n, 0x80000000, 0)),
        ("equal-keys", scaled(1), lambda n, s: ramp(n, 0x3F800000, 0), scaled(0)),
    ):
        for causal in (True, False):
            h = replace(head, pattern=replace(small, causal=causal))
            out.append(attention_case(f"{name}{'' if causal else '-noncausal'}", h, 22, q=q, k=k, v=v, stride=3))

    def patched(exponent: int, changes: dict[int, int]) -> Callable[[int, int], Input]:
        def make(n: int, s: int) -> Input:
            words = uniform(n, s, exponent).words().copy()
            for index, word in changes.items():
                words[index] = word
            return explicit(words)

        return make

    plain = Head(1, 1, 2, Pattern(window=3, block_size=4, landmarks=False))
    marks = Head(1, 1, 2, Pattern(window=3, block_size=4))
    big, inf, nan = 0x7F000000, 0x7F800000, 0x7FC00000
    # A score of minus infinity has weight +0; token 1's key is far away for every query.
    out.append(
        attention_case(
            "score-minus-infinity",
            plain,
            9,
            q=lambda n, s: ramp(n, 0x7F000000, 0),
            k=patched(-125, {2: 0xFF000000, 3: 0xFF000000}),
            stride=1,
        )
    )
    out.append(attention_case("score-plus-infinity", plain, 9, q=lambda n, s: ramp(n, big, 0), k=patched(-125, {10: big})))
    out.append(attention_case("sum-of-block", marks, 9, v=patched(0, {5: 0x7F7FFFFF, 7: 0x7F7FFFFF})))
    out.append(attention_case("k-infinite", plain, 9, k=patched(0, {8: inf})))
    out.append(attention_case("v-nan", plain, 9, v=patched(0, {9: nan})))
    out.append(attention_case("q-nan", plain, 9, q=patched(0, {17: nan | 0x80000000})))
    out.append(attention_case("f16-range", marks, 9, half=True, v=patched(0, {11: 0x477FF000})))
    out.append(attention_case("f16-largest", marks, 9, half=True, v=patched(0, {11: 0x477FEFFF}), k=patched(0, {3: 0x33000001})))
    out.append(attention_case("f16-subnormal", head, 20, half=True, v=lambda n, s: wild(n, s, 100, 114), stride=3))
    return out


def stream_cases() -> list[Case]:
    out = []
    small = Pattern(window=5, block_size=4)
    for capacity in (1, 2, 3, 7, 16, 33):
        for half in (False, True):
            name = f"ring-{capacity}{'-f16' if half else ''}"
            case = attention_case(name, Head(2, 1, 3, small), 110, half=half, capacity=capacity, ring=True, save_at=61, stride=7)
            out.append(case)
    reference = Head(2, 1, 4, Pattern())
    for half in (False, True):
        tail = "-f16" if half else ""
        out.append(attention_case(f"ring-reference{tail}", reference, 230, half=half, capacity=48, ring=True, stride=17))
        p = replace(small, globals_=(0, 2, 9), history=12)
        out.append(attention_case(f"ring-history{tail}", Head(2, 2, 2, p), 70, half=half, capacity=20, ring=True, save_at=40, stride=5))
        p = replace(small, block_size=1, window=2)
        out.append(attention_case(f"ring-block-1{tail}", Head(1, 1, 2, p), 90, half=half, capacity=11, ring=True, stride=3))
        out.append(attention_case(f"fits{tail}", Head(2, 1, 3, small), 40, half=half, capacity=40, save_at=17, stride=3))
    p = replace(small, window=UNLIMITED)
    out.append(attention_case("ring-window-unlimited", Head(2, 1, 2, p), 80, capacity=13, ring=True, stride=3))
    p = replace(small, landmarks=False, globals_=())
    out.append(attention_case("ring-tokens-only", Head(2, 1, 2, p), 80, capacity=13, ring=True, stride=3))
    p = replace(small, log_stride=False)
    out.append(attention_case("ring-no-stride", Head(2, 1, 2, p), 80, capacity=13, ring=True, stride=3))
    streaming = STEP | PREFILL
    out.append(attention_case("full", Head(2, 1, 3, small), 12, capacity=11, modes=streaming, stride=1))
    out.append(attention_case("poisoned", Head(2, 1, 3, small), 30, poison_at=13, modes=STEP, stride=2))
    out.append(attention_case("poisoned-ring", Head(2, 1, 3, small), 50, capacity=9, ring=True, poison_at=37, modes=STEP, stride=3))
    return out


def cache_state_cases() -> list[Case]:
    out = []
    small = Pattern(window=5, block_size=4)
    for name, head, tokens, capacity, half, ring in (
        ("empty", Head(2, 1, 3, small), 0, 20, False, False),
        ("some", Head(2, 1, 3, small), 10, 20, False, False),
        ("full-f16", Head(2, 2, 3, small), 21, 21, True, False),
        ("ring", Head(2, 1, 3, replace(small, globals_=(0, 2, 50))), 47, 20, False, True),
        ("ring-f16", Head(2, 1, 5, replace(small, history=12, log_stride=False)), 38, 20, True, True),
        ("before-block-end", Head(1, 1, 2, small), 39, 16, False, True),
        ("after-block-end", Head(1, 1, 2, small), 40, 16, False, True),
        ("no-landmarks", Head(1, 1, 3, replace(small, landmarks=False)), 9, 6, False, True),
        ("reference", Head(4, 1, 4, Pattern()), 70, 48, False, True),
    ):
        name = "state/" + name
        cache = attention.Cache(head, capacity, half=half, ring=ring)
        kv_row, q_row = head.kv_heads * head.head_dim, head.q_heads * head.head_dim
        inputs = [uniform(tokens * n, seed_of(name, i), 0) for i, n in enumerate((q_row, kv_row, kv_row))]
        tq, tk, tv = (
            tensor(values(source), tokens, heads, head.head_dim)
            for source, heads in zip(inputs, (head.q_heads, head.kv_heads, head.kv_heads), strict=True)
        )
        for t in range(tokens):
            cache.step(tq[t], tk[t], tv[t])
        params = [*config_words(head), tokens, int(half), capacity, int(ring), 0, NONE, NONE, *head.pattern.globals_]
        words = byte_words(state.save_cache(cache, head))
        out.append(Case(Kernel.CACHE_STATE, name, params, inputs).expect(words))
    return out


def block_mean_cases() -> list[Case]:
    out = []
    for block, tokens, causal, exponent in (
        (1, 3, True, 0),
        (3, 10, True, 0),
        (4, 8, True, 0),
        (5, 19, False, 0),
        (16, 40, False, 2),
        (7, 30, True, -126),
        (7, 30, True, 120),
        (32, 31, False, 0),
    ):
        name = f"block-mean/{block}-of-{tokens}{'' if causal else '-noncausal'}-2^{exponent}"
        head = Head(1, 2, 3, Pattern(block_size=block, causal=causal))
        head = replace(head, q_heads=2)
        inputs = [uniform(tokens * 6, seed_of(name, i), exponent) for i in range(2)]
        blocks = tokens // block if causal else -(-tokens // block)
        words: list[int] = []
        with np.errstate(all="ignore"):
            for source in inputs:
                rows = tensor(values(source), tokens, 2, 3)
                for b in range(blocks):
                    for g in range(2):
                        words += bits(attention.block_mean([row[g] for row in rows[b * block : (b + 1) * block]]))
        out.append(Case(Kernel.BLOCK_MEAN, name, [*config_words(head), tokens, *head.pattern.globals_], inputs).expect(words))
    return out


def gather_cases() -> list[Case]:
    out = []
    for n, stored, half, group, dim in (
        (1, 1, False, 1, 1),
        (3, 2, False, 1, 3),
        (4, 4, False, 2, 4),
        (5, 5, False, 4, 8),
        (8, 6, False, 3, 17),
        (9, 7, False, 4, 32),
        (15, 15, False, 1, 33),
        (16, 12, False, 8, 4),
        (17, 13, False, 2, 64),
        (40, 36, False, 4, 32),
        (7, 5, True, 1, 5),
        (16, 16, True, 4, 8),
        (18, 13, True, 3, 7),
        (41, 37, True, 4, 32),
        (33, 0, True, 2, 16),
    ):
        name = f"gather/{n}-{stored}{'-f16' if half else ''}-{group}x{dim}"
        q, k, v = (uniform(c * dim, seed_of(name, i), e) for i, (c, e) in enumerate(((group, 1), (n, 0), (n, 0))))
        rows = [[values(s)[r * dim : (r + 1) * dim] for r in range(s.count // dim)] for s in (q, k, v)]
        if half:
            for row in rows[1:]:
                row[:stored] = [numeric.through_half(x) for x in row[:stored]]
        scale = numeric.scale_of(dim)
        words = [w for query in rows[0] for w in bits(attention.attend(query, rows[1], rows[2], scale))]
        params = [n, stored, int(half), group, dim, to_bits(scale)]
        out.append(Case(Kernel.GATHER, name, params, [q, k, v]).expect(words, 3 if len(words) > 40 else 1))
    return out


# -- blobs and models ----------------------------------------------------------------------------------------------------------


class Weights:
    """Numbers for a blob: element bytes for matrices, binary32 for the rest."""

    def __init__(self, name: str, half: bool) -> None:
        self.name, self.half, self.drawn = name, half, 0

    def _draw(self, count: int, exponent: int) -> Vector:
        self.drawn += 1
        return values(uniform(count, seed_of(self.name, 1000 + self.drawn), exponent))

    def vector(self, count: int, exponent: int = -1, offset: float = 0.0) -> bytes:
        return struct.pack(f"<{count}I", *bits([x + np.float32(offset) for x in self._draw(count, exponent)]))

    def matrix(self, count: int, exponent: int = -1) -> bytes:
        drawn = self._draw(count, exponent)
        if self.half:
            return struct.pack(f"<{count}H", *[numeric.half_from_float(x) for x in drawn])
        return struct.pack(f"<{count}I", *bits(drawn))


def sections_of(name: str, h: rvne.Header, w: int, wanted: Sequence[int], p: Pattern) -> dict[int, bytes]:
    """Payloads of the wanted sections."""
    u32, weights = rvne.words, Weights(name, bool(h.flags & rvne.BINARY16))
    q, kv, layers = h.n_q_heads * h.head_dim, h.n_kv_heads * h.head_dim, range(h.n_layers)
    hidden, taps, embed = 9, 3, 5
    names = b"".join(f"class {c}\0".encode() for c in range(h.n_classes))
    made: dict[int, Callable[[], bytes]] = {
        rvne.PATTERN: lambda: rvne.pattern_payload(p),
        rvne.CARRIERS: lambda: u32([64]) + struct.pack(f"<{h.input_dim}H", *range(3, 3 + h.input_dim)),
        rvne.GAIN: lambda: u32([1]),
        rvne.NORMALISATION: lambda: weights.vector(h.input_dim, -1, 1.0) + weights.vector(h.input_dim, 0, 1.5),
        rvne.PROJECTION: lambda: weights.vector(w) + weights.matrix(h.input_dim * w),
        rvne.NORM: lambda: u32([0x3727C5AC]) + weights.vector(w * (h.n_layers + 1), -2, 1.0),
        rvne.CONVOLUTION: lambda: u32([taps]) + b"".join(weights.vector(w) + weights.vector(taps * w, 0) for _ in layers),
        rvne.BIAS: lambda: b"".join(weights.vector(q + 2 * kv + w) for _ in layers) + weights.vector(h.n_classes),
        rvne.FEED_FORWARD: lambda: u32([hidden])
        + b"".join(weights.vector(w, -2, 1.0) + weights.vector(hidden) + weights.vector(w) for _ in layers)
        + b"".join(weights.matrix(w * hidden) + weights.matrix(hidden * w) for _ in layers),
        rvne.POOLING: lambda: u32([1, 4]),
        rvne.EMBEDDING: lambda: u32([embed]) + weights.vector(embed) + weights.matrix(w * embed),
        rvne.CLASS_NAMES: lambda: names,
        rvne.FRAME_RATE: lambda: u32([0x42C80000]),
        rvne.PROVENANCE: lambda: "golden – made by rule".encode(),
        rvne.STEM: lambda: u32([5, 1]) + weights.vector(w) + weights.vector(5 * w, 0),
    }
    return {number: made[number]() for number in wanted}


def blob_of(name: str, h: rvne.Header, width: int = 0, sections: Sequence[int] = (), p: Pattern | None = None) -> bytes:
    """A blob with weights by rule. `sections` turns the extension on."""
    w = width or h.input_dim
    weights = Weights(name + "/core", bool(h.flags & rvne.BINARY16))
    core = b"".join(weights.matrix(r * c, 0 if r < 12 else -1) for r, c in h.core_shapes(w))
    return rvne.build(h, core, w, sections_of(name, h, w, sections, p or Pattern()))


def model_case(
    name: str,
    blob: bytes,
    frames: Input,
    runs: Sequence[tuple[int, bool]],
    stride: int = 1,
) -> Case:
    """Frames through a model, once for every (capacity, binary16 cache)."""
    parsed = rvne.parse(blob)
    flat, n = values(frames), parsed.header.input_dim
    words: list[int] = []
    statuses = []
    for capacity, half in runs:
        stream, status = model.Stream(parsed, capacity, half=half), "OK"
        try:
            for t in range(len(flat) // n):
                logits, embedding = stream.push(flat[t * n : (t + 1) * n])
                words += bits(logits) + bits(embedding or [])
        except Refused as refused:
            status = refused.status
        statuses.append(status)
    if len(set(statuses)) != 1 or (statuses[0] != "OK" and len(runs) != 1):
        raise AssertionError(f"{name}: one status a case, one run when it is an error")
    embed = len(parsed.embedding_bias or [])
    params = [len(blob), len(flat) // n, n, parsed.header.n_classes, embed, len(runs)]
    params += [word for capacity, half in runs for word in (capacity, int(half))]
    case = Case(Kernel.MODEL, "model/" + name, params, [explicit(byte_words(blob)), frames], statuses[0])
    return case.expect(words, stride)


def model_cases() -> list[Case]:
    out = []
    both = ((7, False), (7, True), (100, False))
    reference = rvne.Header(16, 4, 1, 32, 2, 4)
    frames = uniform(16 * 40, seed_of("frames/reference"), 0)
    out.append(model_case("reference-shape", blob_of("reference", reference), frames, ((100, False), (20, True)), 3))

    tiny = rvne.Header(5, 3, 1, 3, 1, 3)
    tiny_frames = uniform(5 * 50, seed_of("frames/tiny"), 1)
    out.append(model_case("plain", blob_of("plain", tiny), tiny_frames, both, 5))
    half = replace(tiny, flags=rvne.BINARY16)
    out.append(model_case("plain-f16", blob_of("plain-f16", half), tiny_frames, both, 5))

    full = rvne.Header(7, 4, 2, 5, 2, 3, flags=rvne.EXTENSION)
    every = tuple(range(1, 16))
    p = Pattern(window=6, block_size=4, history=20, globals_=(0, 3))
    full_frames = uniform(7 * 45, seed_of("frames/full"), 1)
    out.append(model_case("every-section", blob_of("every", full, 6, every, p), full_frames, ((10, False), (10, True), (64, False)), 7))
    full16 = replace(full, flags=rvne.EXTENSION | rvne.BINARY16)
    out.append(model_case("every-section-f16", blob_of("every-f16", full16, 6, every, p), full_frames, ((10, False), (64, True)), 7))

    alone = replace(tiny, flags=rvne.EXTENSION)
    for name, sections in (
        ("extension-empty", ()),
        ("pattern", (rvne.PATTERN,)),
        ("gain", (rvne.GAIN,)),
        ("normalisation", (rvne.NORMALISATION,)),
        ("projection", (rvne.PROJECTION,)),
        ("norm", (rvne.NORM,)),
        ("convolution", (rvne.CONVOLUTION,)),
        ("bias", (rvne.BIAS,)),
        ("stem", (rvne.STEM,)),
        ("feed-forward", (rvne.NORM, rvne.FEED_FORWARD)),
        ("pooling", (rvne.POOLING,)),
        ("embedding", (rvne.EMBEDDING,)),
    ):
        narrow = replace(p, window=2, log_stride=False)
        blob = blob_of(name, alone, 0, sections, narrow)
        out.append(model_case(name, blob, uniform(5 * 24, seed_of("frames/" + name), 1), ((64, False),), 3))
    # An odd number of halves before the extension: the padding.
    odd = rvne.Header(3, 1, 1, 1, 1, 3, flags=rvne.EXTENSION | rvne.BINARY16)
    out.append(model_case("padding", blob_of("padding", odd, 0, (rvne.GAIN,)), uniform(3 * 20, 77, 1), ((5, False),)))

    calm = {rvne.STEM: rvne.words([3, 0]) + Weights("calm", False).vector(5 * 4, 0)}
    calm_blob = rvne.build(alone, blob_of("plain", tiny)[24:-4], 5, calm)
    out.append(model_case("stem-without-activation", calm_blob, uniform(5 * 20, 76, 1), ((64, False),), 3))

    zeros = [0] * 5 + [0x00000001] * 5 + [0x80000000] * 5 + bits(values(uniform(10, 78, 0)))
    out.append(model_case("gain-of-nothing", blob_of("gain", alone, 0, (rvne.GAIN,)), explicit(zeros), ((64, False),)))
    silent = blob_of("silent", alone, 0, (rvne.EMBEDDING,))
    out.append(model_case("frames-subnormal", silent, uniform(5 * 20, 79, -126), ((64, False),), 3))
    zero_embedding = _zero_embedding(alone)
    out.append(model_case("embedding-zero", zero_embedding, explicit([0] * 15), ((64, False),)))

    large = tiny_frames.words()[: 5 * 12].copy()
    large[5 * 9 + 2] = 0x7F7FFFFF
    out.append(model_case("overflow", blob_of("plain", tiny), explicit(large), ((64, False),)))
    large[5 * 9 + 2] = 0x7F800000
    out.append(model_case("frame-infinite", blob_of("plain", tiny), explicit(large), ((64, False),)))
    large[5 * 9 + 2] = 0x4A000000
    out.append(model_case("f16-range", blob_of("plain", tiny), explicit(large), ((64, True),)))
    return out


def _zero_embedding(h: rvne.Header) -> bytes:
    """An embedding of zeros keeps its zeros."""
    core = Weights("zero", False)
    arrays = b"".join(core.matrix(r * c) for r, c in h.core_shapes(h.input_dim))
    return rvne.build(h, arrays, h.input_dim, {rvne.EMBEDDING: rvne.words([2]) + bytes(4 * 2 + 4 * 2 * h.input_dim)})


def stream_state_cases() -> list[Case]:
    """One run, and the bytes of the stream after the last frame."""
    out = []
    plain = rvne.Header(5, 3, 1, 3, 1, 3)
    full = rvne.Header(7, 4, 2, 5, 2, 3, flags=rvne.EXTENSION | rvne.BINARY16)
    p = Pattern(window=4, block_size=3, history=9, globals_=(0, 3))
    for name, blob, frames, capacity, half in (
        ("plain", blob_of("plain", plain), 19, 12, False),
        ("every-section", blob_of("every-f16", full, 6, tuple(range(1, 16)), p), 25, 30, True),
        ("first-frame", blob_of("every-f16", full, 6, tuple(range(1, 16)), p), 1, 30, False),
    ):
        parsed = rvne.parse(blob)
        n = parsed.header.input_dim
        source = uniform(n * frames, seed_of("stream-state/" + name), 1)
        flat, stream = values(source), model.Stream(parsed, capacity, half=half)
        for t in range(frames):
            answer = stream.push(flat[t * n : (t + 1) * n])
        embed = len(parsed.embedding_bias or [])
        params = [len(blob), frames, n, parsed.header.n_classes, embed, 1, capacity, int(half)]
        words = byte_words(state.save_stream(stream, blob, capacity, frames, answer))
        case = Case(Kernel.STREAM_STATE, "stream-state/" + name, params, [explicit(byte_words(blob)), source])
        out.append(case.expect(words))
    return out


def blob_cases() -> list[Case]:
    """What opening a blob answers."""
    tiny = rvne.Header(3, 2, 1, 2, 1, 2)
    plain = blob_of("open", tiny)
    ext = replace(tiny, flags=rvne.EXTENSION)
    every = blob_of("open-every", ext, 4, tuple(range(1, 16)))
    core = plain[24:-4]

    def reseal(data: bytearray) -> bytes:
        return bytes(data[:-4]) + struct.pack("<I", numeric.crc32(bytes(data[:-4])))

    def patched(data: bytes, at: int, new: bytes, sealed: bool = True) -> bytes:
        changed = bytearray(data)
        changed[at : at + len(new)] = new
        return reseal(changed) if sealed else bytes(changed)

    def section(number: int, payload: bytes, width: int = 3) -> bytes:
        return rvne.build(ext, core, width, {number: payload})

    u32 = rvne.words
    nan, inf = struct.pack("<I", 0x7FC00000), struct.pack("<I", 0xFF800000)
    damaged: dict[str, bytes] = {
        "good": plain,
        "good-every": every,
        "short": plain[:27],
        "magic": patched(plain, 0, b"ENVS", False),
        "version": patched(plain, 4, b"\2\0", False),
        "length": plain[:-1],
        "crc": patched(plain, 30, bytes([plain[30] ^ 1]), False),
        "flags": patched(plain, 6, b"\4"),
        "reserved": patched(plain, 7, b"\1"),
        "input-dim-0": patched(plain, 8, b"\0\0"),
        "heads-not-divided": patched(plain, 12, b"\3\0"),
        "layers-0": patched(plain, 16, b"\0\0"),
        "classes-1": patched(plain, 18, b"\1\0"),
        "weights-len": rvne.seal(tiny, core + bytes(4)),
        "weight-nan": patched(plain, 24, nan),
        "weight-infinite": patched(plain, 28, inf),
        "footer-magic": patched(every, len(every) - 8, b"EXT2"),
        "footer-version": patched(every, len(every) - 10, b"\2\0"),
        "footer-length": patched(every, len(every) - 16, b"\0\0\0\x7f"),
        "section-unknown": section(16, b""),
        "section-zero": section(0, b""),
        "pattern-block-0": section(rvne.PATTERN, u32([32, 0, 0, 3, 0])),
        "pattern-switches": section(rvne.PATTERN, u32([32, 16, 0, 4, 0])),
        "pattern-globals-descend": section(rvne.PATTERN, u32([32, 16, 0, 3, 2, 5, 5])),
        "pattern-globals-cut": section(rvne.PATTERN, u32([32, 16, 0, 3, 2, 5])),
        "pattern-globals-many": section(rvne.PATTERN, u32([32, 16, 0, 3, 0xFFFFFFFF])),
        "carrier-beyond": section(rvne.CARRIERS, u32([2]) + struct.pack("<3H", 0, 1, 2)),
        "gain-kind": section(rvne.GAIN, u32([2])),
        "norm-eps-0": section(rvne.NORM, bytes(4) + bytes(4 * 6)),
        "norm-long": section(rvne.NORM, u32([0x3727C5AC]) + bytes(4 * 7)),
        "taps-0": section(rvne.CONVOLUTION, u32([0]) + bytes(12)),
        "taps-65": section(rvne.CONVOLUTION, u32([65]) + bytes(4 * 3 * 66)),
        "stem-activation": section(rvne.STEM, u32([1, 2]) + bytes(24)),
        "stem-taps-0": section(rvne.STEM, u32([0, 0]) + bytes(12)),
        "feed-forward-without-norm": section(rvne.FEED_FORWARD, u32([1]) + bytes(4 * (3 + 1 + 3 + 3 + 3))),
        "pooling-newest-of-2": section(rvne.POOLING, u32([0, 2])),
        "pooling-of-0": section(rvne.POOLING, u32([1, 0])),
        "embedding-0": section(rvne.EMBEDDING, u32([0])),
        "names-one-missing": section(rvne.CLASS_NAMES, b"only\0"),
        "names-unended": section(rvne.CLASS_NAMES, b"one\0two"),
        "frame-rate-negative": section(rvne.FRAME_RATE, u32([0xC2C80000])),
        "mean-nan": section(rvne.NORMALISATION, nan + bytes(20)),
        "text-not-utf8": section(rvne.PROVENANCE, b"\xff"),
        "width-without-projection": rvne.build(ext, bytes(len(core) + 4 * (4 + 2 + 2 + 4 + 2)), 4, {}),
    }
    out = []
    for name, data in damaged.items():
        try:
            rvne.parse(data)
            status = "OK"
        except Refused as refused:
            status = refused.status
        if (status == "OK") != name.startswith("good"):
            raise AssertionError(f"blob/{name}: {status}")
        out.append(Case(Kernel.BLOB_OPEN, "blob/" + name, [len(data)], [explicit(byte_words(data))], status))
    for name, header, weights in (
        ("plain", tiny, core),
        ("f16", replace(tiny, flags=rvne.BINARY16), struct.pack("<38H", *range(38))),
    ):
        blob = rvne.seal(header, weights)
        h = header
        params = [h.flags, h.input_dim, h.n_q_heads, h.n_kv_heads, h.head_dim, h.n_layers, h.n_classes, len(weights)]
        out.append(Case(Kernel.BLOB_WRITE, f"blob-write/{name}", params, [explicit(byte_words(weights))]).expect(byte_words(blob)))
    return out


FLOAT_OUTPUTS = set(Kernel) - {Kernel.NARROW, Kernel.CRC32, Kernel.PATTERN, Kernel.BLOB_WRITE, Kernel.CACHE_STATE, Kernel.STREAM_STATE}

FILES: dict[str, tuple[Callable[[], list[Case]], ...]] = {
    "kernels": (exp_cases, root_cases, half_cases, crc_cases, linear_cases, amplitude_cases, gather_cases, block_mean_cases),
    "attention": (pattern_cases, length_cases, switch_cases, shape_cases, dense_cases, value_cases, stream_cases, cache_state_cases),
    "model": (blob_cases, model_cases, stream_state_cases),
}


def make(which: str) -> bytes:
    """The bytes of one golden file."""
    cases = [case for group in FILES[which] for case in group()]
    names = [case.name for case in cases]
    if len(set(names)) != len(names):
        raise AssertionError(f"{which}: two cases of one name")
    for case in cases:
        if case.kernel in FLOAT_OUTPUTS and any(w & 0x7FFFFFFF > 0x7F800000 for w in case.stored):
            raise AssertionError(f"{case.name}: NaN bits are no part of the contract")
    return encode(cases)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", default=list(FILES), help="kernels, attention, model")
    parser.add_argument("--check", action="store_true", help="compare with the committed files instead of writing them")
    arguments = parser.parse_args()
    folder = Path(__file__).resolve().parent.parent / "tests" / "golden"
    wrong = 0
    for which in arguments.files:
        data, path = make(which), folder / f"{which}.agv"
        same = path.exists() and path.read_bytes() == data
        if not arguments.check:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        elif not same:
            wrong += 1
        print(f"{path.name}: {len(decode(data))} cases, {len(data)} bytes{'' if same else ', changed'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
