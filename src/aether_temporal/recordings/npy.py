"""Reads an .npy file: an array [frames, features], or int8 I/Q [frames, pairs, 2]."""

from __future__ import annotations

import math
import tokenize
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.lib import format as numpy_format
from numpy.typing import NDArray

from aether_temporal.errors import RecordingFormatError

from .drops import Drop
from .recording import Recording, RecordingFormat, RecordingInfo, choose

_ROWS_AT_ONCE = 4096
_MAX_HEADER = 1 << 16

# What numpy's parser of headers is known to raise on damaged ones.
_UNPARSABLE = (
    ValueError,
    EOFError,
    SyntaxError,
    TypeError,
    KeyError,
    OverflowError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
)


@dataclass(frozen=True)
class ArrayHeader:
    """Shape and type of the array in an .npy stream."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool

    @property
    def row_bytes(self) -> int:
        """Bytes of one entry along the first axis."""
        return int(self.dtype.itemsize) * math.prod(self.shape[1:])

    @property
    def data_bytes(self) -> int:
        """Bytes of the whole array."""
        return int(self.dtype.itemsize) * math.prod(self.shape)


class _BoundedHeader:
    """A stream that rejects the length of a damaged header before anything of that length is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, n: int) -> bytes:
        if n > _MAX_HEADER:
            raise ValueError(f"a header of {n} bytes")
        return self._file.read(n)


def read_header(stream: BinaryIO, what: str) -> ArrayHeader:
    """Reads the header of an .npy stream, by numpy's parser. RecordingFormatError: damaged, or an array of objects."""
    file = cast(BinaryIO, _BoundedHeader(stream))
    try:
        version = numpy_format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise RecordingFormatError(f"{what}: expected .npy version 1.0 or 2.0, found {version[0]}.{version[1]}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers that Python 2 wrote
            read = numpy_format.read_array_header_1_0 if version == (1, 0) else numpy_format.read_array_header_2_0
            shape, fortran, dtype = read(file)
    except _UNPARSABLE as error:
        if isinstance(error, RecordingFormatError):
            raise
        raise RecordingFormatError(
            f"{what}: expected an .npy header, found a damaged one ({first_line(error)})"
        ) from None
    if dtype.hasobject or dtype.names is not None or dtype.kind not in "biufcUS":
        raise RecordingFormatError(f"{what}: expected numbers or text, found dtype {dtype}")
    if any(n < 0 for n in shape):
        raise RecordingFormatError(f"{what}: expected sizes of 0 or more, found shape {list(shape)}")
    return ArrayHeader(tuple(int(n) for n in shape), dtype, bool(fortran))


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 200 characters."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def as_features(values: NDArray[Any], what: str) -> NDArray[np.float32]:
    """Numbers [T, F] as float32, without a copy where they already are; complex numbers become magnitudes.

    RecordingFormatError for another shape or type.
    """
    if values.ndim != 2 or values.shape[1] == 0:
        raise RecordingFormatError(f"{what}: expected [frames, features], found shape {list(values.shape)}")
    if values.dtype.kind == "c":
        values = np.abs(values)
    if values.dtype.kind not in "biuf":
        raise RecordingFormatError(f"{what}: expected numbers, found dtype {values.dtype}")
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


def list_npy(path: Path) -> list[RecordingInfo]:
    """The one recording of the file."""
    with path.open("rb") as file:
        header = read_header(file, str(path))
    return [RecordingInfo(0, path.stem, header.shape[0] if header.shape else 0)]


def open_npy(path: Path, recording: int | str | None = None) -> Recording:
    """float32 frames and I/Q pairs stay in the file, memory-mapped; other numbers are converted.

    Frames with NaN or infinity are dropped.
    """
    choose(str(path), list_npy(path), recording)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise RecordingFormatError(f"{path}: expected a whole .npy array, found a damaged one ({error})") from None
    if values.ndim == 3 and values.shape[2] == 2 and values.dtype == np.int8:
        return Recording(source=str(path), name=path.stem, format=FORMAT.name, iq=np.ascontiguousarray(values))
    frames = as_features(values, str(path))
    keep = finite_rows(frames)
    return Recording(
        source=str(path),
        name=path.stem,
        format=FORMAT.name,
        frames=frames if keep is None else frames[keep],
        dropped={} if keep is None else {str(Drop.NOT_FINITE): int((~keep).sum())},
    )


def _find(head: bytes) -> int:
    return 0 if head.startswith(numpy_format.MAGIC_PREFIX) else -1


FORMAT = RecordingFormat("npy", ".npy", _find, list_npy, open_npy)
