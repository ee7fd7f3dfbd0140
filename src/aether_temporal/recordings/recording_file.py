"""Files of recordings. `Source`: where the bytes are, in a plain file or packed with gzip or zip. What readers take and
give: `Hints`, what a user says of a file; `RecordingFile`, the recordings of a file that was parsed once;
`RecordingFormat`, the description of a reader."""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, cast

from aether_temporal._internal.os_errors import unreadable
from aether_temporal.errors import InvalidArgumentError, RecordingError, RecordingFormatError
from aether_temporal.subcarriers import SubcarrierMap

from .recording import Recording, RecordingInfo, choose

# -- Where the bytes are ---------------------------------------------------------------------------------------

UNSUSPICIOUS = 1 << 28
"""Bytes up to which something is unpacked, however small its packed size is."""
MAX_RATIO = 200
"""What is larger may unpack to this many times its packed size; measurements stay far below."""

_HEAD = 1 << 20
_GZIP = b"\x1f\x8b"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OverflowError, RuntimeError, struct.error)
"""What gzip and zipfile are known to raise."""


def is_damage(error: Exception) -> bool:
    """Whether an error in reading an archive is due to its bytes: an OSError only of gzip, or of a place in the file
    that cannot be (zipfile seeks where a damaged directory says)."""
    return not isinstance(error, OSError) or isinstance(error, gzip.BadGzipFile) or error.errno == errno.EINVAL


@dataclass(frozen=True)
class Source:
    """A file, and what of it is read. `packing`: "" (the file as it is), "gzip" or "zip" (one member)."""

    path: Path
    packing: str = ""
    member: str = ""

    def __str__(self) -> str:
        return str(self.path)

    @property
    def stem(self) -> str:
        """The file's name without its endings."""
        return Path(self.path.stem).stem if self.packing else self.path.stem

    def open(self) -> BinaryIO:
        """The bytes, unpacked as they are read. RecordingFormatError: damaged, or out of proportion; OSError."""
        if not self.packing:
            return self.path.open("rb")
        size = os.path.getsize(self.path)
        with ExitStack() as stack, self._named_damage():
            if self.packing == "gzip":
                stream = cast(BinaryIO, stack.enter_context(gzip.open(self.path)))
            else:
                archive = stack.enter_context(zipfile.ZipFile(self.path))
                stream = cast(BinaryIO, stack.enter_context(archive.open(self.member)))
                size = min(size, archive.getinfo(self.member).compress_size)
            return cast(BinaryIO, io.BufferedReader(_Unpacked(self, stream, size, stack.pop_all())))

    @contextmanager
    def _named_damage(self) -> Iterator[None]:
        try:
            yield
        except (OSError, *DAMAGED) as error:
            if not is_damage(error):
                raise
            raise RecordingFormatError(
                f"{self}: expected whole {self.packing} data, found damaged ones ({error}); pack or copy the file again"
            ) from None

    def head(self) -> bytes:
        """The first MiB."""
        with self.open() as file:
            return file.read(_HEAD)

    def open_seekable(self) -> BinaryIO:
        """The bytes for a reader that goes back in them: packed ones are unpacked into memory."""
        file = self.open()
        if not self.packing:
            return file
        with file:
            return io.BytesIO(file.read())

    def plain(self) -> Path:
        """The file, for readers that need it unpacked. RecordingFormatError where it is packed."""
        if self.packing:
            raise RecordingFormatError(f"{self}: expected a file that is not packed, found {self.packing}; unpack it")
        return self.path


class _Unpacked(io.RawIOBase):
    """Unpacked bytes, as many as are in proportion to the packed ones."""

    def __init__(self, source: Source, stream: BinaryIO, packed: int, closing: ExitStack) -> None:
        self._source, self._stream, self._closing = source, stream, closing
        self._limit, self._count = max(UNSUSPICIOUS, MAX_RATIO * packed), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        with self._source._named_damage():
            data = self._stream.read(len(buffer))
        self._count += len(data)
        if self._count > self._limit:
            raise RecordingFormatError(
                f"{self._source}: expected at most {MAX_RATIO} times its packed bytes (or {UNSUSPICIOUS} bytes), found "
                "a file that unpacks to more; unpack it, if you trust it"
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._closing.close()
        super().close()


def is_stream(path: str | os.PathLike[str]) -> bool:
    """Whether the path is a serial device, a pipe or the like, of which the end is not there to be seen."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


@contextmanager
def open_stream(path: str) -> Iterator[BinaryIO]:
    """A serial device or pipe, to be read as it comes; a device at the speed at which it is set, and echoing nothing.
    RecordingError: it cannot be opened, or goes away."""
    try:
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NOCTTY", 0)), "rb") as file:
            if file.isatty():
                import tty

                tty.setraw(file.fileno())
            yield file
    except OSError as error:
        raise RecordingError(unreadable(path, error)) from None


def locate(path: Path) -> Source:
    """The bytes of a recording in this file. RecordingError: no file, or another container; OSError."""
    if path.is_dir():
        raise RecordingError(f"{path}: expected a file, found a directory; name a file in it")
    if is_stream(path):
        raise RecordingError(
            f"{path}: expected a file, found a device or pipe; `aether run MODEL {path}` reads it as it comes, "
            "`aether record` makes a file of it"
        )
    with path.open("rb") as file:
        magic = file.read(4)
    if magic.startswith(_GZIP):
        return Source(path, "gzip")
    if magic in _ZIP:
        return _in_zip(path)
    return Source(path)


def _in_zip(path: Path) -> Source:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
    except (ValueError, OSError, *DAMAGED) as error:
        if not is_damage(error):
            raise
        raise RecordingFormatError(
            f"{path}: expected an .npz archive, found a damaged one ({error}); save or copy it again"
        ) from None
    if "[Content_Types].xml" in names:
        kind = "workbook (.xlsx)" if any(name.startswith("xl/") for name in names) else "Office document"
        raise RecordingFormatError(f"{path}: expected a recording, found a {kind}; save the sheet as CSV")
    if not names or any(name.endswith(".npy") for name in names):
        return Source(path)
    inside = [name for name in names if not any(part.startswith((".", "__")) for part in PurePosixPath(name).parts)]
    if len(inside) != 1:
        found = ", ".join(inside[:8]) + (", …" if len(inside) > 8 else "")
        raise RecordingFormatError(f"{path}: expected one file in the zip archive, found {found or 'none'}; unpack it")
    return Source(path, "zip", inside[0])


# -- What readers take and give --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hints:
    """None: the reader finds out. csi_bits: of one I or Q in the device's buffer. chip: one of `subcarriers.CHIPS`.
    layout: which subcarrier each I/Q pair or feature is. axes: of an array of frames, as `parse_axes` gives them.
    labels: a file of the labels of an array."""

    csi_bits: Literal[8, 12] | None = None
    chip: str | None = None
    layout: SubcarrierMap | None = None
    axes: tuple[str, ...] | None = None
    labels: Path | None = None


NOTHING = Hints()
_FEATURE_AXES = ("features", "antennas", "subcarriers")


def parse_axes(text: str) -> tuple[str, ...]:
    """The names of an array's axes in order, such as "features,time". InvalidArgumentError."""
    names = tuple(text.casefold().replace(",", " ").split())
    features = [name for name in names if name in _FEATURE_AXES]
    known = len(features) + names.count("windows") + names.count("time") == len(names)
    if not known or not features or names.count("time") != 1 or names.count("windows") > 1:
        raise InvalidArgumentError.of(
            "axes", f"time once, {', '.join(_FEATURE_AXES[:-1])} or {_FEATURE_AXES[-1]}, perhaps windows", repr(text)
        )
    return names


@dataclass(frozen=True, eq=False)
class RecordingFile:
    """The recordings of one file. The file has been parsed once; each recording is made when it is asked for.

    `default` is the one that is taken where none is chosen; None: a choice is needed where there are several.
    """

    source: str
    format: str
    infos: tuple[RecordingInfo, ...]
    open: Callable[[RecordingInfo], Recording]
    default: int | None = None

    def recording(self, choice: int | str | None = None) -> Recording:
        """The recording of this index or name. RecordingSelectionError lists them."""
        if choice is None and self.default is not None:
            return self.open(self.infos[self.default])
        return self.open(choose(self.source, self.infos, choice))

    def __iter__(self) -> Iterator[Recording]:
        """Every recording, one at a time."""
        return map(self.open, self.infos)


LAST = 1 << 30
"""Behind whatever another format finds."""


@dataclass(frozen=True)
class RecordingFormat:
    """A file format and its reader.

    `find` takes the first bytes of a file and returns where the format's content starts, -1 where there is none, LAST
    where it is of this format unless it is of another one.
    """

    name: str  # in --format, FORMATS and Recording.format
    description: str  # in the error about a file that no format recognises
    find: Callable[[bytes], int]
    read: Callable[[Source, Hints], RecordingFile]
