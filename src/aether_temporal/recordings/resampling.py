"""Puts a recording on a steady grid. The core computes it, so the bits are the same as on a chip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aether_temporal import _core
from aether_temporal.errors import RecordingError, ResultOverflowError

from .drops import Drop
from .recording import Recording


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


def resample(
    recording: Recording,
    period_us: int,
    max_gap_us: int,
    *,
    agc: str = "none",
    select: Sequence[int] | None = None,
) -> Resampled:
    """The recording's features (amplitudes of I/Q pairs) on a grid of `period_us` microseconds; see `Resampler`.

    agc: "none", or "mean" to divide each frame by its mean. RecordingError without timestamps, InvalidConfigError.
    Frames at which that division overflows are dropped and counted.
    """
    times = microseconds(recording)
    frames = recording.features(select)
    resampler = _core.Resampler(frames.shape[1], period_us, max_gap_us, agc)
    parts: list[NDArray[np.float32]] = []
    grid: list[NDArray[np.int64]] = []
    newest: list[NDArray[np.int64]] = []  # index of the newest frame at each grid time
    starts: list[int] = []
    count = overflowed = 0
    last = 0
    for index, (frame, now) in enumerate(zip(frames, times.tolist(), strict=True)):
        try:
            restarted, out, first = resampler.push(frame, now)
        except ResultOverflowError:
            overflowed += 1
            continue
        if restarted or not starts:
            starts.append(count)
        if len(out):
            when = first + period_us * np.arange(len(out), dtype=np.int64)
            parts.append(out)
            grid.append(when)
            newest.append(np.where(when == now, index, last))
            count += len(out)
        last = index
    nothing = np.zeros(0, dtype=np.int64)
    at = np.concatenate([nothing, *grid])
    made = replace(
        recording,
        frames=np.concatenate(parts) if parts else np.zeros((0, frames.shape[1]), dtype=np.float32),
        iq=None,
        timestamps=at / 1e6,
        labels=None if recording.labels is None else recording.labels[np.concatenate([nothing, *newest])],
        frame_rate=1e6 / period_us,
        dropped={**recording.dropped, **({str(Drop.OVERFLOW): overflowed} if overflowed else {})},
    )
    return Resampled(made, tuple(starts) or (0,))
