"""The recordings in named arrays: their frames, times, labels and what else the arrays say of them."""

from __future__ import annotations

import math
import re
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import InvalidArgumentError, RecordingFormatError, ShapeError
from aether_temporal.subcarriers import CHIPS, SubcarrierMap, parse_layout

from .arrays import LABELS, MAX_BYTES, MAX_VALUES, OFFSETS, ROWS_AT_ONCE, TIMES, Arrays, NamedArrays, axes_of
from .csi_buffers import settled_subcarriers
from .recording import Drop, Recording, RecordingInfo, label_indices, rate_of
from .recording_file import Hints, RecordingFile

_NAMES = ("activity_names", "label_names", "class_names", "classes")
_RATE = ("rate_hz", "frame_rate")
_SUBCARRIERS = ("subcarrier", "subcarriers")
_SUBJECTS = ("rec_subject", "rec_person")
_SAVE_OFFSETS = "save the first row of each recording, then the number of rows"
_YEAR_10000 = 253_402_300_800
"""In seconds since 1970."""
_CHIPS = {chip.removeprefix("esp32") for chip in CHIPS}


def read_arrays(store: Arrays, format_: str, stem: str, hints: Hints) -> RecordingFile:
    """The recordings in the arrays of a file. Frames are read when a recording is opened."""
    found = _Recordings(store, format_, stem, hints)
    return RecordingFile(str(store), format_, tuple(found.infos()), found.open)


class _Recordings:
    def __init__(self, store: Arrays, format_: str, stem: str, hints: Hints) -> None:
        self._arrays, self._format, self._stem, self._hints = NamedArrays(store), format_, stem, hints
        self._key, notes = self._arrays.frames_key()
        self._axes = axes_of(self._arrays, self._key, hints)
        self._notes = notes + self._axes.notes
        self._offset = self._offsets()

    def _offsets(self) -> NDArray[np.int64]:
        total = self._axes.frames
        if self._axes.windows or self._axes.length:
            if self._axes.windows > MAX_VALUES:
                raise RecordingFormatError(
                    f"{self._arrays.what(self._key)}: expected at most {MAX_VALUES} windows, found "
                    f"{self._axes.windows}; divide the file"
                )
            return np.arange(self._axes.windows + 1, dtype=np.int64) * self._axes.length
        key = self._arrays.first(OFFSETS)
        if key is None:
            return np.array([0, total], dtype=np.int64)
        header, what = self._arrays.store.header(key), self._arrays.what(key)
        if len(header.shape) != 1 or header.shape[0] < 2 or header.dtype.kind not in "iu":
            raise RecordingFormatError(
                f"{what}: expected two or more integers, found {header.dtype} {list(header.shape)}; {_SAVE_OFFSETS}"
            )
        if header.shape[0] > MAX_VALUES:
            raise RecordingFormatError(
                f"{what}: expected at most {MAX_VALUES} offsets, found {header.shape[0]}; divide the file"
            )
        offset = self._arrays.store.array(key).astype(np.int64)
        if offset[0] < 0 or offset[-1] > total or (np.diff(offset) < 0).any():
            raise RecordingFormatError(
                f"{what}: expected ascending values within 0 … {total}, found others; {_SAVE_OFFSETS}"
            )
        return offset

    @property
    def _count(self) -> int:
        return len(self._offset) - 1

    def infos(self) -> list[RecordingInfo]:
        """The recordings, in order."""
        subjects = self._arrays.first(_SUBJECTS) or _SUBJECTS[0]
        tables = {key: self._table(key) for key in ("rec_name", subjects, "rec_session")}
        infos: list[RecordingInfo] = []
        taken: set[str] = set()
        kind = "window" if self._axes.windows else "recording"
        for index in range(self._count):
            name, subject, session = (None if table is None else str(table[index]) for table in tables.values())
            if name is None:
                parts = [f"subject{subject}"] if subject is not None else []
                parts += [f"session{session}"] if session is not None else []
                name = "/".join(parts) or (self._stem if self._count == 1 else f"{kind}{index}")
                name = name if name not in taken else f"{name}/{kind}{index}"
                taken.add(name)
            frames = int(self._offset[index + 1] - self._offset[index])
            infos.append(RecordingInfo(index, name, frames, subject=subject, session=session))
        return infos

    def _table(self, name: str) -> list[Any] | None:
        """A `rec_*` array; its shape is checked before anything is unpacked."""
        key = self._arrays.first((name.casefold(),))
        if key is None:
            return None
        shape = self._arrays.store.header(key).shape
        if shape != (self._count,):
            raise RecordingFormatError(
                f"{self._arrays.what(key)}: expected one value for each of {self._count} recordings, found "
                f"{list(shape)}; save as many"
            )
        return list(self._arrays.small(key).tolist())

    @cached_property
    def _frames(self) -> NDArray[Any]:
        return self._axes.arrange(self._arrays.store.array(self._key))

    @cached_property
    def _timestamps(self) -> NDArray[np.float64] | None:
        key = self._arrays.first(TIMES)
        if key is None:
            return None
        header, what = self._arrays.store.header(key), self._arrays.what(key)
        if header.dtype.kind not in "iuf" or math.prod(header.shape) != self._axes.frames:
            raise RecordingFormatError(
                f"{what}: expected seconds for each of {self._axes.frames} frames, found {header.dtype} "
                f"{list(header.shape)}; save as many numbers"
            )
        times: NDArray[np.float64] = self._arrays.store.array(key).astype(np.float64).reshape(-1)
        if not np.isfinite(times).all():
            raise RecordingFormatError(f"{what}: expected finite seconds, found others; leave those frames out")
        return times

    @cached_property
    def _labels(self) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
        """Labels of all frames, and their names."""
        names = self._label_names()
        key = self._arrays.first(LABELS)
        if key is None:
            table = self._table("rec_label")
            if table is None:
                return None, ()
            key, values = "rec_label", np.array(table)
        else:
            values = self._label_values(key)
        labels, names = _as_indices(values, names, self._arrays.what(key))
        if len(labels) == 1 or (len(labels) == self._count and len(labels) != self._axes.frames):
            lengths = np.diff(self._offset)
            every = np.full(self._axes.frames, -1, dtype=np.int64)
            every[int(self._offset[0]) : int(self._offset[-1])] = np.repeat(
                labels, lengths if len(labels) > 1 or self._count == 1 else lengths.sum()
            )
            labels = every
        return labels, names

    def _label_values(self, key: str) -> NDArray[Any]:
        """One value a label: those of several columns, of which one is 1, are the column."""
        header, what = self._arrays.store.header(key), self._arrays.what(key)
        shape, kind = header.shape, header.dtype.kind
        counts = {1, self._count, self._axes.frames}
        if kind not in "biufUS" or header.dtype.itemsize > MAX_BYTES:
            raise RecordingFormatError(f"{what}: expected numbers or text, found {header.dtype}; save labels as those")
        if len(shape) == 2 and shape[0] in counts and 1 < shape[1] <= MAX_VALUES and kind in "biuf":
            if shape == (self._count, self._axes.length):
                return self._arrays.store.array(key).reshape(-1)
            columns = self._arrays.store.array(key)
            if not (np.isin(columns, (0, 1)).all() and (columns.sum(axis=1) <= 1).all()):
                raise RecordingFormatError(
                    f"{what}: expected one-hot rows (one 1, else 0) or one label a frame, found others; save "
                    "array.argmax(axis=1)"
                )
            return np.where(columns.any(axis=1), columns.argmax(axis=1), -1)
        if math.prod(shape) not in counts or max(shape, default=1) != math.prod(shape):
            raise RecordingFormatError(
                f"{what}: expected one label a frame ({self._axes.frames}) or a recording ({self._count}), found "
                f"{list(shape)}; save as many"
            )
        return self._arrays.store.array(key).reshape(-1)

    def _label_names(self) -> tuple[str, ...]:
        key = self._arrays.first(_NAMES)
        if key is None:
            return ()
        values = self._arrays.small(key)
        if values.ndim != 1 or values.dtype.kind != "U":
            raise RecordingFormatError(
                f"{self._arrays.what(key)}: expected a list of names, found {values.dtype} "
                f"{list(values.shape)}; save text"
            )
        return tuple(str(name) for name in values)

    def _rate(self) -> float | None:
        key = self._arrays.first(_RATE)
        if key is not None:
            value = self._arrays.small(key)
            if value.size == 1 and value.dtype.kind in "iuf" and 0 < float(value.reshape(())) < math.inf:
                return float(value.reshape(()))
            found = repr(value.tolist())[:60]
            raise RecordingFormatError(
                f"{self._arrays.what(key)}: expected one number above 0, found {found}; save the "
                "frames per second, or leave it out"
            )
        duration = self._arrays.scalar("duration_ms")
        if isinstance(duration, int | float) and 0 < duration < math.inf and self._count == 1:
            return (self._axes.frames - 1) * 1e3 / duration or None
        return None

    def _start(self, index: int) -> float | None:
        """`rec_start` of a recording; None where it is no time from 1970 to 9999."""
        table = self._table("rec_start")
        value = None if table is None else table[index]
        return float(value) if isinstance(value, int | float) and 0 <= value < _YEAR_10000 else None

    def _layout(self, text: str, width: int) -> SubcarrierMap:
        """What `save_recording` wrote of it."""
        try:
            found = parse_layout(text)
        except (InvalidArgumentError, ShapeError) as error:
            raise RecordingFormatError(
                f"{self._arrays.what('subcarriers')}: {error}; save it as --layout takes it"
            ) from None
        if len(found) != width:
            raise RecordingFormatError(
                f"{self._arrays.what('subcarriers')}: expected one for each of {width} columns, found {len(found)}; "
                "state them all"
            )
        return found

    def _numbered(self, width: int) -> SubcarrierMap | None:
        """The subcarriers that the file names one by one."""
        key = self._arrays.first(_SUBCARRIERS)
        layout = self._arrays.scalar("subcarriers")
        if isinstance(layout, str):
            try:
                return self._layout(layout, width)
            except RecordingFormatError:
                if self._hints.layout is None:
                    raise
                return None  # the user says it instead
        if key is not None and self._arrays.store.header(key).shape == (width,):
            numbers = self._arrays.small(key)
            if numbers.dtype.kind in "iu" and len(np.unique(numbers)) == width and (abs(numbers) <= 511).all():
                return SubcarrierMap.of(numbers.tolist())
        return None

    @cached_property
    def _chip(self) -> str | None:
        """The chip that the file states, where it is one of those known."""
        chip = self._arrays.scalar("chip")
        known = isinstance(chip, str) and re.sub(r"[^a-z0-9]", "", chip.lower()).removeprefix("esp32") in _CHIPS
        return str(chip) if known else None

    def open(self, info: RecordingInfo) -> Recording:
        """One recording. Frames with NaN or infinity are dropped."""
        width, chips = int(self._frames.shape[1]), () if self._chip is None else (self._chip,)
        subcarriers, about_them = settled_subcarriers(
            self._numbered(width), self._hints, chips, width, twelve_bits=self._axes.words
        )
        notes = (*self._notes, *about_them)
        if subcarriers is None and self._chip is not None:
            notes = (
                *notes,
                f"the file states chip {self._chip}, whose order of subcarriers depends on the channel too: --chip "
                f"{self._chip} takes it to be one of 20 MHz",
            )
        part = slice(int(self._offset[info.index]), int(self._offset[info.index + 1]))
        labels, names = self._labels
        times = self._timestamps
        labels = None if labels is None else labels[part].copy()
        times = None if times is None else times[part]
        frames = iq = keep = None
        if self._axes.raw:
            iq = np.ascontiguousarray(self._frames[part])
        else:
            frames = as_features(self._frames[part], self._arrays.what(self._key))
            keep = finite_rows(frames)
        dropped = {}
        if frames is not None and keep is not None:
            dropped = {str(Drop.NOT_FINITE): int((~keep).sum())}
            frames = frames[keep]
            times = None if times is None else times[keep]
            labels = None if labels is None else labels[keep]
        return Recording(
            source=str(self._arrays.store),
            name=info.name,
            format=self._format,
            frames=frames,
            iq=iq,
            timestamps=times,
            labels=labels,
            label_names=names,
            subject=info.subject,
            session=info.session,
            start=self._start(info.index),
            frame_rate=rate_of(times) or self._rate(),
            subcarriers=subcarriers,
            dropped=dropped,
            notes=notes,
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
    if not names and most < MAX_VALUES:
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
    for start in range(0, len(frames), ROWS_AT_ONCE):
        keep[start : start + ROWS_AT_ONCE] = np.isfinite(frames[start : start + ROWS_AT_ONCE]).all(axis=1)
    return None if keep.all() else keep
