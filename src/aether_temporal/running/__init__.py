"""Runs recordings through a model; `aether run` is its command line."""

from .gallery import Gallery, enrol
from .inputs import ModelInput, model_frames, model_input
from .label_matching import match_labels
from .result import Result, Total
from .stream import Prediction, Predictor, run

__all__ = [
    "Gallery",
    "ModelInput",
    "Prediction",
    "Predictor",
    "Result",
    "Total",
    "enrol",
    "match_labels",
    "model_frames",
    "model_input",
    "run",
]
