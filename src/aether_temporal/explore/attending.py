"""The weights of one attention layer, query by query: what the core computes and does not keep.

Binary64 throughout, by docs/spec/pattern.md and numerics.md. Memory grows with the tokens and the queries asked for at
a time, never with their square.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aether_temporal.settings import PatternSettings

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_CELLS = 1 << 21
"""Weights held at a time."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Of queries from `begin` on: `values` [q_heads, queries, tokens + blocks], a row adding up to 1, 0 where a query
    does not look. `tokens` ascending: those before `first` are global ones, `first` and on are without a hole.
    `blocks`: indices of the block means."""

    begin: int
    tokens: Indices
    first: int
    blocks: Indices
    values: Floats

    @property
    def of_tokens(self) -> Floats:
        """[q_heads, queries, tokens]."""
        return self.values[:, :, : len(self.tokens)]

    @property
    def of_blocks(self) -> Floats:
        """[q_heads, queries, blocks]."""
        return self.values[:, :, len(self.tokens) :]


@dataclass(frozen=True, eq=False)
class Attending:
    """A causal layer over T tokens: `q` [T, q_heads, D], `k`, `v` [T, kv_heads, D] as the cache keeps them, their block
    means [T // block_size, kv_heads, D], and a pattern whose history is at least 1."""

    pattern: PatternSettings
    history: int
    q: Floats
    k: Floats
    v: Floats
    k_means: Floats
    v_means: Floats

    def __len__(self) -> int:
        return int(self.q.shape[0])

    @property
    def span(self) -> int:
        """How many tokens back a query sees, itself included; global ones excepted."""
        return min(self.history, len(self))

    def weights(self, begin: int, end: int) -> Weights:
        """Of the queries begin … end - 1."""
        size = self.pattern.block_size
        first = max(0, begin - self.history + 1)
        older = [g for g in self.pattern.global_tokens if g < first]
        tokens = np.array([*older, *range(first, end)], dtype=np.int64)
        blocks = np.arange(-(-first // size), max(-(-first // size), end // size), dtype=np.int64)
        query = np.arange(begin, end, dtype=np.int64)[:, None]
        seen = np.concatenate([self._sees(query, tokens[None, :]), self._sees_block(query, blocks[None, :])], axis=1)
        if not self.pattern.use_landmarks:
            seen[:, len(tokens) :] = False
        scores = self._scores(begin, end, np.concatenate([self.k[tokens], self.k_means[blocks]]))
        scores = np.where(seen[None], scores, -math.inf)
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        return Weights(begin, tokens, first, blocks, weights / weights.sum(axis=2, keepdims=True))

    def walk(self) -> Iterator[Weights]:
        """Of all queries, a few at a time."""
        heads, begin = self.q.shape[1], 0
        most = max(1, min(128, _CELLS // (heads * (self.span + 128))))
        while begin < len(self):
            end = min(begin + most, len(self))
            yield self.weights(begin, end)
            begin = end

    def output(self) -> Floats:
        """What the layer's attention gives, [T, q_heads, D]."""
        out = np.empty_like(self.q)
        for found in self.walk():
            values = np.concatenate([self.v[found.tokens], self.v_means[found.blocks]])
            values = np.repeat(values, self._group, axis=1)
            end = found.begin + found.values.shape[1]
            out[found.begin : end] = np.einsum("hqc,chd->qhd", found.values, values)
        return out

    @property
    def _group(self) -> int:
        return int(self.q.shape[1] // self.k.shape[1])

    def _scores(self, begin: int, end: int, keys: Floats) -> Floats:
        """[q_heads, queries, candidates]."""
        keys = np.repeat(keys, self._group, axis=1)
        result: Floats = np.einsum("qhd,chd->hqc", self.q[begin:end], keys) / math.sqrt(self.q.shape[2])
        return result

    def _sees(self, query: Indices, token: Indices) -> NDArray[np.bool_]:
        back, p = query - token, self.pattern
        inside = back < self.history
        near = np.ones_like(inside) if p.window is None else back <= p.window
        if p.use_log_stride:
            near = near | _power_of_two(back)
        everywhere = np.isin(token, np.array(p.global_tokens, dtype=np.int64))
        result: NDArray[np.bool_] = (back >= 0) & ((near & inside) | everywhere)
        return result

    def _sees_block(self, query: Indices, block: Indices) -> NDArray[np.bool_]:
        size = self.pattern.block_size
        behind = (query + 1) // size - 1 - block  # blocks behind the newest complete one
        near = (behind == 0) | (behind == 1)
        if self.pattern.use_log_stride:
            near = near | _power_of_two(behind)
        result: NDArray[np.bool_] = near & (block * size >= query - (self.history - 1))
        return result


def _power_of_two(distance: Indices) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = (distance > 0) & ((distance & (distance - 1)) == 0)
    return result


def block_means(rows: Floats, size: int) -> Floats:
    """Means of the complete blocks, [T // size, …]."""
    blocks = len(rows) // size
    result: Floats = rows[: blocks * size].reshape(blocks, size, *rows.shape[1:]).mean(axis=1)
    return result
