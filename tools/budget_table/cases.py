"""The models that are measured, and what the Python package says of them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from aether_temporal import TemporalModel, WeightBlob, WeightBlobHeader
from aether_temporal.blob_tools import random_blob
from aether_temporal.cache_types import Dtype

POINTER_BYTES = 4


@dataclass(frozen=True)
class Case:
    """A model of random weights and a stream over it."""

    name: str
    header: WeightBlobHeader
    context: int
    dtype: Dtype
    fill: int = 256  # pushes until the ring is full
    steady: int = 256  # pushes after that

    @cached_property
    def blob(self) -> WeightBlob:
        return random_blob(self.header)

    @cached_property
    def model(self) -> TemporalModel:
        return TemporalModel.from_blob(self.blob)

    @property
    def pushes(self) -> int:
        return self.fill + self.steady

    def frames(self) -> NDArray[np.float32]:
        """The frames that app.c makes."""
        state, values = 1, []
        for _ in range(self.pushes * self.header.input_dim):
            state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
            values.append((state >> 8) - 0x800000)
        whole = np.array(values, dtype=np.float32) * np.float32(1 / 8388608)
        return whole.reshape(self.pushes, self.header.input_dim)

    def crc(self) -> int:
        """CRC-32 of all logits, as this computer computes them."""
        logits = self.model.forward(self.frames(), self.context, self.dtype)
        return zlib.crc32(logits.astype("<f4").tobytes())


def _header(input_dim: int, kv_heads: int, head_dim: int, layers: int) -> WeightBlobHeader:
    return WeightBlobHeader("float32", input_dim, 4, kv_heads, head_dim, layers, 4)


REFERENCE = _header(input_dim=16, kv_heads=1, head_dim=32, layers=2)
DTYPES: dict[str, Dtype] = {
    "binary16 cache": "float16",
    "binary32 cache": "float32",
}


def _design(layers: int, kv_heads: int, cache: str) -> Case:
    """The design's budget model: d_model 32, 4 heads of 8."""
    name = f"d_model 32, {layers} × 4 heads, {kv_heads} key/value, {cache}"
    return Case(name, _header(input_dim=32, kv_heads=kv_heads, head_dim=8, layers=layers), 256, DTYPES[cache])


CASES = [
    *(Case(f"reference, {cache}", REFERENCE, 256, dtype) for cache, dtype in DTYPES.items()),
    *(_design(layers, kv_heads, cache) for kv_heads in (4, 1) for layers in (1, 2) for cache in DTYPES),
]
