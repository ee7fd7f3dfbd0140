"""Attention over a whole sequence, and its one-token-at-a-time form. A tensor is `rows[token][head][d]`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import Rejected, pyramid
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


class Means:
    """The pyramid's means of one tensor as queries see it: of blocks, and of runs from their halves."""

    def __init__(self, tensor: Tensor, size: int) -> None:
        self.tensor, self.size = tensor, size
        self._made: dict[tuple[int, int, int], Vector] = {}

    def of(self, g: int, first: int, z: int) -> Vector:
        """The mean of blocks first .. first + z - 1 of head `g`; z is a power of two."""
        if (g, first, z) not in self._made:
            if z == 1:
                mean = block_mean([self.tensor[t][g] for t in range(first * self.size, (first + 1) * self.size)])
            else:
                left, right = self.of(g, first, z // 2), self.of(g, first + z // 2, z // 2)
                mean = [F(a * F(0.5)) + F(b * F(0.5)) for a, b in zip(left, right, strict=True)]
            self._made[g, first, z] = mean
        return self._made[g, first, z]

    def form(self, blocks: int) -> None:
        """Make every mean that is complete with blocks 0 .. blocks - 1."""
        z = 1
        while z <= blocks:
            for first in range(0, blocks - z + 1, z):
                for g in range(len(self.tensor[0])):
                    self.of(g, first, z)
            z *= 2


def attend(q: Vector, keys: Row, values: Row, scale: np.float32, counts: list[int] | None = None) -> Vector:
    """One query over its candidates, in the order given; `counts`: how many tokens each stands for (one)."""
    scores = [nm.dot(q, k) * scale for k in keys]
    largest = scores[0]
    for s in scores[1:]:
        if s > largest:
            largest = s
    total = nm.ZERO
    acc = [nm.ZERO for _ in q]
    for s, v, n in zip(scores, values, counts or [1] * len(scores), strict=True):
        w = F(n) * (nm.exp(s - largest) if not np.isnan(s - largest) else F(np.nan))
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


def _pyramid_row(head: Head, i: int, length: int, q: Row, k: Means, v: Means) -> Row:
    """Row `i` of the output under the pyramid pattern."""
    p, size = head.pattern, head.pattern.block_size
    seen, runs = pyramid.tokens(p, i, length), pyramid.runs(p, i, length)
    counts = [1] * len(seen) + [z * size for _, z in runs]
    out: Row = []
    for h in range(head.q_heads):
        g = h // (head.q_heads // head.kv_heads)
        keys = [k.tensor[t][g] for t in seen] + [k.of(g, first, z) for first, z in runs]
        values = [v.tensor[t][g] for t in seen] + [v.of(g, first, z) for first, z in runs]
        out.append(attend(q[h], keys, values, nm.scale_of(head.head_dim), counts))
    return out


def _through_half(tensor: Tensor) -> Tensor:
    return [[nm.through_half(vector) for vector in row] for row in tensor]


def forward(head: Head, q: Tensor, k: Tensor, v: Tensor, *, half: bool = False) -> Tensor:
    """Every row of the output; with `half`, token rows are rounded to binary16 first (block means are not)."""
    for name, tensor in (("q", q), ("k", k), ("v", v)):
        _check_finite(name, tensor)
    seen_k, seen_v = (_through_half(k), _through_half(v)) if half else (k, v)
    with np.errstate(all="ignore"):
        if head.pattern.pyramid:
            means = Means(seen_k, head.pattern.block_size), Means(seen_v, head.pattern.block_size)
            for each in means:
                each.form(pyramid.formed_blocks(head.pattern, len(q)) if pyramid.sees_runs(head.pattern) else 0)
            return [_pyramid_row(head, i, len(q), q[i], *means) for i in range(len(q))]
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
        self.means: tuple[Means, Means] | None = None  # the pyramid's, grown as tokens arrive

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
        if self.head.pattern.pyramid:
            out = self._pyramid_step(i, q, seen_k, seen_v)
            self.k, self.v, self.stored_k, self.stored_v = all_k, all_v, seen_k, seen_v
            return out
        with np.errstate(all="ignore"):
            _check_block_sums(self.head.pattern, all_k, all_v, True)
            out = _row(self.head, i, i + 1, q, seen_k, seen_v, (all_k, all_v))
        self.k, self.v, self.stored_k, self.stored_v = all_k, all_v, seen_k, seen_v
        return out

    def _pyramid_step(self, i: int, q: Row, seen_k: Tensor, seen_v: Tensor) -> Row:
        p = self.head.pattern
        if self.means is None:
            self.means = Means(seen_k, p.block_size), Means(seen_v, p.block_size)
        with np.errstate(all="ignore"):
            for means, tensor in zip(self.means, (seen_k, seen_v), strict=True):
                means.tensor = tensor
                blocks = pyramid.formed_blocks(p, i + 1)
                if blocks > pyramid.formed_blocks(p, i) and pyramid.sees_runs(p):
                    for g in range(self.head.kv_heads):
                        z = 1
                        while blocks % z == 0:
                            means.of(g, blocks - z, z)
                            z *= 2
            return _pyramid_row(self.head, i, i + 1, q, *self.means)

    def reset(self) -> None:
        """Forget every token."""
        self.means = None
        self.k, self.v, self.stored_k, self.stored_v = [], [], [], []
