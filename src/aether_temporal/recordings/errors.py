"""What can be wrong with a recording."""

from __future__ import annotations

from aether_temporal.errors import TemporalError


class RecordingError(TemporalError, ValueError):
    """A recording cannot be used; the message names the file and what was expected and found."""


class RecordingFormatError(RecordingError):
    """The file is of no known format, or damaged where nothing can be dropped."""


class RecordingSelectionError(RecordingError):
    """A file holds several recordings and none, or one it does not hold, was chosen."""


class RecordingShapeError(RecordingError):
    """A recording's frames do not have the width that is asked for."""


class MissingExtraError(TemporalError, RuntimeError):
    """Something that is not installed with the plain package is needed; the message says what to install."""
