"""Finds recordings in named arrays, wherever they are stored: which array holds the frames, how its axes are to be
read, and what the other arrays say of them.

Names are compared without regard to case; of each row of names below, the first that is there counts
(docs/recordings.md has the table).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import RecordingFormatError
from aether_temporal.subcarriers import CHIPS, SubcarrierMap

from .csi_words import HIGH, LOW, is_12_bit, words_of
from .drops import Drop
from .hints import Hints, subcarriers_by
from .recording import Recording, RecordingInfo, label_indices, rate_of
from .recording_file import RecordingFile

_YEAR_10000 = 253_402_300_800
"""In seconds since 1970."""
_FRAMES = ("iq", "frames", "features", "amp", "csi", "csi_data", "csiamp", "csi_amp", "amplitude", "x", "data")
_RAW = ("iq", "csi", "csi_data")
"""Names under which int8 or int16 are I/Q values."""
_TIMES = ("t", "timestamps", "timestamp", "time")
_LABELS = ("frame_activity", "labels", "label", "y", "target", "activity")
_NAMES = ("activity_names", "label_names", "class_names", "classes")
_RATE = ("rate_hz", "frame_rate")
_SUBCARRIERS = ("subcarrier", "subcarriers")
_CHIPS = {chip.removeprefix("esp32") for chip in CHIPS}
_SUBJECTS = ("rec_subject", "rec_person")
_MAX_VALUES = 1 << 16
"""Recordings in a file, or names of labels."""
_MAX_BYTES = 1 << 12
"""Of one name."""
_ROWS_AT_ONCE = 4096
_ANTENNAS, _FEW_ANTENNAS = 8, 4
_WIDTHS = (
    {26, 28, 30, 52, 53, 56, 57, 60, 64, 90, 104, 108, 112}
    | {114, 128, 180, 192, 234, 242, 256, 270, 306, 342}
)  # fmt: skip
"""Features a frame that recorders write, antennas together. An axis of such a length before a longer one of another is
taken for features before time."""


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


@dataclass(frozen=True)
class _Reading:
    """How the array of frames is read: `arrange` makes [N, F], or [N, pairs, 2] where `raw`, of the stored one;
    `windows` of `length` frames each, where it holds such."""

    raw: bool
    arrange: Callable[[NDArray[Any]], NDArray[Any]]
    frames: int
    windows: int = 0
    length: int = 0
    notes: tuple[str, ...] = ()
    words: bool = False  # of 12 bits


def read_arrays(store: Arrays, format_: str, stem: str, hints: Hints) -> RecordingFile:
    """The recordings in the arrays of a file. Frames are read when a recording is opened."""
    found = _Set(store, format_, stem, hints)
    return RecordingFile(str(store), format_, tuple(found.infos()), found.open)


@dataclass(eq=False)
class _Set:
    store: Arrays
    format: str
    stem: str
    hints: Hints
    key: str = field(init=False)
    reading: _Reading = field(init=False)
    offset: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self._by_name = {key.casefold(): key for key in reversed(self.store.keys)}
        self.key, notes = self._frames_key()
        self.reading = self._axes()
        self.notes = notes + self.reading.notes
        self.offset = self._offsets()

    # -- arrays by name -----------------------------------------------------------------------------------------------

    def _first(self, names: Iterable[str]) -> str | None:
        return next((self._by_name[name] for name in names if name in self._by_name), None)

    def _what(self, key: str) -> str:
        return f"{self.store}: {key}"

    def _frames_key(self) -> tuple[str, tuple[str, ...]]:
        key = self._first(_FRAMES)
        if key is not None:
            return key, ()
        wide = [key for key in self.store.keys if len(self.store.header(key).shape) >= 2]
        wide = [key for key in wide if self.store.header(key).dtype.kind in "biufc"]
        if len(wide) == 1:
            return wide[0], ((f"the array {wide[0]} was taken for the frames",) if wide[0] != "array" else ())
        raise RecordingFormatError(
            f"{self.store}: expected an array named {', '.join(_FRAMES)}; found "
            f"{', '.join(self.store.keys) or 'none'}; save the frames under one of these names"
        )

    def _small(self, key: str) -> NDArray[Any]:
        """A table: at most 65 536 values of at most 4 KiB each."""
        header = self.store.header(key)
        if math.prod(header.shape) > _MAX_VALUES or header.dtype.itemsize > _MAX_BYTES:
            raise RecordingFormatError(
                f"{self._what(key)}: expected at most {_MAX_VALUES} values of at most {_MAX_BYTES} bytes, "
                f"found {list(header.shape)} of {header.dtype.itemsize}; save fewer or shorter ones"
            )
        return self.store.array(key)

    def _scalar(self, key: str) -> Any:
        """The value of an array of one; None without the array."""
        name = self._first((key,))
        if name is None or math.prod(self.store.header(name).shape) != 1:
            return None
        return self._small(name).reshape(()).item()

    # -- axes ---------------------------------------------------------------------------------------------------------

    def _axes(self) -> _Reading:
        header = self.store.header(self.key)
        shape, what = header.shape, self._what(self.key)
        if not shape:
            raise RecordingFormatError(f"{what}: expected an array of frames, found a single number; save one a frame")
        kind = header.dtype.kind
        if kind not in "biufc":
            raise RecordingFormatError(f"{what}: expected numbers, found dtype {header.dtype}; save them as numbers")
        if len(shape) < 2 or 0 in shape[1:]:
            raise RecordingFormatError(
                f"{what}: expected [frames, features], found shape {list(shape)}; save one row a frame"
            )
        words = header.dtype == np.int8 or (header.dtype == np.int16 and self._is_within_12_bits())
        if words and shape[-1] == 2 and len(shape) == 3:
            return _Reading(True, np.ascontiguousarray, shape[0])
        if words and shape[-1] == 2 and len(shape) == 4:
            return _Reading(True, lambda a: a.reshape(-1, *a.shape[2:]), shape[0] * shape[1], shape[0], shape[1])
        if len(shape) == 2:
            return self._two_axes(shape, words)
        if len(shape) == 3 and shape[2] == 2 and kind in "if" and (self.key.casefold() in _RAW or self._has_negative()):
            note = f"{list(shape)} of {header.dtype} was read as I/Q pairs"
            return _Reading(False, lambda a: np.hypot(a[:, :, 0], a[:, :, 1]), shape[0], notes=(note,))
        if len(shape) == 3:
            return self._three_axes(shape)
        if len(shape) == 4 and shape[1] <= _ANTENNAS and shape[3] > _ANTENNAS:
            n, antennas, subcarriers, length = shape
            note = f"[{n}, {antennas}, {subcarriers}, {length}] was read as [windows, antennas, subcarriers, time]"
            return _Reading(
                False,
                lambda a: np.moveaxis(a, 3, 1).reshape(n * length, antennas * subcarriers),
                n * length,
                n,
                length,
                (note,),
            )
        raise RecordingFormatError(
            f"{what}: expected [frames, features], [frames, pairs, 2] or [windows, frames, features], found shape "
            f"{list(shape)}; save it as one of these"
        )

    def _two_axes(self, shape: tuple[int, ...], words: bool) -> _Reading:
        what, columns = self._what(self.key), shape[1]
        raw = self.key.casefold() in _RAW or (self.key == "array" and words and self._has_negative())
        if words and raw:
            declared = self._scalar("num_subcarriers")
            if columns % 2 or (declared is not None and columns not in (2 * declared, 4 * declared)):
                wanted = f"{2 * int(declared)}" if declared is not None else "an even number"
                raise RecordingFormatError(
                    f"{what}: expected {wanted} of I/Q values a frame, found {columns}; save pairs as int8 "
                    "[frames, pairs, 2], or features as float32"
                )
            return self._flat_words(shape)
        as_they_are = _Reading(False, lambda a: a, shape[0])
        along = self._frames_by_others()
        if along == shape[1] != shape[0]:
            note = f"[{shape[0]}, {shape[1]}] was read as [features, frames], for there are times or labels for {along}"
            return _Reading(False, np.transpose, shape[1], notes=(note,))
        if along != shape[0]:
            self._reject_features_first(shape)
        return as_they_are

    def _is_within_12_bits(self) -> bool:
        values = self.store.array(self.key)
        return not values.size or (int(values.min()) >= LOW and int(values.max()) <= HIGH)

    def _has_negative(self) -> bool:
        return bool((self.store.array(self.key)[:_ROWS_AT_ONCE] < 0).any())

    def _flat_words(self, shape: tuple[int, ...]) -> _Reading:
        """int8 or int16 [N, 2 * pairs], or the bytes of 12-bit words."""
        bits = self.hints.csi_bits
        if self.store.header(self.key).dtype == np.int8 and bits != 8:
            head = self.store.array(self.key)[:_ROWS_AT_ONCE]
            if bits == 12 or is_12_bit(head, self._scalar("chip")):
                note = "the frames were read as 12-bit words, two bytes each (csi_bits)"
                return _Reading(True, words_of, shape[0], notes=(note,), words=True)
        return _Reading(True, lambda a: np.ascontiguousarray(a).reshape(len(a), -1, 2), shape[0])

    def _three_axes(self, shape: tuple[int, ...]) -> _Reading:
        n, first, second = shape
        if "rec_offset" in self._by_name or min(first, second) <= _ANTENNAS or self._frames_by_times() == n:
            note = f"[{n}, {first}, {second}] was read as frames of {first} times {second} features"
            return _Reading(False, lambda a: a.reshape(n, first * second), n, notes=(note,))
        if n <= _FEW_ANTENNAS and first in _WIDTHS:
            note = f"[{n}, {first}, {second}] was read as [antennas, subcarriers, time]"
            return _Reading(False, lambda a: np.moveaxis(a, 2, 0).reshape(second, n * first), second, notes=(note,))
        self._reject_features_first(shape[1:], "windows, ")
        return _Reading(False, lambda a: a.reshape(n * first, second), n * first, n, first)

    def _frames_by_others(self) -> int | None:
        """How many frames times or labels are for; None where there are none."""
        key = self._first(_LABELS)
        shape = () if key is None else self.store.header(key).shape
        return self._frames_by_times() or (shape[0] if shape else None)

    def _frames_by_times(self) -> int | None:
        key = self._first(_TIMES)
        shape = () if key is None else self.store.header(key).shape
        return shape[0] if len(shape) == 1 else None

    def _reject_features_first(self, shape: tuple[int, ...], before: str = "") -> None:
        rows, columns = shape
        if rows in _WIDTHS and columns not in _WIDTHS and columns > rows and not {"rec_offset"} & set(self._by_name):
            raise RecordingFormatError(
                f"{self._what(self.key)}: expected [{before}frames, features], found [{before}{rows}, {columns}], "
                "which looks like features by frames; save the array with these axes exchanged (numpy.swapaxes(array, "
                f"-1, -2)), or, where it is [{before}frames, features], with a time for each frame (t)"
            )

    # -- recordings ---------------------------------------------------------------------------------------------------

    def _offsets(self) -> NDArray[np.int64]:
        total = self.reading.frames
        if self.reading.windows or self.reading.length:
            if self.reading.windows > _MAX_VALUES:
                raise RecordingFormatError(
                    f"{self._what(self.key)}: expected at most {_MAX_VALUES} windows, found {self.reading.windows}; "
                    "divide the file"
                )
            return np.arange(self.reading.windows + 1, dtype=np.int64) * self.reading.length
        key = self._first(("rec_offset",))
        if key is None:
            return np.array([0, total], dtype=np.int64)
        header, what = self.store.header(key), self._what(key)
        if len(header.shape) != 1 or header.shape[0] < 2 or header.dtype.kind not in "iu":
            raise RecordingFormatError(
                f"{what}: expected two or more integers, found {header.dtype} {list(header.shape)}; save them so"
            )
        if header.shape[0] > _MAX_VALUES:
            raise RecordingFormatError(
                f"{what}: expected at most {_MAX_VALUES} offsets, found {header.shape[0]}; divide the file"
            )
        offset = self.store.array(key).astype(np.int64)
        if offset[0] < 0 or offset[-1] > total or (np.diff(offset) < 0).any():
            raise RecordingFormatError(
                f"{what}: expected ascending values within 0 … {total}, found others; save them so"
            )
        return offset

    @property
    def recordings(self) -> int:
        return len(self.offset) - 1

    def infos(self) -> list[RecordingInfo]:
        """The recordings, in order."""
        subjects = self._first(_SUBJECTS) or _SUBJECTS[0]
        tables = {key: self._table(key) for key in ("rec_name", subjects, "rec_session")}
        infos: list[RecordingInfo] = []
        taken: set[str] = set()
        kind = "window" if self.reading.windows else "recording"
        for index in range(self.recordings):
            name, subject, session = (None if table is None else str(table[index]) for table in tables.values())
            if name is None:
                parts = [f"subject{subject}"] if subject is not None else []
                parts += [f"session{session}"] if session is not None else []
                name = "/".join(parts) or (self.stem if self.recordings == 1 else f"{kind}{index}")
                name = name if name not in taken else f"{name}/{kind}{index}"
                taken.add(name)
            frames = int(self.offset[index + 1] - self.offset[index])
            infos.append(RecordingInfo(index, name, frames, subject=subject, session=session))
        return infos

    def _table(self, name: str) -> list[Any] | None:
        """A `rec_*` array; its shape is checked before anything is unpacked."""
        key = self._first((name.casefold(),))
        if key is None:
            return None
        shape = self.store.header(key).shape
        if shape != (self.recordings,):
            raise RecordingFormatError(
                f"{self._what(key)}: expected one value for each of {self.recordings} recordings, found {list(shape)}; "
                "save as many"
            )
        return list(self._small(key).tolist())

    def _start(self, index: int) -> float | None:
        """`rec_start` of a recording; None where it is no time from 1970 to 9999."""
        table = self._table("rec_start")
        value = None if table is None else table[index]
        known = isinstance(value, int | float) and 0 <= value < _YEAR_10000
        return float(value) if known else None

    @cached_property
    def _frames(self) -> NDArray[Any]:
        return self.reading.arrange(self.store.array(self.key))

    @cached_property
    def _timestamps(self) -> NDArray[np.float64] | None:
        key = self._first(_TIMES)
        if key is None:
            return None
        header, what = self.store.header(key), self._what(key)
        if header.dtype.kind not in "iuf" or math.prod(header.shape) != self.reading.frames:
            raise RecordingFormatError(
                f"{what}: expected seconds for each of {self.reading.frames} frames, found {header.dtype} "
                f"{list(header.shape)}; save as many numbers"
            )
        times: NDArray[np.float64] = self.store.array(key).astype(np.float64).reshape(-1)
        if not np.isfinite(times).all():
            raise RecordingFormatError(f"{what}: expected finite seconds, found others; leave those frames out")
        return times

    @cached_property
    def _labels(self) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
        """Labels of all frames, and their names."""
        names = self._label_names()
        key = self._first(_LABELS)
        if key is None:
            table = self._table("rec_label")
            if table is None:
                return None, ()
            key, values = "rec_label", np.array(table)
        else:
            values = self._label_values(key)
        labels, names = _as_indices(values, names, self._what(key))
        if len(labels) == 1 or (len(labels) == self.recordings and len(labels) != self.reading.frames):
            lengths = np.diff(self.offset)
            every = np.full(self.reading.frames, -1, dtype=np.int64)
            every[int(self.offset[0]) : int(self.offset[-1])] = np.repeat(
                labels, lengths if len(labels) > 1 or self.recordings == 1 else lengths.sum()
            )
            labels = every
        return labels, names

    def _label_values(self, key: str) -> NDArray[Any]:
        """One value a label: those of several columns, of which one is 1, are the column."""
        header, what = self.store.header(key), self._what(key)
        shape, kind = header.shape, header.dtype.kind
        counts = {1, self.recordings, self.reading.frames}
        if kind not in "biufUS" or header.dtype.itemsize > _MAX_BYTES:
            raise RecordingFormatError(f"{what}: expected numbers or text, found {header.dtype}; save labels as those")
        if len(shape) == 2 and shape[0] in counts and 1 < shape[1] <= _MAX_VALUES and kind in "biuf":
            if shape == (self.recordings, self.reading.length):
                return self.store.array(key).reshape(-1)
            columns = self.store.array(key)
            if not (np.isin(columns, (0, 1)).all() and (columns.sum(axis=1) <= 1).all()):
                raise RecordingFormatError(
                    f"{what}: expected one-hot rows (one 1, else 0) or one label a frame, found others; save "
                    "array.argmax(axis=1)"
                )
            return np.where(columns.any(axis=1), columns.argmax(axis=1), -1)
        if math.prod(shape) not in counts or max(shape, default=1) != math.prod(shape):
            raise RecordingFormatError(
                f"{what}: expected one label a frame ({self.reading.frames}) or a recording ({self.recordings}), found "
                f"{list(shape)}; save as many"
            )
        return self.store.array(key).reshape(-1)

    def _label_names(self) -> tuple[str, ...]:
        key = self._first(_NAMES)
        if key is None:
            return ()
        values = self._small(key)
        if values.ndim != 1 or values.dtype.kind != "U":
            raise RecordingFormatError(
                f"{self._what(key)}: expected a list of names, found {values.dtype} {list(values.shape)}; save text"
            )
        return tuple(str(name) for name in values)

    def _rate(self) -> float | None:
        key = self._first(_RATE)
        if key is not None:
            value = self._small(key)
            if value.size == 1 and value.dtype.kind in "iuf" and 0 < float(value.reshape(())) < math.inf:
                return float(value.reshape(()))
            found = repr(value.tolist())[:60]
            raise RecordingFormatError(f"{self._what(key)}: expected one number above 0, found {found}; save it so")
        duration = self._scalar("duration_ms")
        if isinstance(duration, int | float) and 0 < duration < math.inf and self.recordings == 1:
            return (self.reading.frames - 1) * 1e3 / duration or None
        return None

    def _subcarriers(self, width: int) -> SubcarrierMap | None:
        """By their numbers in the file, else by its chip."""
        key, chip = self._first(_SUBCARRIERS), self._scalar("chip")
        if key is not None and self.hints.layout is None and self.store.header(key).shape == (width,):
            numbers = self._small(key)
            if numbers.dtype.kind in "iu" and len(np.unique(numbers)) == width and (abs(numbers) <= 511).all():
                return SubcarrierMap.of(numbers.tolist())
        known = isinstance(chip, str) and re.sub(r"[^a-z0-9]", "", chip.lower()).removeprefix("esp32") in _CHIPS
        return subcarriers_by(self.hints, (chip,) if known else (), width, twelve_bits=self.reading.words)

    def open(self, info: RecordingInfo) -> Recording:
        """One recording. Frames with NaN or infinity are dropped."""
        part = slice(int(self.offset[info.index]), int(self.offset[info.index + 1]))
        labels, names = self._labels
        times = self._timestamps
        labels = None if labels is None else labels[part].copy()
        times = None if times is None else times[part]
        frames = iq = keep = None
        if self.reading.raw:
            iq = np.ascontiguousarray(self._frames[part])
        else:
            frames = as_features(self._frames[part], self._what(self.key))
            keep = finite_rows(frames)
        dropped = {}
        if frames is not None and keep is not None:
            dropped = {str(Drop.NOT_FINITE): int((~keep).sum())}
            frames = frames[keep]
            times = None if times is None else times[keep]
            labels = None if labels is None else labels[keep]
        return Recording(
            source=str(self.store),
            name=info.name,
            format=self.format,
            frames=frames,
            iq=iq,
            timestamps=times,
            labels=labels,
            label_names=names,
            subject=info.subject,
            session=info.session,
            start=self._start(info.index),
            frame_rate=rate_of(times) or self._rate(),
            subcarriers=self._subcarriers(int(self._frames.shape[1])),
            dropped=dropped,
            notes=self.notes,
        )


def _as_indices(values: NDArray[Any], names: tuple[str, ...], what: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels as indices into names: text, integers, or floats that are integers; negative and NaN are no label."""
    if values.dtype.kind in "US":
        texts = values.tolist()
        return label_indices([v if isinstance(v, str) else v.decode("utf-8", "replace") for v in texts], names)
    if values.dtype.kind == "f":
        known = values[~np.isnan(values)]
        if not np.array_equal(known, np.trunc(known)) or (np.abs(known) > 2**31).any():
            raise RecordingFormatError(f"{what}: expected integers, found {values.dtype}; save one class a frame")
        values = np.where(np.isnan(values), -1, values)
    labels = values.astype(np.int64)
    labels[labels < 0] = -1
    most = int(labels.max(initial=-1))
    if not names and most < _MAX_VALUES:
        names = tuple(str(i) for i in range(most + 1))
    return labels, names


def as_features(values: NDArray[Any], what: str) -> NDArray[np.float32]:
    """Numbers [T, F] as float32, without a copy where they already are; complex numbers become magnitudes."""
    if values.dtype.kind == "c":
        values = np.abs(values)
    if values.dtype == np.float32 and values.flags.c_contiguous:
        return values
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, dtype=np.float32)


def finite_rows(frames: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Which rows are finite; None when all are. Reads a mapped file piece by piece."""
    keep = np.ones(len(frames), dtype=np.bool_)
    for start in range(0, len(frames), _ROWS_AT_ONCE):
        keep[start : start + _ROWS_AT_ONCE] = np.isfinite(frames[start : start + _ROWS_AT_ONCE]).all(axis=1)
    return None if keep.all() else keep
