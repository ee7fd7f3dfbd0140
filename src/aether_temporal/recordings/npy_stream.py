"""Rows of an array in an .npz member, without unpacking the array as a whole and without ever unpickling."""

from __future__ import annotations

import os
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .errors import RecordingFormatError

_CHUNK = 1 << 20
_MAX_HEADER = 1 << 16
_UNSUSPICIOUS = 1 << 28
"""An array of up to so many bytes is unpacked however small it was packed."""
_MAX_RATIO = 200
"""A larger one only up to so many times its packed size: measurements, even scaled to few values, stay far below."""

# What numpy's own parser of headers is known to raise on damaged ones.
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
_T = TypeVar("_T")


@dataclass(frozen=True)
class ArrayHeader:
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool

    @property
    def row_bytes(self) -> int:
        size = int(self.dtype.itemsize)
        for n in self.shape[1:]:
            size *= n
        return size


class _Bounded:
    """A file for numpy's header parser, which would read whatever length a header declares."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, n: int) -> bytes:
        if n > _MAX_HEADER:
            raise ValueError(f"a header of {n} bytes")
        return self._file.read(n)


def read_header(stream: BinaryIO, what: str) -> ArrayHeader:
    """The header at the beginning of an .npy stream. RecordingFormatError when damaged or of objects."""
    file = cast(BinaryIO, _Bounded(stream))
    try:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise RecordingFormatError(f"{what}: expected .npy version 1.0 or 2.0, found {version[0]}.{version[1]}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers by Python 2
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read(file)
    except _UNPARSABLE as error:
        if isinstance(error, RecordingFormatError):
            raise
        raise RecordingFormatError(
            f"{what}: expected an .npy header, found a damaged one ({_first_line(error)})"
        ) from None
    if dtype.hasobject or dtype.names is not None or dtype.kind not in "biufcUS":
        raise RecordingFormatError(f"{what}: expected numbers or text, found dtype {dtype}")
    if any(n < 0 for n in shape):
        raise RecordingFormatError(f"{what}: expected sizes of 0 or more, found shape {list(shape)}")
    return ArrayHeader(tuple(int(n) for n in shape), dtype, bool(fortran))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


class NpzArchive:
    """An .npz file's arrays. Close it, or use it in `with`."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, OverflowError) as error:
            raise RecordingFormatError(
                f"{path}: expected an .npz archive, found a damaged one ({_first_line(error)})"
            ) from None
        self.keys = tuple(name.removesuffix(".npy") for name in self._zip.namelist() if name.endswith(".npy"))

    def __enter__(self) -> NpzArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def header(self, key: str) -> ArrayHeader:
        return self._with(key, lambda file, header: header)

    def rows(self, key: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Rows [start, stop) of the array; only these are kept in memory (an array in Fortran order is read whole).

        RecordingFormatError for an array that unpacks to more than 256 MiB and more than 200 times its packed size.
        """

        def read(file: BinaryIO, header: ArrayHeader) -> NDArray[Any]:
            self._refuse_bomb(key, header)
            return _read_rows(file, header, start, stop, f"{self._path}: {key}")

        return self._with(key, read)

    def _refuse_bomb(self, key: str, header: ArrayHeader) -> None:
        """Whole arrays count, since rows further on are reached by unpacking those before them."""
        member = self._zip.getinfo(f"{key}.npy")
        size = min(header.row_bytes * (header.shape[0] if header.shape else 1), member.file_size)
        packed = min(member.compress_size, os.path.getsize(self._path))
        if size > max(_UNSUSPICIOUS, _MAX_RATIO * packed):
            raise RecordingFormatError(
                f"{self._path}: {key}: expected at most {_MAX_RATIO} times its {packed} packed bytes (or "
                f"{_UNSUSPICIOUS} bytes), found an array that unpacks to {size}"
            )

    def _with(self, key: str, use: Callable[[BinaryIO, ArrayHeader], _T]) -> _T:
        what = f"{self._path}: {key}"
        try:
            with self._zip.open(f"{key}.npy") as member:
                file = cast(BinaryIO, member)
                return use(file, read_header(file, what))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OverflowError, RuntimeError) as error:
            raise RecordingFormatError(
                f"{what}: expected a whole archive member, found a damaged one ({_first_line(error)})"
            ) from None
        except OSError as error:
            raise RecordingFormatError(f"{what}: cannot be read ({_first_line(error)})") from None


def _read_rows(file: BinaryIO, header: ArrayHeader, start: int, stop: int | None, what: str) -> NDArray[Any]:
    if not header.shape:
        data = _take(file, header.dtype.itemsize, what)
        return np.frombuffer(data, dtype=header.dtype).reshape(())
    total = header.shape[0]
    stop = total if stop is None else stop
    if not 0 <= start <= stop <= total:
        raise RecordingFormatError(f"{what}: expected at least {stop} rows, found {total}")
    if header.fortran_order and len(header.shape) > 1:
        data = _take(file, header.row_bytes * total, what)
        whole = np.frombuffer(data, dtype=header.dtype).reshape(header.shape[::-1]).T
        return np.ascontiguousarray(whole[start:stop])
    if header.row_bytes == 0:
        raise RecordingFormatError(f"{what}: expected values, found shape {list(header.shape)}")
    left = start * header.row_bytes
    while left:
        piece = file.read(min(left, _CHUNK))
        if not piece:
            raise RecordingFormatError(f"{what}: expected {total} rows, found the end of the data")
        left -= len(piece)
    data = _take(file, (stop - start) * header.row_bytes, what)
    return np.frombuffer(data, dtype=header.dtype).reshape(stop - start, *header.shape[1:])


def _take(file: BinaryIO, count: int, what: str) -> bytes:
    """Exactly `count` bytes. Grows with what is there, not with what a header declares."""
    data = bytearray()
    while len(data) < count:
        piece = file.read(min(count - len(data), _CHUNK))
        if not piece:
            raise RecordingFormatError(f"{what}: expected {count} bytes, found {len(data)}")
        data += piece
    return bytes(data)
