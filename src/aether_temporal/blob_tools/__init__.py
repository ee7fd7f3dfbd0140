"""Describes and checks weight blobs, makes random ones, and measures the error of float16 weights."""

from .initialisation import random_blob
from .inspection import Check, check_blob, describe_model
from .quantisation import Float16Error, Float16ErrorReport, float16_error

__all__ = [
    "Check",
    "Float16Error",
    "Float16ErrorReport",
    "check_blob",
    "describe_model",
    "float16_error",
    "random_blob",
]
