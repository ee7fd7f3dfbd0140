"""Whatever numbers a file holds to finite binary32 frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import RecordingFormatError

_CHUNK = 4096


def as_features(values: NDArray[Any], what: str) -> NDArray[np.float32]:
    """[T, F] numbers as binary32, without a copy where they are; of complex numbers the magnitude.

    RecordingFormatError for another shape or type.
    """
    if values.ndim != 2 or values.shape[1] == 0:
        raise RecordingFormatError(f"{what}: expected [frames, features], found shape {list(values.shape)}")
    if values.dtype.kind == "c":
        values = np.abs(values)
    if values.dtype.kind not in "biuf":
        raise RecordingFormatError(f"{what}: expected numbers, found dtype {values.dtype}")
    if values.dtype == np.float32 and values.flags.c_contiguous:
        return values
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, dtype=np.float32)


def finite_rows(frames: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Which rows are finite; None when all are. Looks at a part of a mapped file at a time."""
    keep = np.ones(len(frames), dtype=np.bool_)
    for start in range(0, len(frames), _CHUNK):
        keep[start : start + _CHUNK] = np.isfinite(frames[start : start + _CHUNK]).all(axis=1)
    return None if keep.all() else keep
