"""docs/spec/features.md: a node's clock, and frames put on a steady grid."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from . import Rejected
from . import numeric as nm
from .numeric import F, Vector

MAX_GAP = 1 << 24
MAX_DUE = 256


class Clock:
    """32-bit microseconds to microseconds since the first reading."""

    def __init__(self) -> None:
        self.last: int | None = None
        self.elapsed = self.restarts = 0

    def read(self, microseconds: int) -> int:
        """Time never goes back: a step back is a restart of the sender."""
        if self.last is not None:
            step = (microseconds - self.last) % (1 << 32)
            if step < 1 << 31:
                self.elapsed += step
            else:
                self.restarts += 1
        self.last = microseconds
        return self.elapsed


def without_agc(x: Vector) -> Vector:
    """A frame divided by its mean."""
    s = nm.ZERO
    for a in x:
        s = s + a
    nm.require_finite([s], "OVERFLOW", "frame sum")
    m = s / F(len(x))
    if m >= nm.MIN_NORMAL:
        r = nm.ONE / m
        x = [a * r for a in x]
        nm.require_finite(x, "OVERFLOW", "agc")
    return x


class Resampler:
    """`period` and `max_gap` in microseconds."""

    def __init__(self, dim: int, period: int, max_gap: int, *, agc: bool) -> None:
        if dim < 1 or not 1 <= period <= max_gap <= min(MAX_GAP, MAX_DUE * period):
            raise Rejected("CONFIG", "resampler")
        self.period, self.max_gap, self.agc = period, max_gap, agc
        self.before: tuple[int, Vector] | None = None
        self.newest: tuple[int, Vector] | None = None
        self.grid = 0  # time of the next grid frame

    def push(self, frame: Vector, time: int) -> bool:
        """Whether a new grid began although there was one."""
        nm.require_finite(frame, "NOT_FINITE", "frame")
        with np.errstate(all="ignore"):
            frame = without_agc(frame) if self.agc else list(frame)
        last = self.newest
        self.before, self.newest = last, (time, frame)
        if last is not None and last[0] <= time <= last[0] + self.max_gap:
            return False
        self.before, self.grid = None, time
        return last is not None

    def due(self) -> Iterator[tuple[int, Vector | None]]:
        """(time, frame) of the grid up to the newest frame; None for a frame that overflowed."""
        assert self.newest is not None
        t, b = self.newest
        while self.grid <= t:
            yield self.grid, b if self.before is None or self.grid == t else self._between(*self.before)
            self.grid += self.period

    def _between(self, before: int, a: Vector) -> Vector | None:
        assert self.newest is not None
        t, b = self.newest
        weight = F(self.grid - before) / F(t - before)
        with np.errstate(all="ignore"):
            out = [x + (y - x) * weight for x, y in zip(a, b, strict=True)]
        return out if all(nm.is_finite(x) for x in out) else None
