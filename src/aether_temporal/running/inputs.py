"""The frames a model asks for, out of a recording."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aether_temporal.model import TemporalModel
from aether_temporal.recordings import Recording, RecordingShapeError

DEFAULT_CAPACITY = 256


def default_capacity(model: TemporalModel) -> int:
    """The history that the blob states, else 256 frames."""
    settings = model.settings
    history = None if settings is None or settings.pattern is None else settings.pattern.history
    return history or DEFAULT_CAPACITY


def carriers_of(model: TemporalModel, pairs: int) -> Sequence[int] | None:
    """Which I/Q pairs of a raw frame of `pairs` pairs are the model's features; None: the frame does not suit it.

    What the blob says; all of them where the recorder has already taken the model's carriers out, or the blob says
    nothing.
    """
    settings = model.settings
    carriers = None if settings is None else settings.carriers
    if carriers is not None and pairs == carriers.n_pairs:
        return [int(index) for index in np.asarray(carriers.index)]
    return range(pairs) if pairs == model.input_dim else None


def model_frames(model: TemporalModel, recording: Recording, pick: Sequence[int] | None = None) -> NDArray[np.float32]:
    """binary32 [T, input_dim]: features as they are, or amplitudes of the I/Q pairs that the blob (or `pick`) names.

    RecordingShapeError naming what the model expects and what the recording has.
    """
    if pick is None and recording.is_raw:
        pick = carriers_of(model, recording.width)
        if pick is None:
            raise RecordingShapeError(
                f"{recording.title}: frame width: expected {_wanted(model)}, found {recording.width} I/Q pairs a frame"
            )
    frames = recording.features(pick)
    if frames.shape[1] != model.input_dim:
        how = "" if pick is None else " picked"
        raise RecordingShapeError(
            f"{recording.title}: frame width: expected {model.input_dim} features a frame, as the model has them, "
            f"found {frames.shape[1]}{how}"
        )
    return frames


def _wanted(model: TemporalModel) -> str:
    plain = f"{model.input_dim} I/Q pairs, one for each feature of the model"
    return f"raw frames of {model.n_pairs} I/Q pairs or {plain}" if model.n_pairs else plain
