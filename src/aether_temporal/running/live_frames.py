"""Frames that come one by one, onto the grid that a model asks for: of text and of packets, as of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aether_temporal.recordings.recording import Grid

from .inputs import timing_of

if TYPE_CHECKING:
    from aether_temporal.model import TemporalModel

_LATER = 1 << 62
"""Microseconds added to all times, which may go back before the first."""


@dataclass(frozen=True, eq=False)
class Step:
    """A frame as the model takes it. `newest`: the number of the frame that had arrived by then."""

    frame: NDArray[np.float32]
    time: float | None  # seconds
    newest: int
    resets: bool  # the stream is to be reset before it


class LiveFrames:
    """The frames of one stream. Memory does not grow."""

    def __init__(self, model: TemporalModel) -> None:
        timing, settings = timing_of(model), model.settings
        self._grid: Grid | None = None
        if timing.period_us is not None and timing.max_gap_us is not None and settings is not None:
            self._grid = Grid(model.input_dim, timing.period_us, timing.max_gap_us, settings.agc or "none")
        self._count = 0
        self._resets = True

    def push(self, frame: NDArray[np.float32], microseconds: int | None) -> list[Step]:
        """What is due after a frame: on the grid where the model asks for one and the frame has a time, else the frame
        itself."""
        number, self._count = self._count, self._count + 1
        if self._grid is None or microseconds is None:
            resets, self._resets = self._resets, False
            return [Step(frame, None if microseconds is None else microseconds / 1e6, number, resets)]
        due = self._grid.push(number, frame, microseconds + _LATER)
        if due is None:
            return []
        self._resets |= due.starts
        steps = []
        for row, at, newest in zip(due.frames, due.times_us.tolist(), due.newest.tolist(), strict=True):
            steps.append(Step(row, (at - _LATER) / 1e6, newest, self._resets))
            self._resets = False
        return steps
