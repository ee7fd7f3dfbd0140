"""Recordings of channel state information: readers, each of which gives one `Recording`."""

from aether_temporal.errors import (
    MissingExtraError,
    RecordingError,
    RecordingFormatError,
    RecordingSelectionError,
    RecordingShapeError,
)

from .array_files import save_recording
from .csi_parser import CsiParser, CsiRecord
from .opening import FORMATS, Sources, list_recordings, open_file, open_recording, open_recordings, recognise
from .recording import Drop, Recording, RecordingInfo, Resampled, describe, resample
from .recording_file import Hints, RecordingFile

__all__ = [
    "FORMATS",
    "CsiParser",
    "CsiRecord",
    "Drop",
    "Hints",
    "MissingExtraError",
    "Recording",
    "RecordingError",
    "RecordingFile",
    "RecordingFormatError",
    "RecordingInfo",
    "RecordingSelectionError",
    "RecordingShapeError",
    "Resampled",
    "Sources",
    "describe",
    "list_recordings",
    "open_file",
    "open_recording",
    "open_recordings",
    "recognise",
    "resample",
    "save_recording",
]
