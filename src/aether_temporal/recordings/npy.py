"""Recordings in an .npy file: an array [frames, features], or int8 I/Q [frames, pairs, 2]."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .drops import Drop
from .errors import RecordingFormatError
from .features import as_features, finite_rows
from .npy_stream import read_header
from .recording import Recording, RecordingInfo
from .selection import choose

FORMAT = "npy"


def _infos(path: Path) -> list[RecordingInfo]:
    with path.open("rb") as file:
        header = read_header(file, str(path))
    return [RecordingInfo(0, path.stem, header.shape[0] if header.shape else 0)]


def list_npy(path: Path) -> list[RecordingInfo]:
    """The one recording of the file."""
    return _infos(path)


def open_npy(path: Path, recording: int | str | None = None) -> Recording:
    """Float32 frames and I/Q pairs stay in the file, memory-mapped; other numbers are converted.

    Frames with NaN or infinity are dropped.
    """
    choose(str(path), _infos(path), recording)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise RecordingFormatError(f"{path}: expected a whole .npy array, found a damaged one ({error})") from None
    if values.ndim == 3 and values.shape[2] == 2 and values.dtype == np.int8:
        return Recording(source=str(path), name=path.stem, format=FORMAT, iq=np.ascontiguousarray(values))
    frames = as_features(values, str(path))
    keep = finite_rows(frames)
    dropped = {} if keep is None else {str(Drop.NOT_FINITE): int((~keep).sum())}
    return Recording(
        source=str(path),
        name=path.stem,
        format=FORMAT,
        frames=frames if keep is None else frames[keep],
        dropped=dropped,
    )
