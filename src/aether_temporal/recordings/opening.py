"""Opens recordings: one file, whose format is recognised by what it holds, not by its name; or what a command is given
(files, folders, wildcards and manifests), with the labels that the place of a file tells."""

from __future__ import annotations

import errno
import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal._internal.os_errors import unreadable
from aether_temporal.errors import RecordingError, RecordingFormatError, RecordingSelectionError

from . import array_files, csi_text, csiread_files, raw_frames
from .manifest import Entry, is_manifest, read_manifest
from .recording import Recording, RecordingInfo, choose
from .recording_file import NOTHING, Hints, RecordingFile, RecordingFormat, Source, locate

# -- One file --------------------------------------------------------------------------------------------------

_FORMATS = (
    array_files.NPZ,
    array_files.NPY,
    csi_text.FORMAT,
    raw_frames.FORMAT,
    csiread_files.NEXMON,  # before other captures, which it would be as well
    raw_frames.CAPTURE,
    csiread_files.INTEL,
    csiread_files.ATHEROS,
    array_files.MAT,
    array_files.HDF5,
    array_files.NUMBERS,
)
"""Every format; a new one is added here."""

_ARRAYS = (array_files.NPZ, array_files.NPY, array_files.MAT, array_files.HDF5, array_files.NUMBERS)

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
        if found not in _ARRAYS and (hints.axes or hints.labels):
            what = "axes" if hints.labels is None else "labels"
            raise RecordingFormatError(f"{place}: {what}: expected an array, found {found.name}; leave {what} out")
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


# -- What a command is given -----------------------------------------------------------------------------------

_PACKED = (".gz", ".zip")
_SHOWN = 3


@dataclass(frozen=True)
class _Found:
    """One recording of a file and what is stated about it; subject and session are in `info` already."""

    path: Path
    file: RecordingFile
    info: RecordingInfo
    entries: tuple[Entry, ...]


class Sources:
    """All recordings that arguments name; iterating opens them, one at a time, file by file.

    arguments: files of any format, manifests, folders (with all below them) and wildcards. label_from: where labels
    are that no manifest states: "folder", the name of the folder a file is in, or "name:PATTERN", a regular expression
    within the file's name without its ending: its groups `label`, `subject` and `session`, else its first group, else
    all that it matches. sessions: only recordings of these; all where there are none. format: of every file, where it
    is not to be recognised.

    `notes` says what was left out or guessed. RecordingError: a file is missing, named twice or cannot be read.
    """

    def __init__(
        self,
        arguments: Sequence[str | os.PathLike[str]],
        *,
        label_from: str | None = None,
        sessions: Sequence[str] = (),
        format: str | None = None,  # noqa: A002
        hints: Hints = NOTHING,
    ) -> None:
        self._names = [os.fspath(argument) for argument in arguments]
        self._sessions, self._format, self._hints = sessions, format, hints
        self._by_place = None if label_from is None else _rule(label_from)
        self._left_out: list[Path] = []
        self._files: dict[Path, tuple[Path, list[Entry]]] = {}
        for name in self._names:
            files: set[Path] = set()
            for file, entry in self._entries(name):
                place = file.resolve()
                if place in self._files and place not in files:
                    raise RecordingError(f"{file}: expected each file once, found it again; name it once")
                files.add(place)
                self._files.setdefault(place, (file, []))[1].append(entry)
        self.notes: tuple[str, ...] = self._left_out_note()

    @property
    def files(self) -> list[Path]:
        """The files, each once."""
        return [file for file, _ in self._files.values()]

    def __iter__(self) -> Iterator[Recording]:
        return (self._tagged(one.file.open(one.info), one.entries) for one in self._chosen())

    def one(self, recording: int | str | None = None) -> Recording:
        """The recording of this name or index; None where there is but one, or a file of CSI text, of which it is the
        sender with the most frames. RecordingSelectionError lists them."""
        (file, entries), *others = self._files.values()
        if not others and all(entry.recording is None for entry in entries):
            found = self._open(file, entries).recording(recording)
            return self._tagged(found, self._of(file, found.name, entries))
        every = [(one.path, one.info, one.entries) for one in self._chosen()]  # not what was read of all files
        infos = [replace(info, index=index) for index, (_, info, _) in enumerate(every)]
        path, info, told = every[choose(", ".join(self._names), infos, recording).index]
        return self._tagged(self._open(path, told).open(info), told)

    def _open(self, file: Path, entries: Sequence[Entry]) -> RecordingFile:
        """The file, read by what the manifest states of it, else by the hints of the caller."""
        told: dict[str, Any] = {}
        for entry in entries:
            for name in ("chip", "layout", "axes", "labels"):
                value = getattr(entry, name)
                if value is not None and told.setdefault(name, value) != value:
                    raise RecordingFormatError(
                        f"{entry.place}: {name}: expected the one that another row states for {file.name}, found "
                        "another; correct it"
                    )
        return open_file(file, format=self._format, hints=replace(self._hints, **told))

    # -- from arguments to files --------------------------------------------------------------------------------------

    def _entries(self, name: str) -> Iterator[tuple[Path, Entry]]:
        try:
            if os.path.isfile(name) and self._format is None and is_manifest(Path(name)):
                for entry in read_manifest(Path(name)):
                    for file in self._expanded(entry.files, Path(name).parent, f"{entry.place}: file"):
                        yield file, entry
                return
        except OSError as error:
            raise RecordingError(unreadable(name, error)) from None
        for file in self._expanded(name, Path(), name):
            yield file, Entry()

    def _expanded(self, name: str, base: Path, where: str) -> list[Path]:
        """The files: `name` itself, or those in a folder or behind a wildcard that are recordings."""
        place = base / name
        if place.is_dir():
            return self._recordings_of(_inside(place), f"{where}: expected recordings in this folder")
        if not os.path.lexists(place) and glob.has_magic(name):
            matches = sorted(base / found for found in glob.glob(name, root_dir=base, recursive=True))
            return self._recordings_of(
                [path for path in matches if path.is_file()], f"{where}: expected files that match {name}"
            )
        if not place.exists():
            raise RecordingError(unreadable(where, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place)))
        return [place]

    def _recordings_of(self, files: list[Path], expected: str) -> list[Path]:
        kept = [file for file in files if self._is_recording(file)]
        if not kept:
            raise RecordingError(f"{expected}, found {f'none among {len(files)} files' if files else 'none'}; check it")
        self._left_out += [file for file in files if file not in set(kept)]
        return kept

    def _is_recording(self, file: Path) -> bool:
        try:
            return self._format is not None or (not is_manifest(file) and bool(recognise(file)))
        except RecordingFormatError:
            return False
        except OSError as error:
            raise RecordingError(unreadable(file, error)) from None

    def _left_out_note(self) -> tuple[str, ...]:
        names = list(dict.fromkeys(path.name for path in self._left_out))
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        count = len(set(self._left_out))
        tables = [] if self._format else [path for path in dict.fromkeys(self._left_out) if self._is_unused(path)]
        unused = tuple(
            f"{path}: a manifest, whose labels, subjects and sessions are not used; name it in place of its folder"
            for path in tables
        )
        return (f"left out, for they are no recordings: {count} of the files there ({shown})", *unused) if count else ()

    def _is_unused(self, path: Path) -> bool:
        """Whether it is a manifest that no argument names."""
        try:
            return is_manifest(path) and path.resolve() not in {Path(name).resolve() for name in self._names}
        except OSError as error:
            raise RecordingError(unreadable(path, error)) from None

    # -- from files to recordings -------------------------------------------------------------------------------------

    def _chosen(self) -> Iterator[_Found]:
        """All recordings, or those of the sessions asked for."""
        there: set[str] = set()
        count = 0
        for one in self._every():
            session = one.info.session
            there.update(() if session is None else (session,))
            if not self._sessions or session in self._sessions:
                count += 1
                yield one
        if not count:
            found = ", ".join(sorted(there)) or "none"
            raise RecordingSelectionError(
                f"{', '.join(self._names)}: session: expected one of those there are ({found}), found "
                f"{', '.join(self._sessions) or 'no recording'}; name one of them"
            )

    def _every(self) -> Iterator[_Found]:
        for file, entries in self._files.values():
            opened = self._open(file, entries)
            infos = opened.infos
            by_index: dict[int, list[Entry]] = {}
            for entry in entries:
                try:
                    named = infos if entry.recording is None else [choose(str(file), infos, entry.recording)]
                except RecordingSelectionError as error:
                    raise RecordingSelectionError(f"{entry.place}: {error}") from None
                for info in named:
                    by_index.setdefault(info.index, []).append(entry)
            for info in infos:
                if info.index in by_index:
                    told = self._of(file, info.name, by_index[info.index])
                    yield _Found(file, opened, replace(info, **_subject_and_session(told)), told)

    def _of(self, file: Path, name: str, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """What is stated about one recording: one entry, or spans. RecordingFormatError where it is stated twice."""
        first, *others = entries
        for other in others:
            if not (first.is_span and other.is_span):
                raise RecordingFormatError(
                    f"{other.place}: expected each recording once, or with start and end, found {file.name} ({name}) "
                    f"again, as in {first.place}; take one out"
                )
        told = {} if self._by_place is None or first.label is not None else self._by_place(file)
        return tuple(replace(entry, **told) for entry in entries) if told else tuple(entries)

    def _tagged(self, recording: Recording, entries: tuple[Entry, ...]) -> Recording:
        found = replace(recording, **_subject_and_session(entries))
        if entries[0].is_span:
            return _with_spans(found, entries)
        label = entries[0].label
        if label is None:
            return found
        return replace(found, labels=np.zeros(len(found), dtype=np.int64), label_names=(label,))


def _subject_and_session(entries: Sequence[Entry]) -> dict[str, Any]:
    """What entries say of these; what they do not say is not there."""
    told = [(name, getattr(entry, name)) for entry in reversed(entries) for name in ("subject", "session")]
    return {name: value for name, value in told if value is not None}


def _inside(folder: Path) -> list[Path]:
    """The files in a folder and all below it, but hidden ones."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [path for name in files if not name.startswith(".") and (path := Path(place, name)).is_file()]
    return sorted(found)


def _rule(text: str) -> Callable[[Path], dict[str, Any]]:
    """What the place of a file tells: label, and perhaps subject and session."""
    kind, _, pattern = text.partition(":")
    if text == "folder":
        return lambda file: {"label": file.resolve().parent.name}
    if kind != "name" or not pattern:
        raise RecordingError(f"label-from: expected folder or name:PATTERN, found {text!r}; give one of them")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise RecordingError(
            f"label-from: expected a regular expression after name:, found {pattern!r} ({error}); correct it"
        ) from None

    def told(file: Path) -> dict[str, Any]:
        plain = file.with_suffix("") if file.suffix.casefold() in _PACKED else file
        found = compiled.search(plain.stem)
        if found is None:
            raise RecordingError(
                f"{file}: label: expected a name that matches {pattern}, found {plain.stem}; rename it, or change the "
                "pattern"
            )
        named = {name: value for name, value in found.groupdict().items() if name in ("label", "subject", "session")}
        numbered = [found[i + 1] for i in range(compiled.groups) if i + 1 not in compiled.groupindex.values()]
        label = named.get("label") or next(filter(None, numbered), found[0])
        return {**{name: value for name, value in named.items() if value}, "label": label}

    return told


def _with_spans(recording: Recording, entries: tuple[Entry, ...]) -> Recording:
    """The recording with the labels of its spans alone; the other frames have none."""
    times, clock = _times(recording, entries[0].place), recording.timestamps
    end = float(times.max(initial=0.0))
    note = "spans are in seconds since the first frame"
    if clock is not None and len(clock) and not any(_within(entry, times).any() for entry in entries):
        times, note = clock, "spans are in seconds of the recording's own clock"
    owner = np.full(len(recording), -1, dtype=np.int64)
    without = []
    for number, entry in enumerate(entries):
        inside = _within(entry, times)
        taken = owner[inside].max(initial=-1)
        if taken >= 0:
            raise RecordingFormatError(
                f"{entry.place}: start, end: expected spans that do not overlap, found frames of both {_shown(entry)} "
                f"and {_shown(entries[taken])} ({entries[taken].place}); correct one of them"
            )
        owner[inside] = number
        without += [] if inside.any() else [entry]
    if len(without) == len(entries):
        raise RecordingFormatError(
            f"{entries[0].place}: start, end: expected spans of {recording.title}, 0 to {end:.6g} s from its first "
            f"frame, found none that has a frame ({', '.join(map(_shown, entries[:_SHOWN]))}); correct them"
        )
    names = tuple(dict.fromkeys(str(entry.label) for entry in entries))
    table = np.array([names.index(str(entry.label)) for entry in entries] + [-1], dtype=np.int64)
    labels = table[owner]
    note = f"labels: {note}; {int((labels >= 0).sum())} of {len(labels)} frames have one"
    if without:
        shown = ", ".join(f"{_shown(entry)} ({entry.label})" for entry in without[:_SHOWN])
        note += f"; spans without any frame: {len(without)} of {len(entries)}, such as {shown}"
    return replace(recording, labels=labels, label_names=names, notes=(*recording.notes, note))


def _times(recording: Recording, place: str) -> NDArray[np.float64]:
    """Seconds of each frame since the first."""
    if recording.timestamps is not None:
        return recording.timestamps - recording.timestamps[:1]
    if recording.frame_rate is None:
        raise RecordingError(
            f"{place}: start, end: expected a recording with times or a frame rate, found neither in "
            f"{recording.title}; give it one label, or labels of its own"
        )
    return np.arange(len(recording), dtype=np.float64) / recording.frame_rate


def _within(entry: Entry, times: NDArray[np.float64]) -> NDArray[np.bool_]:
    low = -np.inf if entry.start is None else entry.start
    high = np.inf if entry.end is None else entry.end
    return (low <= times) & (times < high)


def _shown(entry: Entry) -> str:
    low, high = ("" if value is None else f"{value:.10g}" for value in (entry.start, entry.end))
    return f"{low} to {high}".strip()
