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
from aether_temporal.settings import PYRAMID, ModelSettings

POINTER_BYTES = 4
LONG = 100_000
"""Frames of past: about half an hour at 50 a second."""


@dataclass(frozen=True)
class Case:
    """A model of random weights and a stream over it."""

    name: str
    header: WeightBlobHeader
    context: int
    dtype: Dtype
    fill: int = 256  # pushes until the ring is full
    steady: int = 256  # pushes after that
    pyramid: bool = False
    past: int = 0  # frames that a computer has pushed before: the chip continues from the saved state

    @cached_property
    def blob(self) -> WeightBlob:
        plain = random_blob(self.header)
        return WeightBlob(plain.header, plain.weights, ModelSettings(pattern=PYRAMID)) if self.pyramid else plain

    @cached_property
    def model(self) -> TemporalModel:
        return TemporalModel.from_blob(self.blob)

    @property
    def pushes(self) -> int:
        return self.fill + self.steady

    def _frames(self, state: int, count: int) -> NDArray[np.float32]:
        """The frames that app.c makes of this state."""
        values = []
        for _ in range(count * self.header.input_dim):
            state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
            values.append((state >> 8) - 0x800000)
        whole = np.array(values, dtype=np.float32) * np.float32(1 / 8388608)
        return whole.reshape(count, self.header.input_dim)

    @cached_property
    def saved(self) -> bytes:
        """The state of a stream after `past` frames."""
        stream = self.model.stream(self.context, self.dtype)
        for frame in self._frames(2, self.past):
            stream.push(frame)
        return stream.to_bytes()

    def crc(self) -> int:
        """CRC-32 of all logits, as this computer computes them."""
        stream = self.model.stream(self.context, self.dtype)
        stream.restore(self.saved)
        logits = np.stack([stream.push(frame) for frame in self._frames(1, self.pushes)])
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


def _pyramid(cache: str, past: int = 0) -> Case:
    name = f"reference, pyramid, {past or 256:,} frames, {cache}".replace(",0", " 0")
    return Case(name, REFERENCE, past or 256, DTYPES[cache], fill=0 if past else 256, pyramid=True, past=past)


CASES = [
    *(Case(f"reference, {cache}", REFERENCE, 256, dtype) for cache, dtype in DTYPES.items()),
    *(_pyramid(cache, past) for past in (0, LONG) for cache in DTYPES),
    *(_design(layers, kv_heads, cache) for kv_heads in (4, 1) for layers in (1, 2) for cache in DTYPES),
]
