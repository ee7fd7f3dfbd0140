"""Reads manifests: tables that state what recorders do not know, namely subject, session and label.

A manifest is a CSV file whose header starts with `file`. The other columns may be left out or empty: `recording` (name
or index in the file), `subject` (or `person`), `session`, `label` (of all its frames). Paths are relative to the table.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from aether_temporal.errors import RecordingError, RecordingFormatError

from .opening import list_recordings, open_recording, open_recordings
from .recording import Recording

COLUMNS = ("file", "recording", "subject", "session", "label")
_SYNONYMS = {"person": "subject"}
_MAX_BYTES = 1 << 24


@dataclass(frozen=True)
class Entry:
    """One row; empty columns are None."""

    line: int
    file: Path
    recording: str | None
    subject: str | None
    session: str | None
    label: str | None


def is_manifest(path: Path) -> bool:
    """Whether a file begins as a manifest does."""
    with path.open("rb") as file:
        head = file.read(4096)
    first = head.decode("utf-8-sig", errors="replace").splitlines()[:1]
    return bool(first) and first[0].split(",")[0].strip().strip('"').casefold() == "file"


def read_manifest(path: Path) -> list[Entry]:
    """Its rows. RecordingFormatError naming line and column."""
    if path.stat().st_size > _MAX_BYTES:
        raise RecordingFormatError(
            f"{path}: expected a table of at most {_MAX_BYTES} bytes, found {path.stat().st_size}"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordingFormatError(
            f"{path}: expected UTF-8 text, found others ({error.reason} at byte {error.start})"
        ) from None
    rows = csv.reader(text.splitlines())
    header = [_SYNONYMS.get(name, name) for name in (cell.strip().casefold() for cell in next(rows, []))]
    for name in header:
        if name not in COLUMNS or header.count(name) > 1:
            raise RecordingFormatError(
                f"{path}: line 1: expected columns of {', '.join(COLUMNS)}, each once; found {name!r}"
            )
    found = []
    for row in rows:
        line = rows.line_num
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            raise RecordingFormatError(f"{path}: line {line}: expected {len(header)} columns, found {len(row)}")
        cells = {name: cell.strip() or None for name, cell in zip(header, row, strict=True)}
        if cells["file"] is None:
            raise RecordingFormatError(f"{path}: line {line}: file: expected a path, found nothing")
        place = path.parent / cells["file"]
        if not place.is_file():
            raise RecordingError(f"{path}: line {line}: file: expected a file, found none at {place}")
        found.append(Entry(line, place, *(cells.get(name) for name in COLUMNS[1:])))
    if not found:
        raise RecordingFormatError(f"{path}: expected at least one row, found none")
    return found


def open_manifest(path: Path) -> Iterator[Recording]:
    """The recordings of its rows, with what the table says of them; where a row names none, all of the file."""
    seen: dict[tuple[Path, int], int] = {}
    for entry in read_manifest(path):
        infos = list_recordings(entry.file)
        if entry.recording is None:
            chosen = [open_recording(entry.file, recording=info.index) for info in infos]
            indices = [info.index for info in infos]
        else:
            chosen = [open_recording(entry.file, recording=entry.recording)]
            indices = [info.index for info in infos if info.name == chosen[0].name]
        for index in indices:
            other = seen.setdefault((entry.file.resolve(), index), entry.line)
            if other != entry.line:
                raise RecordingFormatError(
                    f"{path}: line {entry.line}: expected each recording once, found {entry.file.name} "
                    f"({infos[index].name}) again, as in line {other}"
                )
        yield from (_tagged(recording, entry) for recording in chosen)


def _tagged(recording: Recording, entry: Entry) -> Recording:
    labels = recording.labels if entry.label is None else np.zeros(len(recording), dtype=np.int64)
    return replace(
        recording,
        subject=entry.subject or recording.subject,
        session=entry.session or recording.session,
        labels=labels,
        label_names=recording.label_names if entry.label is None else (entry.label,),
    )


def open_all(path: Path) -> Iterator[Recording]:
    """Every recording of a file of any format, or of a manifest. RecordingError and its kinds."""
    try:
        manifest = path.is_file() and is_manifest(path)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror or error}") from None
    yield from open_manifest(path) if manifest else open_recordings(path)
