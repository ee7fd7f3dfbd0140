"""What a model must answer on a chip before it is believed there (docs/spec/slots.md, "The check")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aether_temporal import _core
from aether_temporal._core import crc32
from aether_temporal.errors import TemporalError
from aether_temporal.model import Dtype, TemporalModel

__all__ = ["check_answer", "check_frames"]


def _mix(h: NDArray[np.uint32]) -> NDArray[np.uint32]:
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return h


def check_frames(count: int, input_dim: int, seed: int) -> NDArray[np.float32]:
    """The made-up frames, (count, input_dim) float32 in [0, 64)."""
    index = np.arange(count * input_dim, dtype=np.uint32)
    mixed = _mix(np.uint32(seed) + index * np.uint32(0x9E3779B9))
    return ((mixed >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-18)).reshape(count, input_dim)


def check_answer(model: TemporalModel, count: int, seed: int, dtype: Dtype) -> int:
    """The CRC over the model's answers to `count` made-up frames, its stream's cache of this type."""
    stream = model.stream(count, dtype)
    crc = 0
    for frame in check_frames(count, model.input_dim, seed):
        try:
            logits = stream.push(frame)
        except TemporalError as error:
            crc = crc32(_status(error).to_bytes(4, "little"), crc)
            continue
        crc = crc32(bytes(4) + logits.astype("<f4").tobytes(), crc)
        embedding = stream.embedding
        if embedding is not None:
            crc = crc32(embedding.astype("<f4").tobytes(), crc)
    return crc


def _status(error: TemporalError) -> int:
    return [cls for _, _, cls in _core.status_table()].index(type(error))
