"""Reads files of named arrays: .npz and .npy with numpy, MATLAB and HDF5 files with scipy and h5py, after a look at the
sizes they declare. Nothing is unpickled."""

from __future__ import annotations

import io
import os
import tokenize
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.lib import format as numpy_format
from numpy.typing import NDArray

from aether_temporal._internal.atomic_files import write_atomic
from aether_temporal.errors import MissingExtraError, RecordingError, RecordingFormatError

from .array_recordings import read_arrays
from .arrays import LABELS, ArrayHeader, Arrays, sound_text
from .recording import Recording
from .recording_file import (
    DAMAGED,
    LAST,
    MAX_RATIO,
    UNSUSPICIOUS,
    Hints,
    RecordingFile,
    RecordingFormat,
    Source,
    is_damage,
)

# -- .npz and .npy ---------------------------------------------------------------------------------------------

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


_LEAST_NUMBERS = 5
"""Of a line of a table of numbers: fewer are labels, spans or times."""
_MOST_TABLE_BYTES = 1 << 28


class _NumbersFile:
    """The numbers of a text file, a row a line, under the name `array`."""

    keys = ("array",)

    def __init__(self, source: Source) -> None:
        self._source = source

    def __str__(self) -> str:
        return str(self._source)

    def header(self, _: str) -> ArrayHeader:
        return ArrayHeader(self._array.shape, self._array.dtype)

    def array(self, _: str) -> NDArray[Any]:
        return self._array

    @cached_property
    def _array(self) -> NDArray[Any]:
        with self._source.open() as file:
            data = file.read(_MOST_TABLE_BYTES + 1)
        if len(data) > _MOST_TABLE_BYTES:
            raise RecordingFormatError(
                f"{self}: expected a table of at most {_MOST_TABLE_BYTES} bytes, found more; save it as .npy"
            )
        try:
            return np.loadtxt(io.BytesIO(data), dtype=np.float64, delimiter=",", ndmin=2, encoding="utf-8-sig")
        except ValueError as error:
            raise RecordingFormatError(
                f"{self}: expected lines of equally many numbers with commas between them, found others "
                f"({first_line(error)}); save the table again, or as .npy"
            ) from None


def _find_numbers(head: bytes) -> int:
    """After any other format: what the first line begins with is five numbers or more, with commas between them."""
    line = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].split(b",")[:_LEAST_NUMBERS]
    try:
        [float(text) for text in line]
    except ValueError:
        return -1
    return LAST if len(line) == _LEAST_NUMBERS else -1


@contextmanager
def _silent() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about headers that Python 2 wrote
        yield


_MOST_LABEL_BYTES = 1 << 26


class _Labelled:
    """Arrays of a file, with labels of another one in place of their own."""

    keys: tuple[str, ...]

    def __init__(self, store: Arrays, labels: NDArray[Any]) -> None:
        self._store, self._labels = store, labels
        self.keys = (*(key for key in store.keys if key.casefold() not in LABELS), LABELS[0])

    def __str__(self) -> str:
        return str(self._store)

    def header(self, key: str) -> ArrayHeader:
        if key == LABELS[0]:
            return ArrayHeader(self._labels.shape, self._labels.dtype)
        return self._store.header(key)

    def array(self, key: str) -> NDArray[Any]:
        return self._labels if key == LABELS[0] else self._store.array(key)


def _labelled(store: Arrays, hints: Hints) -> Arrays:
    """The arrays, with the labels of the file that the user names: an .npy file whatever its name, or text, a label a
    line. RecordingFormatError."""
    if hints.labels is None:
        return store
    source = Source(hints.labels)
    with source.open() as file:
        head = file.read(len(numpy_format.MAGIC_PREFIX))
        if head != numpy_format.MAGIC_PREFIX:
            data = head + file.read(_MOST_LABEL_BYTES)
    if head == numpy_format.MAGIC_PREFIX:
        return _Labelled(store, np.asarray(_NpyFile(source).array("")))
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        lines = []
    if not lines or len(data) > _MOST_LABEL_BYTES:
        raise RecordingFormatError(
            f"{source}: expected labels, an .npy array or text with one a line, found something else; save them as that"
        )
    labels = np.array([line.strip() for line in lines])
    with suppress(ValueError):
        labels = labels.astype(np.float64)
    return _Labelled(store, labels)


def read_npz(source: Source, hints: Hints) -> RecordingFile:
    """The recordings of an archive."""
    return read_arrays(_labelled(NpzArchive(source.plain()), hints), NPZ.name, source.stem, hints)


def read_npy(source: Source, hints: Hints) -> RecordingFile:
    """The recording of an array, or one for each window."""
    return read_arrays(_labelled(_NpyFile(source), hints), NPY.name, source.stem, hints)


def read_numbers(source: Source, hints: Hints) -> RecordingFile:
    """The recording of a table, a frame a line."""
    return read_arrays(_labelled(_NumbersFile(source), hints), NUMBERS.name, source.stem, hints)


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
NUMBERS = RecordingFormat("numbers", "a table of numbers (CSV without a header)", _find_numbers, read_numbers)
NPY = RecordingFormat("npy", ".npy", lambda head: 0 if head.startswith(numpy_format.MAGIC_PREFIX) else -1, read_npy)


# -- MATLAB and HDF5 -------------------------------------------------------------------------------------------

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_MATLAB = b"MATLAB "
_MATLAB_7_3 = b"MATLAB 7.3"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


class _Stored:
    """Arrays of a file with headers that are known before the values are read."""

    def __init__(self, source: Source) -> None:
        self._path = source.plain()
        self._kept: dict[str, NDArray[Any]] = {}

    def __str__(self) -> str:
        return str(self._path)

    @property
    def keys(self) -> tuple[str, ...]:
        """Arrays of numbers or text."""
        return tuple(self._headers)

    def header(self, key: str) -> ArrayHeader:
        """RecordingFormatError: the array unpacks out of proportion to the file."""
        header, size = self._headers[key], os.path.getsize(self._path)
        if header.data_bytes > max(UNSUSPICIOUS, MAX_RATIO * size):
            raise RecordingFormatError(
                f"{self}: {key}: expected at most {MAX_RATIO} times the file's {size} bytes, found an array that "
                f"unpacks to {header.data_bytes}; save it without compression, if you trust it"
            )
        return header

    def array(self, key: str) -> NDArray[Any]:
        """The array, read once."""
        if key not in self._kept:
            self.header(key)
            self._kept[key] = sound_text(self._read(key), f"{self}: {key}")
        return self._kept[key]

    @cached_property
    def _headers(self) -> dict[str, ArrayHeader]:
        raise NotImplementedError

    def _read(self, key: str) -> NDArray[Any]:
        raise NotImplementedError

    def _damaged(self, kind: str, error: Exception) -> RecordingFormatError:
        return RecordingFormatError(
            f"{self}: expected a whole {kind} file, found a damaged one ({_first_line(error)}); save or copy it again"
        )


class _Matlab(_Stored):
    """MATLAB up to version 7.2, with scipy. Text is a table of characters, one row an entry."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        try:
            from scipy import io
        except ImportError:
            raise MissingExtraError(
                "MATLAB files: expected scipy, found it not installed; run `pip install scipy`"
            ) from None
        self._io = io

    @cached_property
    def _headers(self) -> dict[str, ArrayHeader]:
        kinds = {"char": np.dtype("U64"), "logical": np.dtype(np.uint8)}
        try:
            listed = self._io.whosmat(self._path)
            types = {name: kinds.get(kind) or np.dtype(kind) for name, _, kind in listed if kind not in _OTHER_KINDS}
            return {
                name: ArrayHeader(_squeezed(shape, types[name]), types[name])
                for name, shape, _ in listed
                if name in types
            }
        except Exception as error:  # scipy raises what its parser meets
            raise self._damaged("MATLAB", error) from None

    def _read(self, key: str) -> NDArray[Any]:
        try:
            values = self._io.loadmat(self._path, variable_names=[key], chars_as_strings=True)[key]
        except Exception as error:
            raise self._damaged("MATLAB", error) from None
        if values.dtype.kind == "U":
            values = np.char.rstrip(values)
        wanted = self._headers[key].shape
        return np.asarray(values).reshape(wanted if int(np.prod(wanted)) == values.size else values.shape)


_OTHER_KINDS = {"cell", "struct", "object", "sparse", "function", "opaque", "unknown"}


def _squeezed(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, ...]:
    """MATLAB has no arrays of fewer than two axes; characters of a row are one text."""
    shape = shape[:-1] if dtype.kind == "U" else shape
    if len(shape) == 2 and 1 in shape:
        return () if shape == (1, 1) else (max(shape),)
    return () if dtype.kind == "U" and shape == (1,) else shape


class _Hdf5(_Stored):
    """HDF5, with h5py; `matlab`: written by MATLAB 7.3, whose axes are in the opposite order."""

    def __init__(self, source: Source, matlab: bool) -> None:
        super().__init__(source)
        self._matlab = matlab
        try:
            import h5py
        except ImportError:
            raise MissingExtraError(
                "HDF5 files: expected h5py, found it not installed; run `pip install h5py`"
            ) from None
        self._h5py = h5py

    @cached_property
    def _headers(self) -> dict[str, ArrayHeader]:
        found: dict[str, ArrayHeader] = {}

        def visit(name: str, item: Any) -> None:
            if not isinstance(item, self._h5py.Dataset) or item.shape is None:
                return
            text = self._h5py.check_string_dtype(item.dtype) is not None
            parts = item.dtype.names
            dtype = np.dtype("U1") if text else np.dtype(complex) if parts == ("real", "imag") else item.dtype
            if dtype.kind in "biufcU" and "#refs#" not in name:
                shape = _squeezed(item.shape[::-1], dtype) if self._matlab else item.shape
                found.setdefault(name.rsplit("/", 1)[-1], ArrayHeader(tuple(map(int, shape)), dtype))
                self._places.setdefault(name.rsplit("/", 1)[-1], name)

        self._places: dict[str, str] = {}
        try:
            with self._h5py.File(self._path, "r") as file:
                file.visititems(visit)
        except Exception as error:  # h5py raises what the library meets
            raise self._damaged("HDF5", error) from None
        return found

    def _read(self, key: str) -> NDArray[Any]:
        header = self._headers[key]
        try:
            with self._h5py.File(self._path, "r") as file:
                item = file[self._places[key]]
                if header.dtype.kind == "U":
                    return np.asarray(item.asstr()[()], dtype=np.str_).reshape(header.shape)
                values = item[()]
        except Exception as error:
            raise self._damaged("HDF5", error) from None
        if values.dtype.names == ("real", "imag"):
            values = values["real"] + 1j * values["imag"]
        return np.asarray(values.T if self._matlab else values).reshape(header.shape)


def read_mat(source: Source, hints: Hints) -> RecordingFile:
    """The recordings in a MATLAB file. MissingExtraError without scipy, or h5py for version 7.3."""
    with source.open() as file:
        is_hdf5 = file.read(len(_MATLAB_7_3)) == _MATLAB_7_3
    store = _Hdf5(source, True) if is_hdf5 else _Matlab(source)
    return read_arrays(_labelled(store, hints), MAT.name, source.stem, hints)


def read_hdf5(source: Source, hints: Hints) -> RecordingFile:
    """The recordings in an HDF5 file. MissingExtraError without h5py."""
    return read_arrays(_labelled(_Hdf5(source, False), hints), HDF5.name, source.stem, hints)


MAT = RecordingFormat("mat", "a MATLAB file", lambda head: 0 if head.startswith(_MATLAB) else -1, read_mat)
HDF5 = RecordingFormat("hdf5", "an HDF5 file", lambda head: 0 if head.startswith(_HDF5_MAGIC) else -1, read_hdf5)
