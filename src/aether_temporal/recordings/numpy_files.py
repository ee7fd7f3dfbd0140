"""Reads .npz and .npy files with numpy, after a look at the sizes they declare. Nothing is unpickled."""

from __future__ import annotations

import io
import os
import tokenize
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.lib import format as numpy_format
from numpy.typing import NDArray

from aether_temporal._internal.atomic_files import write_atomic
from aether_temporal.errors import RecordingError, RecordingFormatError

from .array_recordings import read_arrays
from .arrays import ArrayHeader, sound_text
from .containers import DAMAGED, MAX_RATIO, UNSUSPICIOUS, Source, is_damage
from .recording import Recording
from .recording_file import Hints, RecordingFile, RecordingFormat

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
            shape, _, dtype = read(file)
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
    return ArrayHeader(tuple(int(n) for n in shape), dtype)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 200 characters."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


class NpzArchive:
    """The arrays of an .npz file, each read once, when it is first asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, NDArray[Any]] = {}
        with self._named_damage(f"{path}", "expected an .npz archive"), zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        self.keys = tuple(name.removesuffix(".npy") for name in names if name.endswith(".npy"))

    def __str__(self) -> str:
        return str(self._path)

    def header(self, key: str) -> ArrayHeader:
        """Shape and type of an array, of which nothing else is unpacked. RecordingFormatError: the archive does not
        hold as many bytes, or they are out of proportion to their packed size."""
        what = f"{self}: {key}"
        with (
            self._named_damage(what, "expected a whole archive member"),
            zipfile.ZipFile(self._path) as archive,
            archive.open(f"{key}.npy") as member,
        ):
            header = read_header(cast(BinaryIO, member), what)
            info = archive.getinfo(f"{key}.npy")
            held, packed = info.file_size - member.tell(), min(info.compress_size, os.path.getsize(self._path))
        if held < header.data_bytes:
            raise RecordingFormatError(
                f"{what}: expected {header.data_bytes} bytes, found {held}; save or copy the file again"
            )
        if header.data_bytes > max(UNSUSPICIOUS, MAX_RATIO * packed):
            raise RecordingFormatError(
                f"{what}: expected at most {MAX_RATIO} times its {packed} packed bytes (or {UNSUSPICIOUS} bytes), "
                f"found an array that unpacks to {header.data_bytes}; save it without compression, if you trust it"
            )
        return header

    def array(self, key: str) -> NDArray[Any]:
        """The array. RecordingFormatError as of `header`, and for text that is none."""
        if key not in self._kept:
            self.header(key)
            what = f"{self}: {key}"
            with (
                self._named_damage(what, "expected a whole archive member"),
                _silent(),
                np.load(self._path, allow_pickle=False) as file,
            ):
                self._kept[key] = sound_text(file[key], what)
        return self._kept[key]

    @contextmanager
    def _named_damage(self, what: str, expected: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, OSError, *DAMAGED) as error:
            if isinstance(error, RecordingError) or not is_damage(error):
                raise
            raise RecordingFormatError(
                f"{what}: {expected}, found a damaged one ({first_line(error)}); save or copy the file again"
            ) from None


class _NpyFile:
    """The one array of an .npy file, under the name `array`; it stays in the file, memory-mapped, unless it is
    packed."""

    keys = ("array",)

    def __init__(self, source: Source) -> None:
        self._source = source

    def __str__(self) -> str:
        return str(self._source)

    def header(self, _: str) -> ArrayHeader:
        with self._source.open() as file:
            return read_header(file, str(self))

    def array(self, _: str) -> NDArray[Any]:
        return self._array

    @cached_property
    def _array(self) -> NDArray[Any]:
        header = self.header("array")
        try:
            with _silent():
                if not self._source.packing:
                    mapped: NDArray[Any] = np.load(self._source.path, mmap_mode="r", allow_pickle=False)
                    return sound_text(mapped, str(self))
                packed = os.path.getsize(self._source.path)
                if header.data_bytes > max(UNSUSPICIOUS, MAX_RATIO * packed):
                    raise RecordingFormatError(
                        f"{self}: expected at most {MAX_RATIO} times its {packed} packed bytes, found an array that "
                        f"unpacks to {header.data_bytes}; unpack the file, if you trust it"
                    )
                with self._source.open() as file:
                    return sound_text(numpy_format.read_array(file, allow_pickle=False), str(self))
        except (*_UNPARSABLE, OSError) as error:
            if isinstance(error, RecordingError):
                raise
            raise RecordingFormatError(
                f"{self}: expected a whole .npy array, found a damaged one ({first_line(error)}); save or copy it again"
            ) from None


@contextmanager
def _silent() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about headers that Python 2 wrote
        yield


def read_npz(source: Source, hints: Hints) -> RecordingFile:
    """The recordings of an archive."""
    return read_arrays(NpzArchive(source.plain()), NPZ.name, source.stem, hints)


def read_npy(source: Source, hints: Hints) -> RecordingFile:
    """The recording of an array, or one for each window."""
    return read_arrays(_NpyFile(source), NPY.name, source.stem, hints)


def save_recording(recording: Recording, path: str | os.PathLike[str]) -> None:
    """Writes an .npz file that `open_recording` reads. RecordingError for a recording without frames; OSError."""
    if not len(recording):
        raise RecordingError(f"{recording.title}: expected frames to save, found none")
    arrays: dict[str, Any] = {"iq": recording.iq} if recording.iq is not None else {"frames": recording.frames}
    if recording.timestamps is not None:
        arrays["timestamps"] = recording.timestamps
    if recording.labels is not None:
        arrays |= {"labels": recording.labels, "label_names": np.array(recording.label_names)}
    if recording.subcarriers is not None:
        arrays["subcarriers"] = str(recording.subcarriers)
    if recording.frame_rate is not None:
        arrays["frame_rate"] = recording.frame_rate
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomic(path, buffer.getvalue())


NPZ = RecordingFormat(
    "npz", ".npz", lambda head: 0 if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) else -1, read_npz
)
NPY = RecordingFormat("npy", ".npy", lambda head: 0 if head.startswith(numpy_format.MAGIC_PREFIX) else -1, read_npy)
