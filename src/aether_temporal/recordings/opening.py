"""Opens recordings. The format is recognised by what a file holds, not by its name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from aether_temporal._internal.os_errors import unreadable
from aether_temporal.errors import RecordingError, RecordingFormatError

from . import capture, csi_text, csiread_files, named_arrays, numpy_files, raw_frames
from .containers import Source, locate
from .recording import Recording, RecordingInfo
from .recording_file import NOTHING, Hints, RecordingFile, RecordingFormat

_FORMATS = (
    numpy_files.NPZ,
    numpy_files.NPY,
    csi_text.FORMAT,
    raw_frames.FORMAT,
    csiread_files.NEXMON,  # before other captures, which it would be as well
    capture.FORMAT,
    csiread_files.INTEL,
    csiread_files.ATHEROS,
    named_arrays.MAT,
    named_arrays.HDF5,
)
"""Every format; a new one is added here."""

_BY_NAME = {format_.name: format_ for format_ in _FORMATS}

FORMATS = tuple(_BY_NAME)
"""The names of the formats."""


def recognise(path: Path) -> str:
    """The name of the format (one of FORMATS) whose content starts first. RecordingError: no format's does, or the path
    is no file; OSError."""
    return _recognised(locate(path)).name


def _recognised(source: Source) -> RecordingFormat:
    head = source.head()
    places = [(place, format_) for format_ in _FORMATS if (place := format_.find(head)) >= 0]
    if places:
        return min(places, key=lambda found: found[0])[1]
    *others, last = (format_.description for format_ in _FORMATS)
    found = "an empty file" if not head else f"a file that starts with {head[:8]!r}"
    raise RecordingFormatError(f"{source}: expected {', '.join(others)} or {last}; found {found}")


def open_file(path: str | os.PathLike[str], *, format: str | None = None, hints: Hints = NOTHING) -> RecordingFile:  # noqa: A002
    """The recordings of a file, which is parsed once. format: one of FORMATS; None: by content. hints: what the file
    does not say.

    RecordingFormatError: the file is no recording, or is too damaged to drop the damaged parts. RecordingError, its
    base and a ValueError: the file cannot be read. MissingExtraError: the format needs a library.
    """
    place = Path(path)
    if format is not None and format not in _BY_NAME:
        raise RecordingError(f"format: expected one of {', '.join(FORMATS)}; found {format!r}")
    try:
        source = locate(place)
        found = _recognised(source) if format is None else _BY_NAME[format]
        return found.read(source, hints)
    except OSError as error:
        raise RecordingError(unreadable(place, error)) from None


def list_recordings(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002
    hints: Hints = NOTHING,
) -> list[RecordingInfo]:
    """The recordings of a file: index, name, frames, and the subject and session where the file states them."""
    return list(open_file(path, format=format, hints=hints).infos)


def open_recording(
    path: str | os.PathLike[str],
    *,
    recording: int | str | None = None,
    format: str | None = None,  # noqa: A002
    hints: Hints = NOTHING,
) -> Recording:
    """The recording at `path`; `recording` is its index or name where the file holds several.

    Errors of `open_file`. RecordingSelectionError: no recording, or an unknown one, was chosen of several.
    """
    return open_file(path, format=format, hints=hints).recording(recording)


def open_recordings(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002
    hints: Hints = NOTHING,
) -> Iterator[Recording]:
    """Every recording of a file, one at a time. The file is parsed once."""
    yield from open_file(path, format=format, hints=hints)
