"""Recordings of channel state information: readers, each of which gives one `Recording`."""

from aether_temporal.errors import (
    MissingExtraError,
    RecordingError,
    RecordingFormatError,
    RecordingSelectionError,
    RecordingShapeError,
)

from .csi_parser import CsiParser, CsiRecord
from .numpy_files import save_recording
from .opening import FORMATS, list_recordings, open_file, open_recording, open_recordings, recognise
from .recording import Drop, Recording, RecordingInfo, describe
from .recording_file import Hints, RecordingFile
from .resampling import Resampled, resample
from .sources import Sources

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
