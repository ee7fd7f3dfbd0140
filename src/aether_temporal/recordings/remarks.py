"""Collects remarks about many recordings, so that they take few lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from .recording import Recording


class Remarks:
    """Counts what was dropped from many recordings, and merges notes that differ only in their numbers."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self._recordings = 0
        self._notes: dict[str, list[tuple[str, str]]] = {}

    def add(self, recording: Recording, notes: Iterable[str]) -> None:
        """Adds a recording and the notes about it."""
        self._recordings += 1
        self.dropped.update(recording.dropped)
        for note in dict.fromkeys(notes):
            self._notes.setdefault(re.sub(r"\d+(\.\d+)?", "0", note), []).append((recording.title, note))

    def notes(self) -> tuple[str, ...]:
        """The notes in order of appearance; each names the recordings it applies to unless it applies to all."""
        return tuple(self._attributed(found) for found in self._notes.values())

    def _attributed(self, found: list[tuple[str, str]]) -> str:
        title, note = found[0]
        if len(found) == self._recordings and all(other == note for _, other in found):
            return note
        if len(found) == 1:
            return f"{title}: {note}"
        return f"{len(found)} of {self._recordings} recordings, such as {title}: {note}"
