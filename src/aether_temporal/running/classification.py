"""Predictions for whatever holds frames, one after the other: `TemporalModel.classify`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from aether_temporal.cache_types import Dtype
from aether_temporal.errors import InputTypeError, ShapeError
from aether_temporal.recordings import Recording, open_recording
from aether_temporal.recordings.recording import Selection
from aether_temporal.recordings.recording_file import is_stream, open_stream

from .gallery import Gallery
from .inputs import model_input
from .live_text import live_predictions
from .stream import Prediction, Predictor, predictions

if TYPE_CHECKING:
    from aether_temporal.model import TemporalModel

Source = str | os.PathLike[str] | Recording | NDArray[Any] | BinaryIO


def classify(
    model: TemporalModel,
    source: Source,
    *,
    recording: int | str | None = None,
    context: int | None = None,
    dtype: Dtype = "float32",
    gallery: Gallery | None = None,
    select: Selection | None = None,
) -> Iterator[Prediction]:
    """As `TemporalModel.classify`."""
    predictor = Predictor(model, context=context, dtype=dtype, gallery=gallery)
    if isinstance(source, str | os.PathLike):
        if is_stream(source):
            return _from_device(predictor, os.fspath(source), select)
        source = open_recording(source, recording=recording)
    elif isinstance(source, np.ndarray):
        if source.ndim != 2 or source.dtype.kind not in "fiu":
            raise ShapeError.of("frames", f"numbers [T, {model.input_dim}]", f"{source.dtype} {list(source.shape)}")
        source = Recording(source="frames", name="", format="npy", frames=source.astype(np.float32, copy=False))
    elif not isinstance(source, Recording):
        if not hasattr(source, "readline"):
            raise InputTypeError.of(
                "source", "a path, a Recording, an array of frames or an open binary file", type(source).__name__
            )
        return live_predictions(predictor, source, select=select)
    return predictions(predictor, model_input(model, source, select))


def _from_device(predictor: Predictor, path: str, select: Selection | None) -> Iterator[Prediction]:
    with open_stream(path) as file:
        yield from live_predictions(predictor, file, source=path, select=select)
