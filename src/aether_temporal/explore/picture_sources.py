"""What the recordings of a picture must tell, and what its text says about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from aether_temporal.model import TemporalModel
from aether_temporal.recordings import Recording, RecordingError, describe


def session_of(recording: Recording) -> str:
    """The recording's session. RecordingError if the file states none."""
    if not recording.session:
        raise RecordingError(
            f"{recording.title}: session: expected a session for each recording, found none; add rec_session to the "
            "file, or name the recording in a table with a column session"
        )
    return recording.session


def identity_of(recording: Recording) -> str:
    """Whom the recording shows. RecordingError if the file does not say."""
    if not recording.subject:
        raise RecordingError(
            f"{recording.title}: subject: expected a subject for each recording, found none; add rec_subject to the "
            "file, or name the recording in a table with a column subject"
        )
    return recording.subject


def no_frames(recording: Recording) -> RecordingError:
    """The error for a recording from which no usable frame is left."""
    why = f"; dropped: {describe(recording.dropped)}" if any(recording.dropped.values()) else ""
    return RecordingError(f"{recording.title}: expected frames that a model can take, found none{why}")


def has_classifier(model: TemporalModel) -> bool:
    """Whether the logits mean anything. Every blob has a classifier; that of a re-identification model may be zero."""
    return bool(model.arrays()["classifier.weight"].any())


def dropped_line(dropped: Counter[str]) -> list[str]:
    """One line about dropped frames, or none."""
    return [f"Dropped as unusable: {describe(dropped)}."] if any(dropped.values()) else []


def counted(count: int, what: str) -> str:
    """'1 recording', '2 recordings'."""
    return f"{count} {what}" + "s" * (count != 1)


def listed(names: Sequence[str], most: int = 8) -> str:
    """'a, b, c, …'"""
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
