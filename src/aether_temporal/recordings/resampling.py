"""A recording put on a steady grid, by the core: the same bits as on a chip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aether_temporal import _core
from aether_temporal.errors import ResultOverflowError

from .drops import Drop
from .errors import RecordingError
from .recording import Recording


@dataclass(frozen=True, eq=False)
class Resampled:
    """`recording`: features on the grid, at the grid's times, each with the label of the newest frame that had come by
    then. `begins`: where a new grid began (the first at 0), so that whatever sees the frames begins anew, too."""

    recording: Recording
    begins: tuple[int, ...]

    def stretches(self) -> list[slice]:
        """The frames from each beginning to the next."""
        ends = (*self.begins[1:], len(self.recording))
        return [slice(begin, end) for begin, end in zip(self.begins, ends, strict=True) if end > begin]


def microseconds(recording: Recording) -> NDArray[np.int64]:
    """When each frame came, in microseconds since the earliest. RecordingError: no timestamps, or not finite ones."""
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
    gain: str = "none",
    select: Sequence[int] | None = None,
) -> Resampled:
    """The recording's features (amplitudes of I/Q pairs) on a grid of `period_us` microseconds; see `Resampler`.

    RecordingError without timestamps, InvalidConfigError. Frames whose gain overflows are dropped and counted.
    """
    times = microseconds(recording)
    frames = recording.features(select)
    resampler = _core.Resampler(frames.shape[1], period_us, max_gap_us, gain)
    parts: list[NDArray[np.float32]] = []
    grid: list[NDArray[np.int64]] = []
    newest: list[NDArray[np.int64]] = []  # index of the newest frame that had come by each grid time
    begins: list[int] = []
    count = overflowed = 0
    last = 0
    for index, (frame, now) in enumerate(zip(frames, times.tolist(), strict=True)):
        try:
            restarted, out, first = resampler.push(frame, now)
        except ResultOverflowError:
            overflowed += 1
            continue
        if restarted or not begins:
            begins.append(count)
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
    return Resampled(made, tuple(begins) or (0,))
