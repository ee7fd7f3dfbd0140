"""The recording that `aether demo` makes: simulated, and saying so."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np

from ._files import write_atomic
from .recordings import Recording, RecordingError
from .simulation import demo_script, simulate

__all__ = ["demo_recording", "save_recording"]

DEMO_SEED = 4242
"""Of the room, the person and the noise; the demo model was trained on others."""


def demo_recording(seed: int = DEMO_SEED) -> Recording:
    """A simulated recording of 24 seconds: nobody there, walking, still, waving, falling."""
    return simulate(demo_script(), seed).to_recording()


def save_recording(recording: Recording, path: str | os.PathLike[str]) -> None:
    """As .npz that `open_recording` reads. RecordingError for one without frames; OSError."""
    if not len(recording):
        raise RecordingError(f"{recording.title}: expected frames to save, found none")
    arrays: dict[str, Any] = {"iq": recording.iq} if recording.iq is not None else {"frames": recording.frames}
    if recording.timestamps is not None:
        arrays["timestamps"] = recording.timestamps
    if recording.labels is not None:
        arrays |= {"labels": recording.labels, "label_names": np.array(recording.label_names)}
    if recording.frame_rate is not None:
        arrays["frame_rate"] = recording.frame_rate
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomic(path, buffer.getvalue())
