"""Converts arguments to what the core needs, and names those that cannot be converted."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import InputTypeError, InvalidConfigError

__all__ = ["as_array", "as_bytes", "as_flag", "as_float32", "as_index", "as_int8", "expect_choice", "expect_type"]


_FLOAT32 = np.dtype("=f4")


def expect_type(value: object, kind: type | tuple[type, ...], field: str, expected: str) -> None:
    """InputTypeError unless `value` is a `kind`."""
    if not isinstance(value, kind):
        raise InputTypeError.of(field, expected, type(value).__name__)


def expect_choice(value: object, choices: tuple[str, ...], field: str) -> None:
    """InvalidConfigError unless `value` is one of these words."""
    if not isinstance(value, str) or value not in choices:
        raise InvalidConfigError.of(field, " or ".join(map(repr, choices)), repr(value))


def as_index(value: Any) -> int | None:
    """`value` as an int; None for what is no integer, True and False among them."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def as_flag(value: Any, field: str) -> bool:
    """True or False, or 1 or 0, as a bool. InvalidConfigError."""
    if not isinstance(value, bool | np.bool_) and as_index(value) not in (0, 1):
        raise InvalidConfigError.of(field, "True or False", repr(value))
    return bool(value)


def as_bytes(value: Any, field: str, expected: str = "an object with the buffer protocol") -> bytes:
    """The bytes of any object with the buffer protocol, in C order; bytes are not copied. InputTypeError."""
    if isinstance(value, bytes):
        return value
    try:
        return memoryview(value).tobytes()
    except (BufferError, TypeError, ValueError) as error:  # numpy and ctypes have elements that no buffer describes
        raise InputTypeError.of(field, expected, type(value).__name__) from error


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
    """`value` as C-contiguous, aligned binary32. Values beyond its range become infinities, which the core rejects."""
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
