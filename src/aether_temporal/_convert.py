"""Inputs that the core cannot use where they lie: other types, layouts and holders."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputTypeError

__all__ = ["as_array", "as_float32", "as_int8"]


_FLOAT32 = np.dtype("=f4")


def as_array(value: Any, field: str) -> NDArray[Any]:
    """`value` as a numpy array of real numbers, without a copy where it allows that. InputTypeError."""
    if isinstance(value, np.ndarray):
        array = value
    else:
        try:
            array = _array_of(value)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            raise InputTypeError.of(field, "real numbers in this machine's memory", error) from error
    if array.dtype.kind not in "biuf":
        raise InputTypeError.of(field, "real numbers", f"{type(value).__name__} of {array.dtype}")
    return array


def _array_of(value: Any) -> NDArray[Any]:
    if hasattr(value, "__array__"):  # torch tensors among them; faster than DLPack
        if repr(getattr(value, "dtype", "")) == "torch.bfloat16":  # numpy has no such type; widening is exact
            value = value.float()
        return np.asarray(value.__array__())
    return np.from_dlpack(value) if hasattr(value, "__dlpack__") else np.asarray(value)


def as_float32(value: Any, field: str) -> NDArray[np.float32]:
    """`value` as C-contiguous, aligned binary32. Values beyond its range become infinities, which the core refuses."""
    array = as_array(value, field)
    if array.dtype is _FLOAT32 and array.flags.c_contiguous and array.flags.aligned:
        return array
    with np.errstate(over="ignore"):
        return np.require(array, _FLOAT32, ["C", "A"])


def as_int8(value: Any, field: str) -> NDArray[np.int8]:
    """`value` as C-contiguous int8; values outside its range are an error."""
    array = as_array(value, field)
    if array.dtype != np.int8:
        if array.size and (array.min() < -128 or array.max() > 127 or (array.dtype.kind == "f" and (array % 1).any())):
            raise InputTypeError.of(field, "integers from -128 to 127", array.dtype)
        array = array.astype(np.int8)
    return np.ascontiguousarray(array)
