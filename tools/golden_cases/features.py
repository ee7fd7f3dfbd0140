"""From packets to frames: the resampler."""

from __future__ import annotations

from collections.abc import Sequence

from reference import numeric
from reference.golden_file import STATUS, Case, Input, Kernel, explicit, uniform
from reference.resample import Clock, Resampler
from reference.status import Refused

from .common import bits, seed_of, values

WRAP = 1 << 32


def _case(
    name: str, times: Sequence[int], frames: Input, dim: int, period: int, max_gap: int, *, agc: bool = False
) -> Case:
    readings = [t % WRAP for t in times]
    params = [dim, period, max_gap, int(agc), len(times)]
    case = Case(Kernel.RESAMPLE, "resample/" + name, params, [explicit(readings), frames])
    try:
        resampler = Resampler(dim, period, max_gap, agc=agc)
    except Refused as refused:
        case.status = refused.status
        return case
    clock, words, flat = Clock(), [], values(frames)
    for i, reading in enumerate(readings):
        now, status, restarted = clock.read(reading), "OK", False
        try:
            restarted = resampler.push(flat[i * dim : (i + 1) * dim], now)
        except Refused as refused:
            status = refused.status
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
        _case("on-the-grid", steady, drawn("steady", 5, 12), 5, 10_000, 30_000),
        _case("twice-as-fast", steady, drawn("fast", 5, 12), 5, 5_000, 30_000),
        _case("a-third-as-fast", steady, drawn("slow", 5, 12), 5, 30_000, 30_000),
        _case("off-the-grid", [7 * t // 9 + 3 for t in steady], drawn("off", 5, 12), 5, 10_000, 30_000),
        _case("bursty", _bursty(90, 1, 5_000), drawn("bursty", 7, 90), 7, 20_000, 1_000_000),
        _case("bursty-and-wrapping", _bursty(60, 2, WRAP - 500_000), drawn("wrap", 3, 60), 3, 20_000, 1_000_000),
        _case("gaps-restart", _bursty(60, 3, 0), drawn("gaps", 3, 60), 3, 20_000, 100_000),
        _case("gain-removed", _bursty(40, 4, 0), _positive(6, 40), 6, 20_000, 100_000, agc=True),
        _case("gap-at-its-limit", [0, 30_000, 60_001, 60_001], drawn("limit", 2, 4), 2, 10_000, 30_000),
        _case("same-time", [5, 5, 5, 10_005, 10_005, 15_000, 20_005], drawn("same", 3, 7), 3, 10_000, 30_000),
        _case("clock-back", [50_000, 60_000, 1_000, 11_000, 21_000], drawn("back", 3, 5), 3, 10_000, 30_000),
        _case("longest-gap", [0, (1 << 24) - 1, 1 << 25], drawn("long", 2, 3), 2, (1 << 24) - 7, 1 << 24),
        _case("odd-parts", [0, 16_777_213], drawn("odd", 9, 2), 9, 1_398_101, 1 << 24),
        _case("subnormal", [0, 9, 30], drawn("subnormal", 4, 3, -126), 4, 4, 50),
    ]
    two = bits(values(uniform(2, 5, 0)))
    nan, top, bottom = 0x7FC00000, 0x7F7FFFFF, 0xFF7FFFFF
    out += [
        _case("not-finite", [0, 10, 20], explicit([*two, nan, *two, two[0]]), 2, 5, 50),
        _case("difference-overflows", [0, 10, 20], explicit([top, 0, bottom, 0, *two]), 2, 5, 50),
        _case("gain-overflows", [0, 10, 20], explicit([*two, top, top, *two]), 2, 5, 50, agc=True),
        _case("period-0", [0], explicit(two), 2, 0, 50),
        _case("gap-below-period", [0], explicit(two), 2, 51, 50),
        _case("gap-too-long", [0], explicit(two), 2, 5, (1 << 24) + 1),
    ]
    return out


def _positive(dim: int, count: int) -> Input:
    """Amplitudes: the magnitudes of a drawn input."""
    return explicit([int(w) & 0x7FFFFFFF for w in uniform(dim * count, seed_of("resample/gain"), 4).words()])
