"""Makes a blob of random weights by a rule that gives the same bytes on every machine.

The rule (docs/guide/cli.md): weight i of the blob, counted over all arrays in blob order, is computed from the i-th
output of splitmix64 started at the seed. Its upper 24 bits, k, give the odd integer 2k + 1 - 2^24, which binary32 holds
exactly, as it does that times 2^-24; the product with 1/sqrt(rows of its array) is the weight. The square root, the
quotient and the product are rounded once each. For binary16 the weight is then rounded to nearest even.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aether_temporal.blob import WeightBlob, WeightBlobHeader
from aether_temporal.errors import InvalidArgumentError

__all__ = ["random_blob"]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def _splitmix64(seed: int, first: int, count: int) -> NDArray[np.uint64]:
    """Outputs `first` to `first + count - 1` of splitmix64 with this seed."""
    steps = np.arange(first + 1, first + count + 1, dtype=np.uint64)
    z = np.uint64(seed) + steps * _GAMMA
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed


def _weights(seed: int, first: int, rows: int, columns: int) -> NDArray[np.float32]:
    k = (_splitmix64(seed, first, rows * columns) >> np.uint64(40)).astype(np.int64)
    exact = (2 * k + 1 - (1 << 24)).astype(np.float32) * np.float32(2.0**-24)
    bound = np.float32(1) / np.sqrt(np.float32(rows))
    weights: NDArray[np.float32] = (exact * bound).reshape(rows, columns)
    return weights


def random_blob(header: WeightBlobHeader, seed: int = 0) -> WeightBlob:
    """A plain version 1 blob (no settings) of this header; the same header and seed give the same bytes everywhere.

    seed: 0 to 2^64 - 1. InvalidArgumentError.
    """
    if isinstance(seed, bool) or not 0 <= seed < 1 << 64:
        raise InvalidArgumentError.of("seed", "an integer from 0 to 2^64 - 1", repr(seed))
    if header.extension:
        raise InvalidArgumentError.of("header.extension", "a plain version 1 header", True)
    w, q, kv = header.input_dim, header.n_q_heads * header.head_dim, header.n_kv_heads * header.head_dim
    shapes = {"wq": (w, q), "wk": (w, kv), "wv": (w, kv), "wo": (q, w)}
    at = 0
    layers = []
    for _ in range(header.n_layers):
        layer = {}
        for name, (rows, columns) in shapes.items():
            layer[name] = _weights(seed, at, rows, columns)
            at += rows * columns
        layers.append(layer)
    return WeightBlob.from_arrays(header, layers, _weights(seed, at, w, header.n_classes))
