"""Reads manifests: tables that state what recorders do not know, namely subject, session and labels.

A manifest is a CSV file whose header starts with `file`: a file, a folder or a wildcard, relative to the table. The
other columns may be left out or empty: `recording` (name or index in the file), `subject` (or `person`), `session`,
`label` (of all frames), `labels` (a file of them, for an array), `start` and `end`, between which the label holds, in
seconds, `chip` and `layout` (which subcarriers the file's columns are), and `axes` (of an array of frames).
"""

from __future__ import annotations

import csv
import io
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aether_temporal._internal.atomic_files import lock, write_atomic
from aether_temporal.errors import RecordingError, RecordingFormatError, TemporalError
from aether_temporal.subcarriers import SubcarrierMap, chip_name, parse_layout

from .recording_file import parse_axes

COLUMNS = ("file", "recording", "subject", "session", "start", "end", "label", "labels", "chip", "layout", "axes")
_SYNONYMS = {"person": "subject"}
_MAX_BYTES = 1 << 24


class _Rows(Iterator[list[str]], Protocol):
    """What `csv.reader` gives."""

    line_num: int


@dataclass(frozen=True)
class Entry:
    """What is known of recordings, by a row of a manifest (`place` is its line) or by an argument; None: nothing."""

    place: str = ""
    files: str = ""
    recording: str | None = None
    subject: str | None = None
    session: str | None = None
    start: float | None = None
    end: float | None = None
    label: str | None = None
    chip: str | None = None
    layout: SubcarrierMap | None = None
    axes: tuple[str, ...] | None = None
    labels: Path | None = None

    @property
    def is_span(self) -> bool:
        """Whether the label is one of some frames, not of all."""
        return self.start is not None or self.end is not None


def is_manifest(path: Path) -> bool:
    """Whether a file begins as a manifest does. OSError."""
    with path.open("rb") as file:
        head = file.read(4096)
    first = head.decode("utf-8-sig", errors="replace").splitlines()[:1]
    return bool(first) and first[0].split(",")[0].strip().strip('"').casefold() == "file"


def read_manifest(path: Path) -> list[Entry]:
    """Its rows. RecordingFormatError naming line and column."""
    if path.stat().st_size > _MAX_BYTES:
        raise RecordingFormatError(
            f"{path}: expected a table of at most {_MAX_BYTES} bytes, found {path.stat().st_size}; divide it"
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordingFormatError(
            f"{path}: expected UTF-8 text, found others ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        return _entries(path, rows)
    except csv.Error as error:
        raise RecordingFormatError(
            f"{path}: line {rows.line_num}: expected cells of CSV, found others ({error}); save the table again"
        ) from None


def _entries(path: Path, rows: _Rows) -> list[Entry]:
    header = [_column(cell) for cell in next(rows, [])]
    for name in header:
        if name not in COLUMNS or header.count(name) > 1:
            raise RecordingFormatError(
                f"{path}: line 1: expected columns of {', '.join(COLUMNS)}, each once; found {name!r}; rename it, or "
                "take it out"
            )
    found = []
    for row in rows:
        if any(cell.strip() for cell in row):
            place = f"{path}: line {rows.line_num}"
            if len(row) != len(header):
                raise RecordingFormatError(
                    f"{place}: expected {len(header)} columns, found {len(row)}; give it as many as line 1 has"
                )
            found.append(_entry(place, path.parent, dict(zip(header, (cell.strip() for cell in row), strict=True))))
    if not found:
        raise RecordingFormatError(f"{path}: expected at least one row, found none; add one for each file")
    return found


def _column(cell: str) -> str:
    """The name of a column as it is in COLUMNS."""
    name = cell.strip().casefold()
    return _SYNONYMS.get(name, name)


def _entry(place: str, folder: Path, cells: dict[str, str]) -> Entry:
    files = cells.pop("file")
    if not files:
        raise RecordingFormatError(f"{place}: file: expected a path, found nothing; name one, or take the row out")
    start, end = (_seconds(place, name, cells.pop(name, "")) for name in ("start", "end"))
    layout, axes, labels = (cells.pop(name, "") for name in ("layout", "axes", "labels"))
    known = {name: cell or None for name, cell in cells.items()}
    try:
        if known.get("chip"):
            known["chip"] = chip_name(str(known["chip"]))
        numbers, names = parse_layout(layout) if layout else None, parse_axes(axes) if axes else None
    except TemporalError as error:
        raise RecordingFormatError(f"{place}: {error}") from None
    table = folder / labels if labels else None
    entry = Entry(place, files, **known, start=start, end=end, layout=numbers, axes=names, labels=table)
    if table is not None and entry.label is not None:
        raise RecordingFormatError(f"{place}: label and labels: expected one of them, found both; take one out")
    if entry.is_span and entry.label is None:
        raise RecordingFormatError(f"{place}: label: expected one, for start or end is given, found none; add it")
    if start is not None and end is not None and not start < end:
        raise RecordingFormatError(f"{place}: end: expected a time after start ({start:g}), found {end:g}; correct it")
    return entry


def _seconds(place: str, name: str, cell: str) -> float | None:
    if not cell:
        return None
    try:
        found = float(cell)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise RecordingFormatError(f"{place}: {name}: expected seconds, found {cell!r}; write it as a number")
    return found


_PATIENCE = 10.0
"""Seconds for which a table that another process changes is waited for."""


def add_to_manifest(path: Path, row: Mapping[str, str]) -> None:
    """Adds a row (`file` and other columns) to the manifest, which is made where there is none; a row of the same file
    is replaced, other rows keep what they say. RecordingFormatError: the file is no manifest. OSError."""
    with _alone(path.parent):
        rows: list[dict[str, str]] = []
        if path.exists():
            read_manifest(path)  # rejects what could not be read afterwards
            header, *cells = csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""))
            rows = [dict(zip(map(_column, header), each, strict=True)) for each in cells if any(map(str.strip, each))]
        rows = [each for each in rows if each["file"].strip() != row["file"]]
        names = list(dict.fromkeys(name for each in [*rows, row] for name in each))
        text = io.StringIO()
        returns = any("\r" in cell for each in [*rows, row] for cell in each.values())  # csv quotes no lone one
        writer = csv.DictWriter(
            text, names, restval="", lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL
        )
        writer.writeheader()
        writer.writerows([*rows, row])
        write_atomic(path, text.getvalue().encode())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Makes other processes wait that add to a manifest in the folder (where the system has locks)."""
    if not hasattr(os, "O_DIRECTORY"):
        yield
        return
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        until = time.monotonic() + _PATIENCE
        while not lock(held):
            if time.monotonic() > until:
                raise RecordingError(f"{folder}: another process is writing a manifest there; try again")
            time.sleep(0.02)
        yield
    finally:
        os.close(held)
