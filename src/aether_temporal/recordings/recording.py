"""`Recording`, the type that every reader returns, `RecordingInfo`, what a file states of one, `Drop`, why readers drop
frames, and `resample`, which puts a recording on a steady grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal import _core
from aether_temporal._internal.summary import html_table
from aether_temporal.errors import (
    RecordingError,
    RecordingSelectionError,
    RecordingShapeError,
    ResultOverflowError,
    ShapeError,
)
from aether_temporal.subcarriers import SubcarrierMap, find_subcarriers


class Drop(StrEnum):
    """Why a reader dropped a frame. The values are part of the JSON output."""

    CUT = "cut"  # ends before its data does
    COLUMNS = "columns"  # as many fields as no known layout has
    NOT_INTEGER = "not_integer"  # a value that must be an integer is not one
    OUT_OF_RANGE = "out_of_range"  # an integer beyond the range of its field (8 bits for I/Q)
    LENGTH = "length"  # declared and actual number of values differ, or are odd or zero
    LINE_TOO_LONG = "line_too_long"
    OTHER_TEXT = "other_text"  # a line without a frame: log output, a boot message
    OTHER_SENDER = "other_sender"  # a frame of another transmitter or node than the chosen one
    OTHER_SHAPE = "other_shape"  # a whole frame, but of another size than most
    NOT_FINITE = "not_finite"  # NaN or infinity among the features
    OVERFLOW = "overflow"  # the model's numbers for this frame leave their range
    HEADER = "header"  # a raw frame's header with impossible sizes
    GARBAGE = "garbage"  # bytes between raw frames that are no frame (counted by run, not by byte)
    DUPLICATE = "duplicate"  # a raw frame whose sequence number was just seen
    LATE = "late"  # a raw frame that arrived after a newer one
    CRC = "crc"  # a packet whose CRC does not match
    FRAGMENT = "fragment"  # an IP fragment: the datagram is not whole
    OTHER_PACKET = "other_packet"  # a packet that carries no CSI
    BAD_CAPTURE = "bad_capture"  # the capture file itself is damaged from here on


Drops = Counter[str]


def describe(dropped: Mapping[str, int]) -> str:
    """'12 other_text, 3 cut'; 'nothing' where nothing was dropped."""
    parts = [
        f"{count} {reason}" for reason, count in sorted(dropped.items(), key=lambda item: (-item[1], item[0])) if count
    ]
    return ", ".join(parts) or "nothing"


def amplitude(iq: NDArray[np.int8] | NDArray[np.int16]) -> NDArray[np.float32]:
    """int8 [T, pairs, 2], or int16 of 12-bit values, to float32 [T, pairs]: sqrt(I*I + Q*Q), correctly rounded; I and Q
    may come in either order.

    The core computes it, so the bits are the same as on a chip.
    """
    values: NDArray[Any] = np.ascontiguousarray(iq)
    flat: NDArray[np.float32] = _core.csi_amplitude(values, None)
    return flat.reshape(iq.shape[:2])


Selection = Sequence[int] | SubcarrierMap
"""Which columns or I/Q pairs: by index, or as subcarriers."""


def columns_of(there: SubcarrierMap | None, width: int, wanted: SubcarrierMap, where: str) -> list[int]:
    """The columns of the wanted subcarriers, of `width`. RecordingShapeError names the first that is not there."""
    if there is None:
        raise RecordingShapeError(
            f"{where}: subcarriers: expected {len(wanted)} ({wanted}), found {width} columns of which nobody "
            "says which they are; state the chip or the layout (--chip, --layout, [reading] of --config, or a manifest)"
        )
    try:
        found: list[int] = find_subcarriers(there, wanted).tolist()
        return found
    except ShapeError as error:
        raise RecordingShapeError(
            f"{where}: {error} ({width} columns, {len(wanted)} wanted); choose subcarriers that all "
            "recordings have, or leave this recording out"
        ) from None


@dataclass(frozen=True, eq=False, repr=False)
class Recording:
    """Frames in time order, as features or as raw I/Q pairs.

    Exactly one of `frames` (float32 [T, F]) and `iq` (int8 [T, pairs, 2], the bytes in the source's order; int16 for
    12-bit values, -2048 to 2047) is given. Both may be memory-mapped: do not write to them.
    """

    source: str  # the file
    name: str  # the recording in that file
    format: str  # one of FORMATS, or "simulation"
    frames: NDArray[np.float32] | None = None
    iq: NDArray[np.int8] | NDArray[np.int16] | None = None
    timestamps: NDArray[np.float64] | None = None  # seconds, [T]
    labels: NDArray[np.int64] | None = None  # [T], index into label_names; -1: no label
    label_names: tuple[str, ...] = ()
    subject: str | None = None
    session: str | None = None
    start: float | None = None  # when the first frame was recorded, seconds since 1970
    subcarriers: SubcarrierMap | None = None  # which subcarrier each column or pair is; None: not known
    frame_rate: float | None = None  # frames a second: over the timestamps, else declared
    amplification: Mapping[str, tuple[int, int]] = field(
        default_factory=dict
    )  # least and most that the device says it used
    dropped: Mapping[str, int] = field(default_factory=dict)  # by reason (drops.Drop)
    notes: tuple[str, ...] = ()  # other decisions of the reader, for people

    def __post_init__(self) -> None:
        if (self.frames is None) == (self.iq is None):
            raise RecordingError(
                f"{self.source}: expected features or I/Q pairs, found {'neither' if self.iq is None else 'both'}"
            )
        if self.frames is not None and (self.frames.ndim != 2 or self.frames.dtype != np.float32):
            raise RecordingError(
                f"{self.source}: frames: expected float32 [T, F], found {self.frames.dtype} {list(self.frames.shape)}"
            )
        if self.iq is not None and (
            self.iq.ndim != 3 or self.iq.shape[2] != 2 or self.iq.dtype not in (np.int8, np.int16)
        ):
            raise RecordingError(
                f"{self.source}: iq: expected int8 or int16 [T, pairs, 2], found {self.iq.dtype} {list(self.iq.shape)}"
            )
        if self.iq is not None and self.iq.dtype == np.int16 and self.iq.size:
            least, most = int(self.iq.min()), int(self.iq.max())
            if least < -2048 or most > 2047:
                raise RecordingError(f"{self.source}: iq: expected 12 bits, -2048 … 2047, found {least} … {most}")
        if self.subcarriers is not None and len(self.subcarriers) != self.width:
            raise RecordingError(
                f"{self.source}: subcarriers: expected one for each of {self.width} columns, "
                f"found {len(self.subcarriers)}"
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

    def __repr__(self) -> str:
        facts = self._facts()
        plain = [facts.pop(name) for name in ("format", "shape", "rate") if name in facts]
        return f"<Recording {self.title}: {', '.join(plain + [f'{name} {value}' for name, value in facts.items()])}>"

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        return html_table(self.title, self._facts())

    def _facts(self) -> dict[str, str]:
        """What describes the recording in a few words."""
        width = f"{self.width} I/Q pairs" if self.is_raw else f"{self.width} features"
        found = {
            "format": self.format,
            "shape": f"{len(self)} frames of {width}",
            "rate": f"{self.frame_rate:.4g} Hz" if self.frame_rate is not None else None,
            "labels": ", ".join(self.label_names),
            "subcarriers": str(self.subcarriers) if self.subcarriers is not None else None,
            "subject": self.subject,
            "session": self.session,
            "dropped": describe(self.dropped) if sum(self.dropped.values()) else None,
        }
        return {name: value for name, value in found.items() if value}

    def __len__(self) -> int:
        array = self.frames if self.frames is not None else self.iq
        assert array is not None
        return int(array.shape[0])

    @property
    def is_raw(self) -> bool:
        """Whether the frames are I/Q pairs rather than features."""
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
        """Where the recording comes from: its file, and its name in that file."""
        return f"{self.source}:{self.name}" if self.name else self.source

    def columns(self, select: Selection | None) -> list[int] | None:
        """The columns or pairs that `select` names, by index or as subcarriers; None: all, in order.

        RecordingShapeError: an index is out of range; the recording lacks a subcarrier, or does not say which its
        columns are.
        """
        if select is None:
            return None
        if isinstance(select, SubcarrierMap):
            found = columns_of(self.subcarriers, self.width, select, self.title)
        else:
            found = list(select)
            if not all(0 <= index < self.width for index in found):
                what = "pairs" if self.is_raw else "features"
                raise RecordingShapeError(
                    f"{self.title}: {what}: expected indices 0 … {self.width - 1}, found {min(found)} … {max(found)}"
                )
        return None if found == list(range(self.width)) else found

    def features(self, select: Selection | None = None) -> NDArray[np.float32]:
        """Features float32 [T, F]: the frames themselves, or the amplitudes of the I/Q pairs. `select` as `columns`."""
        return self._features(self.columns(select))

    def _features(self, columns: list[int] | None) -> NDArray[np.float32]:
        if self.iq is not None:
            return amplitude(self.iq if columns is None else self.iq[:, columns])
        assert self.frames is not None
        return self.frames if columns is None else np.ascontiguousarray(self.frames[:, columns])

    def selected(self, select: Selection | None = None) -> Recording:
        """The same recording, of features. `select` as `columns`."""
        columns, there = self.columns(select), self.subcarriers
        chosen = there if there is None or columns is None else there.select(columns)
        return replace(self, frames=self._features(columns), iq=None, subcarriers=chosen)


@dataclass(frozen=True)
class RecordingInfo:
    """What a file states about one of its recordings; the frames are not read."""

    index: int
    name: str
    frames: int
    subject: str | None = None
    session: str | None = None


_NO_LABEL = {"", "unknown", "none", "nan"}


def label_indices(texts: Sequence[str | None], names: Sequence[str] = ()) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels in text as indices, and the names: the given ones, then others in the order in which they first appear.
    None, "", "unknown" and the like are no label (-1)."""
    index = {name: i for i, name in enumerate(names)}
    found = np.full(len(texts), -1, dtype=np.int64)
    for place, text in enumerate(texts):
        if text is not None and (text in index or text.lower() not in _NO_LABEL):
            found[place] = index.setdefault(text, len(index))
    return found, tuple(index)


_GAP = 1.0
"""Seconds between two frames from which on there is a gap."""
_GAP_INTERVALS = 10.0
"""How many times as long as all but the longest twentieth of the intervals a gap is at least."""


def gaps_between(timestamps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of the frames after which there is a gap: more than a second, and ten times as long as is usual."""
    steps = np.diff(timestamps)
    forward = steps[steps >= 0]
    if not len(forward):
        return np.zeros(0, dtype=np.int64)
    usual = float(np.quantile(forward, 0.95, method="lower"))
    found: NDArray[np.int64] = np.flatnonzero(steps > max(_GAP, _GAP_INTERVALS * usual))
    return found


def rate_of(timestamps: NDArray[np.float64] | None) -> float | None:
    """Frames a second outside gaps; None where time does not pass."""
    if timestamps is None or len(timestamps) < 2:
        return None
    steps = np.delete(np.diff(timestamps), gaps_between(timestamps))
    steps = steps[steps >= 0]
    span = float(steps.sum())
    return len(steps) / span if span > 0 else None


_SHOWN = 12


def _listing(infos: Sequence[RecordingInfo]) -> str:
    shown = ", ".join(f"{info.index} ({info.name})" for info in infos[:_SHOWN])
    return shown + (f", … {infos[-1].index} ({infos[-1].name})" if len(infos) > _SHOWN else "")


def choose(source: str, infos: Sequence[RecordingInfo], recording: int | str | None) -> RecordingInfo:
    """The recording with that index (negative: from the end) or name; None chooses a file's only recording.

    Text is taken as a name, else as a name in another case, else as an index. RecordingSelectionError lists the
    recordings.
    """
    if recording is None:
        if len(infos) == 1:
            return infos[0]
        raise RecordingSelectionError(
            f"{source}: recording: expected an index or a name, found none for {len(infos)} recordings; choose one: "
            f"{_listing(infos)}"
        )
    if isinstance(recording, str):
        named = [info for info in infos if info.name == recording]
        named = named or [info for info in infos if info.name.casefold() == recording.casefold()]
        if len(named) == 1:
            return named[0]
        if len(named) > 1:
            raise RecordingSelectionError(
                f"{source}: recording: expected the name of one, found {recording!r}, which {len(named)} have; "
                f"choose an index: {_listing(named)}"
            )
        try:
            index = int(recording)
        except ValueError:
            index = len(infos)
    else:
        index = int(recording)
    if not -len(infos) <= index < len(infos):
        raise RecordingSelectionError(
            f"{source}: recording: expected an index 0 … {len(infos) - 1} or a name, found {recording!r}; choose one: "
            f"{_listing(infos)}"
        )
    return infos[index]


# -- On a steady grid, by the core: the bits are the same as on a chip -----------------------------------------


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
    """When each frame arrived, in microseconds since the earliest; without timestamps at the rate that is stated.

    RecordingError: timestamps and rate are missing, or not finite.
    """
    stamps = recording.timestamps
    if stamps is None and recording.frame_rate is not None:
        stamps = np.arange(len(recording)) / recording.frame_rate
    if stamps is None:
        raise RecordingError(
            f"{recording.title}: timestamps: expected one for every frame to resample by, or the rate, found neither"
        )
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

    agc: "none", or "mean" to divide each frame by its mean. RecordingError without timestamps and rate,
    InvalidConfigError. Frames at which that division overflows are dropped and counted.
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
