"""Puts a recording on a steady grid. The core computes it, so the bits are the same as on a chip."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aether_temporal import _core
from aether_temporal.errors import RecordingError, ResultOverflowError

from .recording import Drop, Recording, Selection


@dataclass(frozen=True, eq=False)
class Resampled:
    """`recording`: features on the grid, at the grid's times, each with the label of the newest frame that had arrived
    by then. `segment_starts`: where a new grid starts (the first at 0); a stream is reset there."""

    recording: Recording
    segment_starts: tuple[int, ...]

    def segments(self) -> list[slice]:
        """The frames of each contiguous segment."""
        ends = (*self.segment_starts[1:], len(self.recording))
        return [slice(start, end) for start, end in zip(self.segment_starts, ends, strict=True) if end > start]


def microseconds(recording: Recording) -> NDArray[np.int64]:
    """When each frame arrived, in microseconds since the earliest.

    RecordingError: timestamps are missing or not finite.
    """
    stamps = recording.timestamps
    if stamps is None:
        raise RecordingError(f"{recording.title}: timestamps: expected one for every frame to resample by, found none")
    if not np.isfinite(stamps).all() or (len(stamps) and np.ptp(stamps) > 2**43):
        raise RecordingError(f"{recording.title}: timestamps: expected finite seconds, found others")
    found: NDArray[np.int64] = np.rint((stamps - stamps.min(initial=np.inf)) * 1e6).astype(np.int64)
    return found


@dataclass(frozen=True, eq=False)
class Due:
    """Grid frames that are due after a frame, [n, F], with their times and the index of the frame that was newest at
    each. starts: a new grid begins with the next grid frame, now or later."""

    frames: NDArray[np.float32]
    times_us: NDArray[np.int64]
    newest: NDArray[np.int64]
    starts: bool


class Grid:
    """Frames, one after the other, onto a grid; recordings and live streams use the same."""

    def __init__(self, dim: int, period_us: int, max_gap_us: int, agc: str = "none") -> None:
        self.overflowed = 0
        self._resampler = _core.Resampler(dim, period_us, max_gap_us, agc)
        self._period_us, self._last = period_us, 0

    def push(self, index: int, frame: NDArray[np.float32], now: int) -> Due | None:
        """What is due after frame `index` at `now` microseconds; None (and counted) where the frame overflows."""
        try:
            starts, out, first = self._resampler.push(frame, now)
        except ResultOverflowError:
            self.overflowed += 1
            return None
        when = first + self._period_us * np.arange(len(out), dtype=np.int64)
        newest = np.where(when == now, index, self._last)
        self._last = index
        return Due(out, when, newest, starts)


def resample(
    recording: Recording,
    period_us: int,
    max_gap_us: int,
    *,
    agc: str = "none",
    select: Selection | None = None,
) -> Resampled:
    """The recording's features (amplitudes of I/Q pairs) on a grid of `period_us` microseconds; see `Resampler`.

    agc: "none", or "mean" to divide each frame by its mean. RecordingError without timestamps, InvalidConfigError.
    Frames at which that division overflows are dropped and counted.
    """
    times = microseconds(recording)
    chosen = recording.selected(select)
    frames = chosen.features()
    grid = Grid(frames.shape[1], period_us, max_gap_us, agc)
    parts: list[NDArray[np.float32]] = []
    at_us: list[NDArray[np.int64]] = []
    newest: list[NDArray[np.int64]] = []
    starts: list[int] = []
    count = 0
    for index, (frame, now) in enumerate(zip(frames, times.tolist(), strict=True)):
        due = grid.push(index, frame, now)
        if due is None:
            continue
        if due.starts or not starts:
            starts.append(count)
        if len(due.frames):
            parts.append(due.frames)
            at_us.append(due.times_us)
            newest.append(due.newest)
            count += len(due.frames)
    nothing = np.zeros(0, dtype=np.int64)
    at = np.concatenate([nothing, *at_us])
    made = replace(
        chosen,
        frames=np.concatenate(parts) if parts else np.zeros((0, frames.shape[1]), dtype=np.float32),
        iq=None,
        timestamps=at / 1e6,
        labels=None if recording.labels is None else recording.labels[np.concatenate([nothing, *newest])],
        frame_rate=1e6 / period_us,
        dropped={**recording.dropped, **({str(Drop.OVERFLOW): grid.overflowed} if grid.overflowed else {})},
    )
    return Resampled(made, tuple(starts) or (0,))
