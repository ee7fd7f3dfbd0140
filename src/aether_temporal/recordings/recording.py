"""The one type that every reader gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .amplitude import amplitude
from .errors import RecordingError, RecordingShapeError


@dataclass(frozen=True, eq=False)
class Recording:
    """Frames in time order, as features or as raw I/Q pairs.

    Exactly one of `frames` (binary32 [T, F]) and `iq` (int8 [T, pairs, 2], the two bytes in the source's order) is
    given.
    Both may be memory-mapped: do not write to them.
    """

    source: str  # the file
    name: str  # the recording in that file
    format: str  # "npz", "npy", "csi-text", "raw-frames", "udp-capture", "simulation"
    frames: NDArray[np.float32] | None = None
    iq: NDArray[np.int8] | None = None
    timestamps: NDArray[np.float64] | None = None  # seconds, [T]
    labels: NDArray[np.int64] | None = None  # [T], index into label_names; -1: no label
    label_names: tuple[str, ...] = ()
    subject: str | None = None
    session: str | None = None
    frame_rate: float | None = None  # frames a second: over the timestamps, else declared
    dropped: Mapping[str, int] = field(default_factory=dict)  # by reason (drops.Drop)
    notes: tuple[str, ...] = ()  # what else a reader had to decide, for people

    def __post_init__(self) -> None:
        if (self.frames is None) == (self.iq is None):
            raise RecordingError(
                f"{self.source}: expected features or I/Q pairs, found {'neither' if self.iq is None else 'both'}"
            )
        if self.frames is not None and (self.frames.ndim != 2 or self.frames.dtype != np.float32):
            raise RecordingError(
                f"{self.source}: frames: expected float32 [T, F], found {self.frames.dtype} {list(self.frames.shape)}"
            )
        if self.iq is not None and (self.iq.ndim != 3 or self.iq.shape[2] != 2 or self.iq.dtype != np.int8):
            raise RecordingError(
                f"{self.source}: iq: expected int8 [T, pairs, 2], found {self.iq.dtype} {list(self.iq.shape)}"
            )
        per_frame: tuple[tuple[str, NDArray[Any] | None], ...] = (
            ("timestamps", self.timestamps),
            ("labels", self.labels),
        )
        for what, values in per_frame:
            if values is not None and values.shape != (len(self),):
                raise RecordingError(f"{self.source}: {what}: expected [{len(self)}], found {list(values.shape)}")
        if self.labels is not None and len(self.labels):
            low, high = int(self.labels.min()), int(self.labels.max())
            if low < -1 or high >= len(self.label_names):
                raise RecordingError(
                    f"{self.source}: labels: expected -1 … {len(self.label_names) - 1}, found {low} … {high}"
                )

    def __len__(self) -> int:
        array = self.frames if self.frames is not None else self.iq
        assert array is not None
        return int(array.shape[0])

    @property
    def is_raw(self) -> bool:
        """Whether the frames are I/Q pairs, of which features are still to be made."""
        return self.iq is not None

    @property
    def width(self) -> int:
        """Features a frame, or I/Q pairs a frame where `is_raw`."""
        array = self.frames if self.frames is not None else self.iq
        assert array is not None
        return int(array.shape[1])

    @property
    def duration(self) -> float | None:
        """Seconds from the first to the last frame: by timestamps, else by the frame rate; None without both."""
        if len(self) == 0:
            return None
        if self.timestamps is not None:
            return float(self.timestamps[-1] - self.timestamps[0])
        return (len(self) - 1) / self.frame_rate if self.frame_rate else None

    @property
    def title(self) -> str:
        return f"{self.source}:{self.name}" if self.name else self.source

    def features(self, select: Sequence[int] | None = None) -> NDArray[np.float32]:
        """Features binary32 [T, F]: the frames themselves, or the amplitudes of the I/Q pairs.

        `select`: which columns or pairs, in which order (None: all). RecordingShapeError: not there.
        """
        if select is not None and not all(0 <= index < self.width for index in select):
            what = "pairs" if self.is_raw else "features"
            raise RecordingShapeError(
                f"{self.title}: {what}: expected indices 0 … {self.width - 1}, found {min(select)} … {max(select)}"
            )
        if self.iq is not None:
            return amplitude(self.iq if select is None else self.iq[:, list(select)])
        assert self.frames is not None
        return self.frames if select is None else np.ascontiguousarray(self.frames[:, list(select)])


@dataclass(frozen=True)
class RecordingInfo:
    """What a file says of one of its recordings without reading it."""

    index: int
    name: str
    frames: int
    subject: str | None = None
    session: str | None = None


def rate_of(timestamps: NDArray[np.float64] | None) -> float | None:
    """Frames a second over the whole recording; None where time does not pass."""
    if timestamps is None or len(timestamps) < 2:
        return None
    span = float(timestamps[-1] - timestamps[0])
    return (len(timestamps) - 1) / span if span > 0 else None
