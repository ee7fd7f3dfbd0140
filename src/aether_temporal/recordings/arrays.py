"""Named arrays in a file, wherever they are stored: finding them by name, and how the axes of frames are read.

Names are compared without regard to case; of each row of names below, the first that is there counts
(docs/recordings.md has the table).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import RecordingFormatError

from .csi_buffers import HIGH, LOW, is_12_bit, words_of
from .recording_file import Hints

FRAMES = ("iq", "frames", "features", "amp", "csi", "csi_data", "csiamp", "csi_amp", "amplitude", "x", "data")
RAW = ("iq", "csi", "csi_data")
"""Names under which int8 or int16 are I/Q values."""
TIMES = ("t", "timestamps", "timestamp", "time")
LABELS = ("frame_activity", "labels", "label", "y", "target", "activity")
OFFSETS = ("rec_offset",)
MAX_VALUES = 1 << 16
"""Recordings in a file, or names of labels."""
MAX_BYTES = 1 << 12
"""Of one name."""
ROWS_AT_ONCE = 4096
"""Rows of a mapped file that are looked at together."""

_ANTENNAS, _FEW_ANTENNAS = 8, 4
_WIDTHS = (
    {26, 28, 30, 52, 53, 56, 57, 60, 64, 90, 104, 108, 112}
    | {114, 128, 180, 192, 234, 242, 256, 270, 306, 342}
)  # fmt: skip
"""Features a frame that recorders write, antennas together. An axis of such a length before a longer one of another is
taken for features before time."""

_READINGS = {
    1: "windows, time, antennas, subcarriers",
    2: "windows, antennas, time, subcarriers",
    3: "windows, antennas, subcarriers, time",
}
"""Of four axes, by the one that is time."""


@dataclass(frozen=True)
class ArrayHeader:
    """Shape and type of a stored array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def data_bytes(self) -> int:
        """Bytes of the whole array."""
        return int(self.dtype.itemsize) * math.prod(self.shape)


class Arrays(Protocol):
    """Named arrays in a file. Its text is the file's name, in errors."""

    @property
    def keys(self) -> Sequence[str]:
        """The names."""

    def header(self, key: str) -> ArrayHeader:
        """Without reading the values."""

    def array(self, key: str) -> NDArray[Any]:
        """Read once."""


def sound_text(values: NDArray[Any], what: str) -> NDArray[Any]:
    """The array. RecordingFormatError: text with a code point that no character has."""
    if values.dtype.kind == "U" and values.dtype.itemsize and values.size:
        points = np.ascontiguousarray(values).reshape(-1).view(f"{values.dtype.byteorder}u4")
        bad = points[(points > 0x10FFFF) | ((points >= 0xD800) & (points < 0xE000))]
        if len(bad):
            raise RecordingFormatError(
                f"{what}: expected characters, found the code point 0x{int(bad[0]):X}, no character; save it again"
            )
    return values


class NamedArrays:
    """The arrays of a file by their names."""

    def __init__(self, store: Arrays) -> None:
        self.store = store
        self._by_name = {key.casefold(): key for key in reversed(store.keys)}

    def first(self, names: Iterable[str]) -> str | None:
        """The name in the file of the first of `names` that is there."""
        return next((self._by_name[name] for name in names if name in self._by_name), None)

    def what(self, key: str) -> str:
        """File and array, for errors."""
        return f"{self.store}: {key}"

    def frames_key(self) -> tuple[str, tuple[str, ...]]:
        """The name of the array that holds the frames, and a note where it is taken for them."""
        key = self.first(FRAMES)
        if key is not None:
            return key, ()
        wide = [key for key in self.store.keys if len(self.store.header(key).shape) >= 2]
        wide = [key for key in wide if self.store.header(key).dtype.kind in "biufc"]
        if len(wide) == 1:
            return wide[0], ((f"the array {wide[0]} was taken for the frames",) if wide[0] != "array" else ())
        if len(self.store.keys) == 1 and len(self.store.header(self.store.keys[0]).shape) == 1:
            raise RecordingFormatError(
                f"{self.store}: expected frames, found {self.store.header(self.store.keys[0]).shape[0]} values, which "
                "look like labels; name this file in the column labels of a manifest, in the row of the file that it "
                "labels"
            )
        raise RecordingFormatError(
            f"{self.store}: expected an array named {', '.join(FRAMES)}; found "
            f"{', '.join(self.store.keys) or 'none'}; save the frames under one of these names"
        )

    def small(self, key: str) -> NDArray[Any]:
        """A table: at most 65 536 values of at most 4 KiB each."""
        header = self.store.header(key)
        if math.prod(header.shape) > MAX_VALUES or header.dtype.itemsize > MAX_BYTES:
            raise RecordingFormatError(
                f"{self.what(key)}: expected at most {MAX_VALUES} values of at most {MAX_BYTES} bytes, "
                f"found {list(header.shape)} of {header.dtype.itemsize}; save fewer or shorter ones"
            )
        return self.store.array(key)

    def scalar(self, key: str) -> Any:
        """The value of an array of one; None without the array."""
        name = self.first((key,))
        if name is None or math.prod(self.store.header(name).shape) != 1:
            return None
        return self.small(name).reshape(()).item()


@dataclass(frozen=True)
class Axes:
    """How the array of frames is read: `arrange` makes [N, F], or [N, pairs, 2] where `raw`, of the stored one;
    `windows` of `length` frames each, where it holds such."""

    raw: bool
    arrange: Callable[[NDArray[Any]], NDArray[Any]]
    frames: int
    windows: int = 0
    length: int = 0
    notes: tuple[str, ...] = ()
    words: bool = False  # of 12 bits


def axes_of(arrays: NamedArrays, key: str, hints: Hints) -> Axes:
    """How the array under `key` is to be read. RecordingFormatError: it cannot be frames, or looks like features by
    frames."""
    return _Finder(arrays, key, hints).axes()


class _Finder:
    def __init__(self, arrays: NamedArrays, key: str, hints: Hints) -> None:
        self._arrays, self._key, self._hints = arrays, key, hints

    def axes(self) -> Axes:
        """By shape, type and name, and by what times and labels say. RecordingFormatError: by none of them."""
        header = self._arrays.store.header(self._key)
        shape, what = header.shape, self._arrays.what(self._key)
        if not shape:
            raise RecordingFormatError(f"{what}: expected an array of frames, found a single number; save one a frame")
        kind = header.dtype.kind
        if kind not in "biufc":
            raise RecordingFormatError(f"{what}: expected numbers, found dtype {header.dtype}; save them as numbers")
        if len(shape) < 2 or 0 in shape[1:]:
            raise RecordingFormatError(
                f"{what}: expected [frames, features], found shape {list(shape)}; save one row a frame"
            )
        if self._hints.axes is not None:
            return self._stated(shape, self._hints.axes)
        words = header.dtype == np.int8 or (header.dtype == np.int16 and self._is_within_12_bits())
        if words and shape[-1] == 2 and len(shape) == 3:
            return Axes(True, np.ascontiguousarray, shape[0])
        if words and shape[-1] == 2 and len(shape) == 4:
            return self._four_axes_of_pairs(shape)
        if len(shape) == 2:
            return self._two_axes(shape, words)
        if len(shape) == 3 and shape[2] == 2 and kind in "if" and (self._key.casefold() in RAW or self._has_negative()):
            note = f"{list(shape)} of {header.dtype} was read as I/Q pairs"
            return Axes(False, lambda a: np.hypot(a[:, :, 0], a[:, :, 1]), shape[0], notes=(note,))
        if len(shape) == 3:
            return self._three_axes(shape)
        if len(shape) == 4:
            return self._four_axes(shape)
        raise RecordingFormatError(
            f"{what}: expected [frames, features], [frames, pairs, 2] or [windows, frames, features], found shape "
            f"{list(shape)}; save it as one of these, or say which axis is which with --axes"
        )

    def _stated(self, shape: tuple[int, ...], names: tuple[str, ...]) -> Axes:
        """As the user says."""
        if len(names) != len(shape):
            raise RecordingFormatError(
                f"{self._arrays.what(self._key)}: axes: expected a name for each axis of {list(shape)}, found "
                f"{', '.join(names)}; give {len(shape)}"
            )
        note = f"{list(shape)} was read as [{', '.join(names)}], as stated"
        return _arranged(shape, names.index("time"), names.index("windows") if "windows" in names else None, note)

    def _two_axes(self, shape: tuple[int, ...], words: bool) -> Axes:
        what, columns = self._arrays.what(self._key), shape[1]
        raw = self._key.casefold() in RAW or (self._key == "array" and words and self._has_negative())
        if words and raw:
            declared = self._arrays.scalar("num_subcarriers")
            if columns % 2 or (declared is not None and columns not in (2 * declared, 4 * declared)):
                wanted = f"{2 * int(declared)}" if declared is not None else "an even number"
                raise RecordingFormatError(
                    f"{what}: expected {wanted} of I/Q values a frame, found {columns}; save pairs as int8 "
                    "[frames, pairs, 2], or features as float32"
                )
            return self._flat_words(shape)
        as_they_are = Axes(False, lambda a: a, shape[0])
        along = self._frames_by_others()
        if along == shape[1] != shape[0]:
            note = f"[{shape[0]}, {shape[1]}] was read as [features, frames], for there are times or labels for {along}"
            return Axes(False, np.transpose, shape[1], notes=(note,))
        if along != shape[0]:
            self._reject_features_first(shape)
        return as_they_are

    def _is_within_12_bits(self) -> bool:
        values = self._arrays.store.array(self._key)
        return not values.size or (int(values.min()) >= LOW and int(values.max()) <= HIGH)

    def _has_negative(self) -> bool:
        return bool((self._arrays.store.array(self._key)[:ROWS_AT_ONCE] < 0).any())

    def _flat_words(self, shape: tuple[int, ...]) -> Axes:
        """int8 or int16 [N, 2 * pairs], or the bytes of 12-bit words."""
        bits = self._hints.csi_bits
        if self._arrays.store.header(self._key).dtype == np.int8 and bits != 8:
            head = self._arrays.store.array(self._key)[:ROWS_AT_ONCE]
            if bits == 12 or is_12_bit(head, self._arrays.scalar("chip")):
                note = "the frames were read as 12-bit words, two bytes each (csi_bits)"
                return Axes(True, words_of, shape[0], notes=(note,), words=True)
        return Axes(True, lambda a: np.ascontiguousarray(a).reshape(len(a), -1, 2), shape[0])

    def _three_axes(self, shape: tuple[int, ...]) -> Axes:
        n, first, second = shape
        if self._arrays.first(OFFSETS) or min(first, second) <= _ANTENNAS or self._frames_by_times() == n:
            return _arranged(shape, 0, None, _as_frames(shape))
        if n <= _FEW_ANTENNAS and first in _WIDTHS:
            note = f"[{n}, {first}, {second}] was read as [antennas, subcarriers, time]"
            return _arranged(shape, 2, None, note)
        self._reject_features_first(shape[1:], "windows, ")
        return _arranged(shape, 1, 0)

    def _four_axes(self, shape: tuple[int, ...]) -> Axes:
        """By times, labels and `rec_offset`, where they fit one reading alone; else by widths that are usual."""
        what = self._arrays.what(self._key)
        if shape[3] == 2 and (self._key.casefold() in RAW or self._has_negative()):
            raise RecordingFormatError(
                f"{what}: expected magnitudes, found {list(shape)}, which looks like I/Q pairs; save "
                "numpy.hypot(array[..., 0], array[..., 1]), or say which axis is which with --axes"
            )
        fitting = [time for time in range(4) if self._fits(shape, time)]
        likely = [time for time in fitting or range(4) if _is_usual(shape, time)]
        if len(fitting) == 1:
            likely, why = fitting, "for so many are the times, labels or rec_offset"
        else:
            why = "the only usual reading of this shape; --axes says another"
        if len(likely) != 1:
            raise RecordingFormatError(
                f"{what}: expected an array that can be read in one way alone, found {list(shape)}; say which axis is "
                "which, such as --axes time,antennas,antennas,subcarriers or windows,antennas,subcarriers,time (or in "
                "the column axes of a manifest)"
            )
        (time,) = likely
        if not time:
            return _arranged(shape, 0, None, f"{_as_frames(shape)}, {why}")
        names = _READINGS[time]
        return _arranged(shape, time, 0, f"{list(shape)} was read as [{names}], {why}")

    def _four_axes_of_pairs(self, shape: tuple[int, ...]) -> Axes:
        """[frames, antennas, pairs, 2] where the second axis is as short as no window, else [windows, frames, pairs,
        2], unless times, labels or `rec_offset` say which."""
        n, second, pairs, _ = shape
        frames, windows = self._fits(shape, 0), self._fits(shape, 1)
        if frames if frames != windows else second <= _ANTENNAS:
            note = f"{list(shape)} was read as frames of {second} antennas with {pairs} pairs"
            return Axes(True, lambda a: a.reshape(n, second * pairs, 2), n, notes=(note,))
        return Axes(True, lambda a: a.reshape(-1, *a.shape[2:]), n * second, n, second)

    def _fits(self, shape: tuple[int, ...], time: int) -> bool:
        """Whether times, labels and `rec_offset` can be those of frames along this axis, of the windows before it."""
        windows = shape[0] if time else 1
        frames = windows * shape[time]
        if self._arrays.first(OFFSETS):
            return not time
        times, labels = self._shape_of(TIMES), self._shape_of(LABELS)
        if times is not None and math.prod(times) != frames:
            return False
        return labels is None or math.prod(labels) in (1, frames) or labels[0] in (windows, frames)

    def _shape_of(self, names: tuple[str, ...]) -> tuple[int, ...] | None:
        key = self._arrays.first(names)
        return None if key is None else self._arrays.store.header(key).shape

    def _frames_by_others(self) -> int | None:
        """How many frames times or labels are for; None where there are none."""
        shape = self._shape_of(LABELS)
        return self._frames_by_times() or (shape[0] if shape else None)

    def _frames_by_times(self) -> int | None:
        shape = self._shape_of(TIMES)
        return shape[0] if shape is not None and len(shape) == 1 else None

    def _reject_features_first(self, shape: tuple[int, ...], before: str = "") -> None:
        rows, columns = shape
        windows = "windows," if before else ""
        if rows in _WIDTHS and columns not in _WIDTHS and columns > rows and not self._arrays.first(OFFSETS):
            raise RecordingFormatError(
                f"{self._arrays.what(self._key)}: expected [{before}frames, features], found "
                f"[{before}{rows}, {columns}], which looks like features by frames; say so with --axes "
                f"{windows}features,time or in the column axes of a manifest ({windows}time,features, where it is not)"
            )


def _arranged(shape: tuple[int, ...], time: int, windows: int | None, note: str = "") -> Axes:
    """Frames along the axis `time`, of windows along another one; what is left are their features, in order."""
    rows = (time,) if windows is None else (windows, time)
    order = (*rows, *(axis for axis in range(len(shape)) if axis not in rows))
    frames = math.prod(shape[axis] for axis in rows)
    width = math.prod(shape[axis] for axis in order[len(rows) :])
    return Axes(
        False,
        lambda a: np.transpose(a, order).reshape(frames, width),
        frames,
        0 if windows is None else shape[windows],
        0 if windows is None else shape[time],
        (note,) if note else (),
    )


def _as_frames(shape: tuple[int, ...]) -> str:
    return f"{list(shape)} was read as frames of {' times '.join(map(str, shape[1:]))} features"


def _is_usual(shape: tuple[int, ...], time: int) -> bool:
    """Whether four axes with frames along `time` are few antennas and as many subcarriers as recorders write; in
    windows, the length is one of time."""
    *antennas, subcarriers = sorted(size for axis, size in enumerate(shape) if axis != time and axis)
    if time and (shape[time] <= _ANTENNAS or shape[time] in _WIDTHS):
        return False
    return subcarriers in _WIDTHS and max(antennas) <= _ANTENNAS
