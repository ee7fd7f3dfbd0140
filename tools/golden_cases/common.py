"""What all cases are made with."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from reference import numeric
from reference.attention import Head, Tensor
from reference.golden_file import Input
from reference.numeric import Vector, from_bits, to_bits

NONE = 0xFFFFFFFF
FORWARD, SPLIT, STEP, PREFILL, APPEND, RESET = 1, 2, 4, 8, 16, 32
STREAMING = STEP | PREFILL | APPEND | RESET
HUGE = 1 << 40
UNLIMITED = (1 << 64) - 1


def seed_of(name: str, which: int = 0) -> int:
    """A seed that depends on the case's name alone, so that adding a case changes no other."""
    return numeric.crc32(f"{name}#{which}".encode())


def values(source: Input) -> Vector:
    """The words of an input as binary32."""
    return [from_bits(int(w)) for w in source.words()]


def bits(vector: Sequence[np.float32]) -> list[int]:
    """binary32 values as words."""
    return [to_bits(x) for x in vector]


def halves(source: Sequence[int]) -> list[int]:
    """binary16 bits, two to a word, the first in the low half."""
    padded = [*source, *[0] * (len(source) % 2)]
    return [a | b << 16 for a, b in zip(padded[::2], padded[1::2], strict=True)]


def byte_words(data: bytes) -> list[int]:
    """Bytes as words, zero bytes at the end."""
    return [w for (w,) in struct.iter_unpack("<I", data + bytes(-len(data) % 4))]


def config_words(head: Head) -> list[int]:
    """The configuration block that pattern and attention cases begin with (the global tokens stand last)."""
    p = head.pattern
    wide = [n for value in (p.window, p.block_size, p.history) for n in (value & NONE, value >> 32)]
    return [
        2 if p.pyramid else int(p.dense),
        head.q_heads,
        head.kv_heads,
        head.head_dim,
        *wide,
        int(p.causal),
        int(p.log_stride),
        int(p.landmarks),
        len(p.globals_),
    ]


def tensor(flat: Vector, tokens: int, heads: int, dim: int) -> Tensor:
    """[tokens][heads][dim]."""
    row = heads * dim
    return [[flat[t * row + h * dim : t * row + (h + 1) * dim] for h in range(heads)] for t in range(tokens)]
