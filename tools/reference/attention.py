"""Attention over a whole sequence, and its one-token-at-a-time form. A tensor is `rows[token][head][d]`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import Rejected
from . import numeric as nm
from .numeric import F, Vector
from .pattern import Pattern, blocks, tokens

Row = list[Vector]  # [head][d]
Tensor = list[Row]  # [token][head][d]


@dataclass(frozen=True)
class Head:
    """Heads, head dim and pattern."""

    q_heads: int = 4
    kv_heads: int = 1
    head_dim: int = 32
    pattern: Pattern = field(default_factory=Pattern)


def block_mean(rows: Row) -> Vector:
    """The mean of some rows of one head, ascending, one division at the end."""
    count = F(len(rows))
    mean: Vector = []
    for d in range(len(rows[0])):
        s = nm.ZERO
        for row in rows:
            s = s + row[d]
        nm.require_finite([s], "OVERFLOW", "block sum")
        mean.append(s / count)
    return mean


def attend(q: Vector, keys: Row, values: Row, scale: np.float32) -> Vector:
    """One query over its candidates, in the order given."""
    scores = [nm.dot(q, k) * scale for k in keys]
    largest = scores[0]
    for s in scores[1:]:
        if s > largest:
            largest = s
    total = nm.ZERO
    acc = [nm.ZERO for _ in q]
    for s, v in zip(scores, values, strict=True):
        w = nm.exp(s - largest) if not np.isnan(s - largest) else F(np.nan)
        total = total + w
        acc = [a + w * x for a, x in zip(acc, v, strict=True)]
    r = nm.ONE / total
    out = [a * r for a in acc]
    nm.require_finite(out, "OVERFLOW", "attention row")
    return out


def _check_finite(name: str, tensor: Tensor) -> None:
    for row in tensor:
        for vector in row:
            nm.require_finite(vector, "NOT_FINITE", name)


def _check_block_sums(p: Pattern, k: Tensor, v: Tensor, last_only: bool) -> None:
    """Every block sum is checked, also of blocks that are not complete yet."""
    if p.dense or not p.landmarks or (p.causal and p.history and p.history < p.block_size):
        return  # no query can see a landmark: none is built
    length = len(k)
    for b in range(-(-length // p.block_size)):
        span = range(b * p.block_size, min((b + 1) * p.block_size, length))
        if last_only and length - 1 not in span:
            continue
        for tensor in (k, v):
            for g in range(len(tensor[0])):
                block_mean([tensor[t][g] for t in span])


def _row(head: Head, i: int, length: int, q: Row, k: Tensor, v: Tensor, unrounded: tuple[Tensor, Tensor]) -> Row:
    """Row `i` of the output. Block means come from `unrounded`; what else is read comes from `k` and `v`."""
    p, size = head.pattern, head.pattern.block_size
    seen, landmarks = tokens(p, i, length), blocks(p, i, length)
    scale = nm.scale_of(head.head_dim)
    out: Row = []
    for h in range(head.q_heads):
        g = h // (head.q_heads // head.kv_heads)
        keys, values = [k[t][g] for t in seen], [v[t][g] for t in seen]
        for b in landmarks:
            span = range(b * size, min((b + 1) * size, length))
            keys.append(block_mean([unrounded[0][t][g] for t in span]))
            values.append(block_mean([unrounded[1][t][g] for t in span]))
        out.append(attend(q[h], keys, values, scale))
    return out


def _through_half(tensor: Tensor) -> Tensor:
    return [[nm.through_half(vector) for vector in row] for row in tensor]


def forward(head: Head, q: Tensor, k: Tensor, v: Tensor, *, half: bool = False) -> Tensor:
    """Every row of the output; with `half`, token rows are rounded to binary16 first (block means are not)."""
    for name, tensor in (("q", q), ("k", k), ("v", v)):
        _check_finite(name, tensor)
    seen_k, seen_v = (_through_half(k), _through_half(v)) if half else (k, v)
    with np.errstate(all="ignore"):
        _check_block_sums(head.pattern, k, v, False)
        return [_row(head, i, len(q), q[i], seen_k, seen_v, (k, v)) for i in range(len(q))]


class Cache:
    """Keys and values of a stream. `ring` never fills; `half` stores binary16. Keeps everything: plain, not small."""

    def __init__(self, head: Head, capacity: int, *, half: bool = False, ring: bool = False) -> None:
        self.head = Head(head.q_heads, head.kv_heads, head.head_dim, head.pattern.with_capacity(capacity))
        self.capacity, self.half, self.ring = capacity, half, ring
        self.k: Tensor = []
        self.v: Tensor = []
        self.stored_k: Tensor = []
        self.stored_v: Tensor = []

    def step(self, q: Row, k: Row, v: Row) -> Row:
        """Take one token and give its output row; a rejected one changes nothing."""
        for name, row in (("q", q), ("k", k), ("v", v)):
            _check_finite(name, [row])
        if not self.ring and len(self.k) == self.capacity:
            raise Rejected("CACHE_FULL")
        stored = _through_half([k, v]) if self.half else [k, v]
        all_k, all_v = [*self.k, k], [*self.v, v]
        seen_k, seen_v = [*self.stored_k, stored[0]], [*self.stored_v, stored[1]]
        i = len(self.k)
        with np.errstate(all="ignore"):
            _check_block_sums(self.head.pattern, all_k, all_v, True)
            out = _row(self.head, i, i + 1, q, seen_k, seen_v, (all_k, all_v))
        self.k, self.v, self.stored_k, self.stored_v = all_k, all_v, seen_k, seen_v
        return out

    def reset(self) -> None:
        """Forget every token."""
        self.k, self.v, self.stored_k, self.stored_v = [], [], [], []
