"""From a path to a recording, by what the file holds, not by how it is called."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aether_temporal._internal.os_errors import describe

from . import capture, csi_text, npy, npz, payloads
from .errors import RecordingError, RecordingFormatError
from .raw_frame import MAGIC_BYTES
from .recording import Recording, RecordingInfo

_LOOK = 1 << 20
"""Bytes in which the first CSI line or raw frame must begin for a file to be recognised."""

_CAPTURES = (
    b"\xa1\xb2\xc3\xd4",
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    b"\x4d\x3c\xb2\xa1",
    b"\x0a\x0d\x0d\x0a",
)


@dataclass(frozen=True)
class _Format:
    name: str
    list: Callable[[Path], list[RecordingInfo]]
    open: Callable[[Path, int | str | None], Recording]


_FORMATS = {
    found.name: found
    for found in (
        _Format(npz.FORMAT, npz.list_npz, npz.open_npz),
        _Format(npy.FORMAT, npy.list_npy, npy.open_npy),
        _Format(csi_text.FORMAT, csi_text.list_csi_text, csi_text.open_csi_text),
        _Format(payloads.FORMAT, payloads.list_payloads, payloads.open_payloads),
        _Format(capture.FORMAT, capture.list_capture, capture.open_capture),
    )
}

FORMATS = tuple(_FORMATS)


def recognise(path: Path) -> str:
    """The name of the format (one of FORMATS). RecordingFormatError for a file that is none of them."""
    with path.open("rb") as file:
        head = file.read(_LOOK)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return npz.FORMAT
    if head.startswith(b"\x93NUMPY"):
        return npy.FORMAT
    if head.startswith(_CAPTURES):
        return capture.FORMAT
    raw = head.find(MAGIC_BYTES)
    text = _first_text(head)
    if raw >= 0 and (text < 0 or raw < text):
        return payloads.FORMAT
    if text >= 0:
        return csi_text.FORMAT
    found = "an empty file" if not head else f"a file that begins with {head[:8]!r}"
    raise RecordingFormatError(
        f"{path}: expected .npz, .npy, CSI text lines (CSI_DATA,…), raw CSI frames (magic 0xC5110001) or "
        f"a packet capture; found {found}"
    )


def _first_text(head: bytes) -> int:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.replace(b"\x00", b"")
    places = [head.find(mark) for mark in (b"CSI_DATA", b"first_word", b"local_timestamp")]
    return min((place for place in places if place >= 0), default=-1)


def _prepare(path: str | os.PathLike[str], wanted: str | None) -> tuple[Path, _Format]:
    place = Path(path)
    if place.is_dir():
        raise RecordingError(f"{place}: expected a file, found a directory")
    try:
        name = wanted if wanted is not None else recognise(place)
    except OSError as error:
        raise RecordingError(f"{place}: cannot be read: {describe(error)}") from None
    if name not in _FORMATS:
        raise RecordingError(f"format: expected one of {', '.join(FORMATS)}; found {name!r}")
    return place, _FORMATS[name]


def list_recordings(path: str | os.PathLike[str], *, format: str | None = None) -> list[RecordingInfo]:  # noqa: A002
    """What recordings a file holds: index, name, frames, person and session where it says so."""
    place, found = _prepare(path, format)
    try:
        return found.list(place)
    except OSError as error:
        raise RecordingError(f"{place}: cannot be read: {describe(error)}") from None


def open_recording(
    path: str | os.PathLike[str],
    *,
    recording: int | str | None = None,
    format: str | None = None,  # noqa: A002
) -> Recording:
    """The recording at `path`; `recording` is its index or name where a file holds several.

    RecordingError (a ValueError) and its kinds: RecordingFormatError for a file that is no recording or too damaged to
    drop its way around, RecordingSelectionError with a list of what there is. MissingExtraError when a packet capture
    is to be read without dpkt.
    """
    place, found = _prepare(path, format)
    try:
        return found.open(place, recording)
    except OSError as error:
        raise RecordingError(f"{place}: cannot be read: {describe(error)}") from None


def open_recordings(path: str | os.PathLike[str], *, format: str | None = None) -> Iterator[Recording]:  # noqa: A002
    """Every recording of a file, one at a time."""
    for info in list_recordings(path, format=format):
        yield open_recording(path, recording=info.index, format=format)
