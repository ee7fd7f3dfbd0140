"""Describes and checks weight blobs, makes random ones and models in integers, and measures what rounding costs."""

from .initialisation import random_blob
from .inspection import Check, check_blob, describe_model
from .integer_models import IntegerCost, integer_cost, quantise
from .quantisation import Float16Error, Float16ErrorReport, float16_error

__all__ = [
    "Check",
    "Float16Error",
    "Float16ErrorReport",
    "IntegerCost",
    "check_blob",
    "describe_model",
    "float16_error",
    "integer_cost",
    "quantise",
    "random_blob",
]
