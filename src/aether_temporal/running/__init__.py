"""Recordings through a model: what stands behind `aether run`."""

from .gallery import Gallery, enrol
from .inputs import ModelInput, default_context, model_frames, model_input
from .result import Result, Total
from .stream import Answers, run
from .truth import match_labels

__all__ = [
    "Answers",
    "Gallery",
    "ModelInput",
    "Result",
    "Total",
    "default_context",
    "enrol",
    "match_labels",
    "model_frames",
    "model_input",
    "run",
]
