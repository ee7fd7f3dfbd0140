"""Recordings of channel state information: readers, each of which gives one `Recording`."""

from aether_temporal.errors import (
    MissingExtraError,
    RecordingError,
    RecordingFormatError,
    RecordingSelectionError,
    RecordingShapeError,
)

from .csi_parser import CsiParser, CsiRecord
from .drops import Drop, describe
from .npz import save_recording
from .opening import FORMATS, list_recordings, open_recording, open_recordings, recognise
from .recording import Recording, RecordingInfo
from .resampling import Resampled, resample
from .sources import Sources

__all__ = [
    "FORMATS",
    "CsiParser",
    "CsiRecord",
    "Drop",
    "MissingExtraError",
    "Recording",
    "RecordingError",
    "RecordingFormatError",
    "RecordingInfo",
    "RecordingSelectionError",
    "RecordingShapeError",
    "Resampled",
    "Sources",
    "describe",
    "list_recordings",
    "open_recording",
    "open_recordings",
    "recognise",
    "resample",
    "save_recording",
]
