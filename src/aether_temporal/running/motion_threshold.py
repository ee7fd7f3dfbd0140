"""A motion model's threshold for one room, from a recording of it while nobody moves."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
from numpy.typing import NDArray

from aether_temporal.blob import WeightBlob
from aether_temporal.cache_types import Dtype
from aether_temporal.errors import InvalidArgumentError
from aether_temporal.model import TemporalModel
from aether_temporal.recordings import Recording, RecordingError

from .inputs import model_input

CLASSES = ("quiet", "moving")
WARM_UP = 0.75
"""Seconds before the first prediction that counts."""
SETTLING = 2.0
"""Seconds that are left out of a recording of a quiet room: who starts it has to sit down."""
SECONDS = 7.5
"""Of a quiet room at least, after that."""
MARGIN = 0.5
"""How far the threshold lies above the highest prediction in the quiet room."""
LOWEST = -2.0
"""Of all thresholds."""


@dataclasses.dataclass(frozen=True, eq=False)
class Calibrated:
    """The model with the room's threshold. threshold: of its log odds; before: false alarms, by the model's own
    threshold, among `frames` predictions."""

    blob: WeightBlob
    threshold: float
    frames: int
    before: int
    notes: tuple[str, ...]


def odds(
    model: TemporalModel, recording: Recording, seconds: float = WARM_UP, dtype: Dtype = "float32"
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Log odds of motion after each frame of the grid, without the first seconds of each contiguous segment; notes.
    dtype: of the cache, as a stream has it."""
    given = model_input(model, recording)
    rate = None if model.settings is None else model.settings.frame_rate
    skip = round(seconds * (rate or recording.frame_rate or 1.0))
    found = [np.zeros(0)]
    for segment in given.segments():
        scores = model.forward(segment, model.default_context, dtype).astype(np.float64)
        found.append((scores[:, 1] - scores[:, 0])[skip:])
    return np.concatenate(found), given.notes


def quiet_threshold(quiet: NDArray[np.float64]) -> float:
    """The threshold for these log odds, all of a quiet room; in binary32, as a node computes it."""
    return float(max(np.float32(LOWEST), np.float32(quiet.max()) + np.float32(MARGIN)))


def calibrated(path: str | os.PathLike[str], recording: Recording) -> Calibrated:
    """The blob at `path` with the threshold of the room of `recording`. InvalidArgumentError: a model of other classes,
    or one without a bias. RecordingError: too short, or somebody moves."""
    blob = WeightBlob.load(path)
    model, settings = TemporalModel.from_blob(blob), blob.settings
    names = () if settings is None or settings.class_names is None else tuple(settings.class_names)
    if settings is None or names != CLASSES:
        found = ", ".join(names) or "none"
        raise InvalidArgumentError(
            f"{os.fspath(path)}: class names: expected {', '.join(CLASSES)}, found {found}; use a model of "
            "`aether train motion`"
        )
    if settings.bias is None:
        raise InvalidArgumentError(f"{os.fspath(path)}: bias: expected one to put the threshold into, found none")
    quiet, notes = odds(model, recording, SETTLING)
    rate = settings.frame_rate or recording.frame_rate or 1.0
    if len(quiet) < SECONDS * rate:
        raise RecordingError(
            f"{recording.title}: frames: expected {SECONDS:g} s after the first {SETTLING:g} s without a gap, found "
            f"{len(quiet) / rate:.1f} s; record ten seconds or more"
        )
    if np.mean(quiet > 0) > 0.5:
        raise RecordingError(
            f"{recording.title}: motion: expected a quiet room, found motion in {np.mean(quiet > 0):.0%} of the "
            "predictions; record again while nobody moves"
        )
    threshold = quiet_threshold(quiet)
    bias = np.array(settings.bias.classifier, dtype=np.float32)
    bias[1] -= np.float32(threshold)
    text = f"{settings.provenance or ''} Calibrated to a room: threshold {threshold:+.4f}.".strip()
    made = settings.replace(bias=dataclasses.replace(settings.bias, classifier=bias), provenance=text)
    return Calibrated(
        blob.with_settings(made),
        threshold,
        len(quiet),
        int((quiet > 0).sum()),
        notes,
    )
