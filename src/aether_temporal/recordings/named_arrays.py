"""Reads the named arrays of MATLAB and HDF5 files, with scipy and h5py, as if they were an .npz file's."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import MissingExtraError, RecordingFormatError

from .array_recordings import read_arrays
from .arrays import ArrayHeader, sound_text
from .containers import MAX_RATIO, UNSUSPICIOUS, Source
from .recording_file import Hints, RecordingFile, RecordingFormat

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
    return read_arrays(_Hdf5(source, True) if is_hdf5 else _Matlab(source), MAT.name, source.stem, hints)


def read_hdf5(source: Source, hints: Hints) -> RecordingFile:
    """The recordings in an HDF5 file. MissingExtraError without h5py."""
    return read_arrays(_Hdf5(source, False), HDF5.name, source.stem, hints)


MAT = RecordingFormat("mat", "a MATLAB file", lambda head: 0 if head.startswith(_MATLAB) else -1, read_mat)
HDF5 = RecordingFormat("hdf5", "an HDF5 file", lambda head: 0 if head.startswith(_HDF5_MAGIC) else -1, read_hdf5)
