"""Reads and writes .npz files, which hold one recording, or several one after the other along time.

Keys, of which the first that is present counts (docs/recordings.md has the table): `iq`, `frames`, `features`, `amp`,
`csi`: int8 [N, pairs, 2] is I/Q, [N, F] is features; `t`, `timestamps`; `frame_activity`, `labels`; `activity_names`,
`label_names`; `rate_hz`, `frame_rate`; `rec_offset` and one value for each recording in `rec_name`, `rec_subject` or
`rec_subject` (or `rec_person`), `rec_session`, `rec_label`.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from aether_temporal._internal.atomic_files import write_atomic
from aether_temporal.errors import RecordingError, RecordingFormatError

from .drops import Drop
from .npy import ArrayHeader, as_features, finite_rows, first_line, read_header
from .recording import Recording, RecordingFormat, RecordingInfo, choose, rate_of

_FRAMES = ("iq", "frames", "features", "amp", "csi")
_TIMES = ("t", "timestamps")
_LABELS = ("frame_activity", "labels")
_NAMES = ("activity_names", "label_names")
_RATE = ("rate_hz", "frame_rate")
_SUBJECTS = ("rec_subject", "rec_person")
_MAX_VALUES = 1 << 16
"""Recordings in a file, or names of labels."""
_MAX_BYTES = 1 << 12
"""Of one name."""
_UNSUSPICIOUS = 1 << 28
"""Bytes up to which an array is unpacked, however small its packed size is."""
_MAX_RATIO = 200
"""A larger array may unpack to this many times its packed size; measurements stay far below."""

_T = TypeVar("_T")


class NpzArchive:
    """The arrays of an .npz file, read by rows and never unpickled. Close it, or use it in `with`."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, OverflowError) as error:
            raise RecordingFormatError(
                f"{path}: expected an .npz archive, found a damaged one ({first_line(error)})"
            ) from None
        self.keys = tuple(name.removesuffix(".npy") for name in self._zip.namelist() if name.endswith(".npy"))

    def __enter__(self) -> NpzArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def header(self, key: str) -> ArrayHeader:
        """Shape and type of an array, of which nothing else is unpacked."""
        return self._with(key, lambda file, header: header)

    def rows(self, key: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Rows [start, stop) of the array; only these are kept in memory (an array in Fortran order is read whole).

        RecordingFormatError for an array that unpacks to more than 256 MiB and more than 200 times its packed size.
        """

        def read(file: BinaryIO, header: ArrayHeader) -> NDArray[Any]:
            self._reject_bomb(key, header)
            return _read_rows(file, header, start, stop, f"{self._path}: {key}")

        return self._with(key, read)

    def _reject_bomb(self, key: str, header: ArrayHeader) -> None:
        """Checks the size of the whole array, since rows are reached by unpacking those before them."""
        member = self._zip.getinfo(f"{key}.npy")
        size = min(header.data_bytes, member.file_size)
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
                f"{what}: expected a whole archive member, found a damaged one ({first_line(error)})"
            ) from None
        except OSError as error:
            raise RecordingFormatError(f"{what}: cannot be read ({first_line(error)})") from None


def _read_rows(file: BinaryIO, header: ArrayHeader, start: int, stop: int | None, what: str) -> NDArray[Any]:
    """`file` stands behind the header. Reading takes memory for what the file holds, not for what a header declares."""
    if not header.shape:
        return np.frombuffer(_take(file, header.data_bytes, what), dtype=header.dtype).reshape(())
    total = header.shape[0]
    stop = total if stop is None else stop
    if not 0 <= start <= stop <= total:
        raise RecordingFormatError(f"{what}: expected at least {stop} rows, found {total}")
    if header.fortran_order and len(header.shape) > 1:
        data = _take(file, header.data_bytes, what)
        return np.ascontiguousarray(np.frombuffer(data, header.dtype).reshape(header.shape, order="F")[start:stop])
    if header.row_bytes == 0:
        raise RecordingFormatError(f"{what}: expected values, found shape {list(header.shape)}")
    file.seek(start * header.row_bytes, os.SEEK_CUR)
    data = _take(file, (stop - start) * header.row_bytes, what)
    return np.frombuffer(data, header.dtype).reshape(stop - start, *header.shape[1:])


def _take(file: BinaryIO, count: int, what: str) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise RecordingFormatError(f"{what}: expected {count} bytes, found {len(data)}")
    return data


class _Set:
    """The tables of an .npz file; frames are read one recording at a time."""

    def __init__(self, path: Path, archive: NpzArchive) -> None:
        self.path, self.archive = path, archive
        self.frames_key = self._first(_FRAMES)
        if self.frames_key is None:
            raise RecordingFormatError(
                f"{path}: expected an array named {', '.join(_FRAMES)}; found {', '.join(archive.keys) or 'none'}"
            )
        shape = archive.header(self.frames_key).shape
        if not shape:
            raise RecordingFormatError(f"{path}: {self.frames_key}: expected an array of frames, found a single number")
        self.offset = self._offsets(shape[0])

    def _first(self, keys: tuple[str, ...]) -> str | None:
        return next((key for key in keys if key in self.archive.keys), None)

    def _offsets(self, total: int) -> NDArray[np.int64]:
        if "rec_offset" not in self.archive.keys:
            return np.array([0, total], dtype=np.int64)
        header = self.archive.header("rec_offset")
        if len(header.shape) != 1 or header.shape[0] < 2 or header.dtype.kind not in "iu":
            raise RecordingFormatError(
                f"{self.path}: rec_offset: expected two or more integers, found {header.dtype} {list(header.shape)}"
            )
        if header.shape[0] > _MAX_VALUES:
            raise RecordingFormatError(
                f"{self.path}: rec_offset: expected at most {_MAX_VALUES} offsets, found {header.shape[0]}"
            )
        offset = self.archive.rows("rec_offset").astype(np.int64)
        if offset[0] < 0 or offset[-1] > total or (np.diff(offset) < 0).any():
            raise RecordingFormatError(f"{self.path}: rec_offset: expected ascending values within 0 … {total}")
        return offset

    def of_recording(self, key: str, index: int) -> Any:
        """The value of a `rec_*` array for one recording; None without that array."""
        table = self._table(key)
        return None if table is None else table[index]

    def infos(self) -> list[RecordingInfo]:
        subjects = self._first(_SUBJECTS) or _SUBJECTS[0]
        tables = {key: self._table(key) for key in ("rec_name", subjects, "rec_session")}
        infos: list[RecordingInfo] = []
        taken: set[str] = set()
        for index in range(len(self.offset) - 1):
            name, subject, session = (None if table is None else str(table[index]) for table in tables.values())
            if name is None:
                parts = [f"subject{subject}"] if subject is not None else []
                parts += [f"session{session}"] if session is not None else []
                name = "/".join(parts) or (self.path.stem if len(self.offset) == 2 else f"recording{index}")
                name = name if name not in taken else f"{name}/recording{index}"
                taken.add(name)
            infos.append(
                RecordingInfo(
                    index, name, int(self.offset[index + 1] - self.offset[index]), subject=subject, session=session
                )
            )
        return infos

    def _table(self, key: str) -> list[Any] | None:
        """A `rec_*` array; its shape is checked before anything is unpacked."""
        if key not in self.archive.keys:
            return None
        shape = self.archive.header(key).shape
        if shape != (len(self.offset) - 1,):
            raise RecordingFormatError(
                f"{self.path}: {key}: expected one value for each of {len(self.offset) - 1} recordings, "
                f"found {list(shape)}"
            )
        return list(self._small(key).tolist())

    def _small(self, key: str) -> NDArray[Any]:
        """A table: at most 65 536 values of at most 4 KiB each."""
        header = self.archive.header(key)
        if np.prod(header.shape, dtype=object) > _MAX_VALUES or header.dtype.itemsize > _MAX_BYTES:
            raise RecordingFormatError(
                f"{self.path}: {key}: expected at most {_MAX_VALUES} values of at most {_MAX_BYTES} bytes, "
                f"found {list(header.shape)} of {header.dtype.itemsize}"
            )
        return self.archive.rows(key)

    def per_frame(self, keys: tuple[str, ...], start: int, stop: int) -> NDArray[Any] | None:
        key = self._first(keys)
        if key is None:
            return None
        header = self.archive.header(key)
        if len(header.shape) != 1 or header.dtype.kind not in "biuf":
            raise RecordingFormatError(
                f"{self.path}: {key}: expected one number a frame, found {header.dtype} {list(header.shape)}"
            )
        return self.archive.rows(key, start, stop)

    def label_names(self) -> tuple[str, ...]:
        key = self._first(_NAMES)
        if key is None:
            return ()
        values = self._small(key)
        if values.ndim != 1 or values.dtype.kind != "U":
            raise RecordingFormatError(
                f"{self.path}: {key}: expected a list of names, found {values.dtype} {list(values.shape)}"
            )
        return tuple(str(name) for name in values)

    def rate(self) -> float | None:
        key = self._first(_RATE)
        if key is None:
            return None
        value = self._small(key)
        if value.size != 1 or value.dtype.kind not in "iuf" or not 0 < float(value.reshape(())) < float("inf"):
            raise RecordingFormatError(f"{self.path}: {key}: expected one number above 0, found {value.tolist()!r:.60}")
        return float(value.reshape(()))


def list_npz(path: Path) -> list[RecordingInfo]:
    """The recordings of the file, in order."""
    with NpzArchive(str(path)) as archive:
        return _Set(path, archive).infos()


def open_npz(path: Path, recording: int | str | None = None) -> Recording:
    """One recording; only its rows are read into memory. Frames with NaN or infinity are dropped."""
    with NpzArchive(str(path)) as archive:
        found = _Set(path, archive)
        info = choose(str(path), found.infos(), recording)
        return _open(found, info)


def _open(found: _Set, info: RecordingInfo) -> Recording:
    assert found.frames_key is not None
    start, stop = int(found.offset[info.index]), int(found.offset[info.index + 1])
    values = found.archive.rows(found.frames_key, start, stop)
    times = found.per_frame(_TIMES, start, stop)
    timestamps = None if times is None else times.astype(np.float64)
    if timestamps is not None and not np.isfinite(timestamps).all():
        raise RecordingFormatError(f"{found.path}: {found._first(_TIMES)}: expected finite seconds, found others")
    labels, names = _labels(found, info, start, stop)
    iq = frames = keep = None
    if values.ndim == 3 and values.shape[2] == 2 and values.dtype == np.int8:
        iq = values
    else:
        frames = as_features(values, f"{found.path}: {found.frames_key}")
        keep = finite_rows(frames)
    dropped = {}
    if frames is not None and keep is not None:
        dropped = {str(Drop.NOT_FINITE): int((~keep).sum())}
        frames = frames[keep]
        timestamps = None if timestamps is None else timestamps[keep]
        labels = None if labels is None else labels[keep]
    return Recording(
        source=str(found.path),
        name=info.name,
        format=FORMAT.name,
        frames=frames,
        iq=iq,
        timestamps=timestamps,
        labels=labels,
        label_names=names,
        subject=info.subject,
        session=info.session,
        frame_rate=rate_of(timestamps) or found.rate(),
        dropped=dropped,
    )


def _labels(
    found: _Set, info: RecordingInfo, start: int, stop: int
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    names = found.label_names()
    values = found.per_frame(_LABELS, start, stop)
    if values is None:
        one = found.of_recording("rec_label", info.index)
        if one is None:
            return None, ()
        if isinstance(one, str):
            return np.zeros(stop - start, dtype=np.int64), (one,)
        values = np.full(stop - start, one)
    if values.dtype.kind == "f":
        raise RecordingFormatError(f"{found.path}: labels: expected integers, found {values.dtype}")
    labels = values.astype(np.int64)
    labels[labels < 0] = -1
    if not names:
        names = tuple(str(i) for i in range(int(labels.max(initial=-1)) + 1)) if labels.max(initial=-1) < 65536 else ()
    return labels, names


def save_recording(recording: Recording, path: str | os.PathLike[str]) -> None:
    """Writes an .npz file that `open_recording` reads. RecordingError for a recording without frames; OSError."""
    if not len(recording):
        raise RecordingError(f"{recording.title}: expected frames to save, found none")
    arrays: dict[str, Any] = {"iq": recording.iq} if recording.iq is not None else {"frames": recording.frames}
    if recording.timestamps is not None:
        arrays["timestamps"] = recording.timestamps
    if recording.labels is not None:
        arrays |= {"labels": recording.labels, "label_names": np.array(recording.label_names)}
    if recording.frame_rate is not None:
        arrays["frame_rate"] = recording.frame_rate
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomic(path, buffer.getvalue())


def _find(head: bytes) -> int:
    return 0 if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) else -1


FORMAT = RecordingFormat("npz", ".npz", _find, list_npz, open_npz)
