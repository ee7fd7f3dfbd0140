"""The recordings that a picture is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from aether_temporal.recordings import Recording, RecordingError, RecordingSelectionError
from aether_temporal.recordings.manifest import open_all


def open_sources(paths: Sequence[str], sessions: Sequence[str] = ()) -> Iterator[Recording]:
    """Every recording of the files (of any format, or tables that name some), one at a time; with `sessions`, only
    theirs. RecordingError and its kinds; RecordingSelectionError when not one is left."""
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
    if recording.session is None:
        raise RecordingError(
            f"{recording.title}: session: expected recordings that know their session (rec_session, or a table with a "
            "column session), found none"
        )
    return recording.session


def person_of(recording: Recording) -> str:
    """Its person. RecordingError where the file does not say, with what to do."""
    if recording.person is None:
        raise RecordingError(
            f"{recording.title}: person: expected recordings that know their person (rec_person, or a table with a "
            "column person), found none"
        )
    return recording.person
