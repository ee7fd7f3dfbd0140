"""Opens recordings. The format is recognised by what a file holds, not by its name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from aether_temporal._internal.os_errors import describe
from aether_temporal.errors import RecordingError, RecordingFormatError

from . import capture, csi_text, npy, npz, raw_frames
from .recording import Recording, RecordingFormat, RecordingInfo

_FORMATS = (
    npz.FORMAT,
    npy.FORMAT,
    csi_text.FORMAT,
    raw_frames.FORMAT,
    capture.FORMAT,
)
"""Every format; a new one is added here."""

_HEAD = 1 << 20
"""Bytes in which a file's first content must start for the file to be recognised."""

_BY_NAME = {format_.name: format_ for format_ in _FORMATS}

FORMATS = tuple(_BY_NAME)
"""The names of the formats."""


def recognise(path: Path) -> str:
    """The name of the format (one of FORMATS) whose content starts first. RecordingFormatError: no format's does."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    places = [(place, format_.name) for format_ in _FORMATS if (place := format_.find(head)) >= 0]
    if places:
        return min(places, key=lambda found: found[0])[1]
    *others, last = (format_.description for format_ in _FORMATS)
    found = "an empty file" if not head else f"a file that starts with {head[:8]!r}"
    raise RecordingFormatError(f"{path}: expected {', '.join(others)} or {last}; found {found}")


def _prepare(path: str | os.PathLike[str], wanted: str | None) -> tuple[Path, RecordingFormat]:
    place = Path(path)
    if place.is_dir():
        raise RecordingError(f"{place}: expected a file, found a directory")
    try:
        name = wanted if wanted is not None else recognise(place)
    except OSError as error:
        raise RecordingError(f"{place}: cannot be read: {describe(error)}") from None
    if name not in _BY_NAME:
        raise RecordingError(f"format: expected one of {', '.join(FORMATS)}; found {name!r}")
    return place, _BY_NAME[name]


def list_recordings(path: str | os.PathLike[str], *, format: str | None = None) -> list[RecordingInfo]:  # noqa: A002
    """The recordings of a file: index, name, frames, and the subject and session where the file states them."""
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
    """The recording at `path`; `recording` is its index or name where the file holds several.

    RecordingFormatError: the file is no recording, or is too damaged to drop the damaged parts.
    RecordingSelectionError: no recording, or an unknown one, was chosen of several. RecordingError, their base and a
    ValueError: the file cannot be read. MissingExtraError: a packet capture needs dpkt.
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
