"""Named arrays in a file, wherever they are stored, and finding them by name.

Names are compared without regard to case; of each row of names below, the first that is there counts
(docs/recordings.md has the table).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import RecordingFormatError

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
