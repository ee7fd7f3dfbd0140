"""The recordings that a picture is made of, and what is to be said of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from aether_temporal.recordings import Recording, RecordingError, RecordingSelectionError, describe
from aether_temporal.recordings.manifest import open_all


def open_sources(paths: Sequence[str], sessions: Sequence[str] = ()) -> Iterator[Recording]:
    """Every recording of the files (of any format, or tables that name some), one at a time; with `sessions`, only
    theirs. RecordingError and its kinds: a file that is given twice; RecordingSelectionError when not one is left."""
    files: set[Path] = set()
    for path in paths:
        file = Path(path).resolve()
        if file in files:
            raise RecordingError(f"{path}: expected each file once, found it twice")
        files.add(file)
    seen: set[str] = set()
    count = 0
    for path in paths:
        for recording in open_all(Path(path)):
            if recording.session is not None:
                seen.add(recording.session)
            if not sessions or recording.session in sessions:
                count += 1
                yield recording
    if not count:
        found = ", ".join(sorted(seen)) or "none"
        raise RecordingSelectionError(
            f"{', '.join(paths)}: session: expected one of those there are ({found}), found none of them"
        )


def session_of(recording: Recording) -> str:
    """Its session. RecordingError where the file does not say, with what to do."""
    if not recording.session:
        raise RecordingError(
            f"{recording.title}: session: expected recordings that know their session (rec_session, or a table with a "
            "column session), found none"
        )
    return recording.session


def person_of(recording: Recording) -> str:
    """Its person. RecordingError where the file does not say, with what to do."""
    if not recording.subject:
        raise RecordingError(
            f"{recording.title}: person: expected recordings that know their person (rec_person, or a table with a "
            "column person), found none"
        )
    return recording.subject


def no_frames(recording: Recording) -> RecordingError:
    """What to raise where a picture needs frames of a recording that has none left."""
    why = f"; dropped: {describe(recording.dropped)}" if any(recording.dropped.values()) else ""
    return RecordingError(f"{recording.title}: expected frames that a model can take, found none{why}")


class Remarks:
    """What was dropped of many recordings, and their notes: those that differ in their figures alone are one."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self._recordings = 0
        self._notes: dict[str, list[tuple[str, str]]] = {}

    def add(self, recording: Recording, notes: Iterable[str]) -> None:
        """The recording as it was taken, and the notes that go with it."""
        self._recordings += 1
        self.dropped.update(recording.dropped)
        for note in dict.fromkeys(notes):
            self._notes.setdefault(re.sub(r"\d+(\.\d+)?", "0", note), []).append((recording.title, note))

    def notes(self) -> tuple[str, ...]:
        """In the order of their coming: as they are where they hold of all, else with how many have one like it."""
        return tuple(self._told(found) for found in self._notes.values())

    def _told(self, found: list[tuple[str, str]]) -> str:
        title, note = found[0]
        if len(found) == self._recordings and all(other == note for _, other in found):
            return note
        if len(found) == 1:
            return f"{title}: {note}"
        return f"{len(found)} of {self._recordings} recordings, such as {title}: {note}"


def dropped_line(dropped: Counter[str]) -> list[str]:
    """What to say of what was dropped, if anything was."""
    return [f"Dropped, since it could not be trusted: {describe(dropped)}."] if any(dropped.values()) else []


def counted(count: int, what: str) -> str:
    """'1 recording', '2 recordings'."""
    return f"{count} {what}" + "s" * (count != 1)
