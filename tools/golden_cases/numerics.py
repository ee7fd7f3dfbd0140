"""Single operations: exp, roots, binary16, CRC, linear layers, amplitudes, block means, one query."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from reference import Rejected, attention, numeric
from reference.attention import Head
from reference.golden_file import STATUS, Case, Input, Kernel, explicit, ramp, uniform, wild
from reference.numeric import Vector, from_bits, to_bits
from reference.pattern import Pattern
from reference.resample import Clock, Resampler

from .common import (
    bits,
    byte_words,
    config_words,
    halves,
    seed_of,
    tensor,
    values,
)

# Arguments at which some constant of exp, one unit in the last place larger or smaller, gives another result.
EXP_SENSITIVE = [
    0xC08B4DB0,
    0xC08CA22E,
    0xC08EF951,
    0xC090DADF,
    0xC0A19560,
    0xC0B550FA,
    0xC0FF1103,
    0xC0FF1401,
    0xC11EFE62,
    0xC11F0D59,
    0xC18D66EB,
    0xC1B9C371,
    0xC1DB8D22,
    0xC1DC1360,
    0xC1E62F2C,
    0xC1EBAB89,
    0xC200845D,
    0xC200D2A4,
    0xC200E52B,
    0xC2034E74,
    0xC20E5929,
    0xC20E7FBB,
    0xC20E823A,
    0xC219E0F1,
    0xC22DA018,
    0xC23C576B,
    0xC23CE5EB,
    0xC24E4711,
    0xC2541A61,
    0xC259554A,
    0xC25C67D3,
    0xC25F3183,
    0xC2671CAE,
    0xC26CE6EF,
    0xC26D726E,
    0xC26F270B,
    0xC26F9591,
    0xC2729BE0,
    0xC2753FDE,
    0xC275411D,
    0xC27CC140,
    0xC28E185D,
    0xC2920D01,
    0xC29B7A6F,
    0xC2A9C825,
    0xC2AB4334,
    0xC2AD5948,
    0xC2AD5953,
    0xC2ADE304,
    0xC2ADF40D,
    0xC2ADFA36,
    0xC2ADFFB9,
    0xC2ADFFF7,
    0xC2AE0000,
    0xBE92C9A8,
    0xBE96215A,
    0xBE9C98AB,
    0xBEBF90F8,
    0xBF7AD6EC,
    0xBF80219B,
    0xBE8A0C18,
    0xBEA04347,
    0xBEEF5C6F,
    0xBF767824,
    0xBFD3F51E,
    0xC06F1021,
]


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
        map_case(Kernel.EXP, "exp/sensitive", explicit(EXP_SENSITIVE), f),
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
    dims = [*range(1, 81), 96, 100, 127, 128, 255, 256, 1000, 16777217]
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
    for bound in (
        0x33000000,
        0x33800000,
        0x33C00000,
        0x34200000,
        0x34400000,
        0x34900000,
        0x387FC000,
        0x387FE000,
        0x38800000,
        0x3F800000,
    ):
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
        *(
            case(f"crc/{n}", bytes((7 * i + 129) & 0xFF for i in range(n)))
            for n in (1, 3, 4, 7, 8, 15, 16, 17, 33, 64, 65)
        ),
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
        (1, 5, 150, False, True, 0),
        (9, 3, 70, False, True, 0),
        (6, 4, 131, True, False, 0),
        (2, 12, 19, False, True, -126),
        (2, 12, 19, False, True, 62),
        (2, 6, 13, True, True, 18),
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
    def case(name: str, iq: Sequence[int], subcarriers: Sequence[int] | None, status: str = "OK") -> Case:
        pairs = len(iq) // 2
        inputs = [explicit(byte_words(struct.pack(f"{len(iq)}b", *iq)))]
        selected = range(pairs) if subcarriers is None else subcarriers
        if subcarriers is not None:
            inputs.append(explicit(halves(subcarriers)))
        out = Case(Kernel.AMPLITUDE, name, [pairs, len(selected), int(subcarriers is not None)], inputs, status)
        if status == "OK":
            out.expect(bits([numeric.amplitude(iq[2 * c], iq[2 * c + 1]) for c in selected]))
        return out

    every = [v for i in range(-128, 128, 5) for v in (i, (i * 37 + 11) % 256 - 128)]
    edges = [0, 0, -128, -128, 127, 127, -128, 127, 3, 4, -3, -4, 1, 0, 0, -1, 1, 1, 127, 0]
    return [
        case("amplitude/edges", edges, None),
        case("amplitude/spread", every, None),
        case("amplitude/subcarriers", every, [5, 0, 51, 17, 17]),
        case("amplitude/subcarrier-beyond", every, [5, 52], "SHAPE"),
    ]


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
        out.append(
            Case(Kernel.BLOCK_MEAN, name, [*config_words(head), tokens, *head.pattern.globals_], inputs).expect(words)
        )
    return out


def attend_query_cases() -> list[Case]:
    out = []
    for n, stored, half, group, dim, *exponent in (
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
        (6, 5, True, 5, 6, 18),
    ):
        name = f"gather/{n}-{stored}{'-f16' if half else ''}-{group}x{dim}{''.join(f'-2^{e}' for e in exponent)}"
        sizes = (group, *(exponent or [1])), (n, 0), (n, 0)
        q, k, v = (uniform(count * dim, seed_of(name, i), power) for i, (count, power) in enumerate(sizes))
        rows = [[values(s)[r * dim : (r + 1) * dim] for r in range(s.count // dim)] for s in (q, k, v)]
        if half:
            for row in rows[1:]:
                row[:stored] = [numeric.through_half(x) for x in row[:stored]]
        scale = numeric.scale_of(dim)
        words = [w for query in rows[0] for w in bits(attention.attend(query, rows[1], rows[2], scale))]
        params = [n, stored, int(half), group, dim, to_bits(scale)]
        out.append(Case(Kernel.ATTEND_QUERY, name, params, [q, k, v]).expect(words, 3 if len(words) > 40 else 1))
    return [*out, _attend_to_zeros()]


def _attend_to_zeros() -> Case:
    """Values that are all -0: a sum begins with +0 and stays that."""
    n, group, dim, name = 6, 4, 8, "gather/values-minus-zero"
    q, k = (uniform(count * dim, seed_of(name, i), 1) for i, count in enumerate((group, n)))
    v = explicit([0x80000000] * (n * dim))
    rows = [[values(s)[r * dim : (r + 1) * dim] for r in range(s.count // dim)] for s in (q, k, v)]
    scale = numeric.scale_of(dim)
    words = [w for query in rows[0] for w in bits(attention.attend(query, rows[1], rows[2], scale))]
    return Case(Kernel.ATTEND_QUERY, name, [n, n, 0, group, dim, to_bits(scale)], [q, k, v]).expect(words)


# -- from packets to frames: the resampler --------------------------------------------------------------------


WRAP = 1 << 32


def _resample_case(
    name: str, times: Sequence[int], frames: Input, dim: int, period: int, max_gap: int, *, agc: bool = False
) -> Case:
    readings = [t % WRAP for t in times]
    params = [dim, period, max_gap, int(agc), len(times)]
    case = Case(Kernel.RESAMPLE, "resample/" + name, params, [explicit(readings), frames])
    try:
        resampler = Resampler(dim, period, max_gap, agc=agc)
    except Rejected as rejected:
        case.status = rejected.status
        return case
    clock, words, flat = Clock(), [], values(frames)
    for i, reading in enumerate(readings):
        now, status, restarted = clock.read(reading), "OK", False
        try:
            restarted = resampler.push(flat[i * dim : (i + 1) * dim], now)
        except Rejected as rejected:
            status = rejected.status
        due = list(resampler.due()) if status == "OK" else []
        words += [STATUS.index(status), int(restarted), len(due)]
        for grid, frame in due:
            words += [grid % WRAP, grid // WRAP, STATUS.index("OK" if frame else "OVERFLOW"), *bits(frame or [])]
    return case.expect([*words, clock.restarts], 1 if len(words) < 200 else 7)


def _bursty(count: int, seed: int, start: int) -> list[int]:
    """Packets as radios send them: bursts of equal times, steps of all sizes, now and then a long gap."""
    times, now = [], start
    for i in range(count):
        h = numeric.crc32(f"{seed}#{i}".encode())
        now += 0 if h % 12 == 0 else 999_999 if h % 29 == 1 else 1 + (h >> 8) % 40_000
        times.append(now)
    return times


def resample_cases() -> list[Case]:
    def drawn(name: str, dim: int, count: int, exponent: int = 3) -> Input:
        return uniform(dim * count, seed_of("resample/" + name), exponent)

    steady = [10_000 * i for i in range(12)]
    out = [
        _resample_case("on-the-grid", steady, drawn("steady", 5, 12), 5, 10_000, 30_000),
        _resample_case("twice-as-fast", steady, drawn("fast", 5, 12), 5, 5_000, 30_000),
        _resample_case("a-third-as-fast", steady, drawn("slow", 5, 12), 5, 30_000, 30_000),
        _resample_case("off-the-grid", [7 * t // 9 + 3 for t in steady], drawn("off", 5, 12), 5, 10_000, 30_000),
        _resample_case("bursty", _bursty(90, 1, 5_000), drawn("bursty", 7, 90), 7, 20_000, 1_000_000),
        _resample_case(
            "bursty-and-wrapping", _bursty(60, 2, WRAP - 500_000), drawn("wrap", 3, 60), 3, 20_000, 1_000_000
        ),
        _resample_case("gaps-restart", _bursty(60, 3, 0), drawn("gaps", 3, 60), 3, 20_000, 100_000),
        _resample_case("gain-removed", _bursty(40, 4, 0), _positive(6, 40), 6, 20_000, 100_000, agc=True),
        _resample_case("gap-at-its-limit", [0, 30_000, 60_001, 60_001], drawn("limit", 2, 4), 2, 10_000, 30_000),
        _resample_case("same-time", [5, 5, 5, 10_005, 10_005, 15_000, 20_005], drawn("same", 3, 7), 3, 10_000, 30_000),
        _resample_case("clock-back", [50_000, 60_000, 1_000, 11_000, 21_000], drawn("back", 3, 5), 3, 10_000, 30_000),
        _resample_case("longest-gap", [0, (1 << 24) - 1, 1 << 25], drawn("long", 2, 3), 2, (1 << 24) - 7, 1 << 24),
        _resample_case("odd-parts", [0, 16_777_213], drawn("odd", 9, 2), 9, 1_398_101, 1 << 24),
        _resample_case("subnormal", [0, 9, 30], drawn("subnormal", 4, 3, -126), 4, 4, 50),
    ]
    two = bits(values(uniform(2, 5, 0)))
    nan, top, bottom = 0x7FC00000, 0x7F7FFFFF, 0xFF7FFFFF
    out += [
        _resample_case("not-finite", [0, 10, 20], explicit([*two, nan, *two, two[0]]), 2, 5, 50),
        _resample_case("difference-overflows", [0, 10, 20], explicit([top, 0, bottom, 0, *two]), 2, 5, 50),
        _resample_case("gain-overflows", [0, 10, 20], explicit([*two, top, top, *two]), 2, 5, 50, agc=True),
        _resample_case("period-0", [0], explicit(two), 2, 0, 50),
        _resample_case("gap-below-period", [0], explicit(two), 2, 51, 50),
        _resample_case("gap-too-long", [0], explicit(two), 2, 5, (1 << 24) + 1),
    ]
    return out


def _positive(dim: int, count: int) -> Input:
    """Amplitudes: the magnitudes of a drawn input."""
    return explicit([int(w) & 0x7FFFFFFF for w in uniform(dim * count, seed_of("resample/gain"), 4).words()])
