"""docs/spec/integers.md: models in integers, with Python's integers, which have no largest one."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np

from . import Rejected, pyramid
from . import numeric as nm
from .numeric import Vector

if TYPE_CHECKING:
    from .rvne import Blob

Integers = list[int]

RESIDUAL, ACTIVATION, STORED = 32767, 2047, 127
LOGIT = (1 << 24) - 1
ONE = 1 << 22
"""What stands for 1 in a vector that `unit` made."""


def clamp(values: Integers, most: int) -> Integers:
    """Each between -most and most."""
    return [max(-most, min(most, v)) for v in values]


def narrow(a: int, multiplier: int) -> int:
    """a times multiplier / 2^29, rounded."""
    if not (abs(a) < 1 << 27 and abs(multiplier) < 1 << 31):
        raise AssertionError(f"narrow({a}, {multiplier})")
    return (a * multiplier + (1 << 28)) >> 29


def mean(total: int, bits: int) -> int:
    """A sum over 2^bits, rounded, a half to the even integer: as Python rounds a fraction."""
    return round(Fraction(total, 1 << bits))


def reciprocal(s: int) -> int:
    """r: 1/s is about r / 2^(15 + bits of s)."""
    b = s.bit_length()
    n = s << (16 - b) if b <= 16 else s >> (b - 16)
    return (1 << 31) // n


def unit(x: Integers, extra: int) -> Integers:
    """x over the root of `extra` plus its sum of squares, times 2^22."""
    s = extra + sum(v * v for v in x)
    if s == 0:
        return [0] * len(x)
    k = s.bit_length() + s.bit_length() % 2
    n = s << (32 - k) if k <= 32 else s >> (k - 32)
    r, m = (1 << 31) // isqrt(n), k // 2
    if m <= 7:
        return [v * r << (7 - m) for v in x]
    return [(v * r + (1 << (m - 8))) >> (m - 7) for v in x]


@cache
def powers() -> tuple[int, ...]:
    """T: 2^15 * 2^(-f/256), rounded. The 256th power of twice T + 1 tells on which side of a half it lies."""
    table = []
    for f in range(256):
        low, high = 0, 1 << 15
        while low < high:  # the largest t with t - 1/2 <= 2^(15 - f/256)
            t = (low + high + 1) // 2
            low, high = (t, high) if (2 * t - 1) ** 256 <= 1 << (16 * 256 - f) else (low, t - 1)
        table.append(low)
    return tuple(table)


def weight(below: int) -> int:
    """The weight of an entry whose score is so many 256ths of a power of two below the largest."""
    f, n = below % 256, below // 256
    return 0 if n >= 16 else (powers()[f] + (1 << n) // 2) >> n


def whole(x: np.float32, step: np.float32) -> int:
    """x / step, rounded, a half to the even integer."""
    return round(Fraction(float(x)) / Fraction(float(step)))


def real(n: int, step: Fraction) -> np.float32:
    """n times a power of two as binary32: exact."""
    return nm.F(float(n * step))


def check(blob: Blob) -> None:
    """What a reader checks of an int8 blob."""

    def need(condition: bool, what: str) -> None:
        if not condition:
            raise Rejected("BLOB_HEADER", what)

    def fits(bias: Integers, rows: list[Integers], most: int, what: str) -> None:
        for o in range(len(rows[0])):
            total = abs(bias[o]) + most * sum(abs(row[o]) for row in rows)
            need(total < 1 << 27, what)

    found, header = blob.integers, blob.header
    for name in ("integers.input_unit", "integers.logit_unit"):
        exponents = [e for e in range(-24, 25) if Fraction(float(blob.reals[name])) == Fraction(2) ** e]
        need(len(exponents) == 1, name)
    if "norm.eps" in blob.reals:
        eps = Fraction(float(blob.reals["norm.eps"]))
        need(eps.denominator == 1 and 1 <= eps <= 1 << 24, "norm.eps")
    need(blob.pattern.pyramid and blob.pattern.window + blob.pattern.block_size <= 256, "pattern")
    need(header.head_dim <= 512, "head_dim")
    need(blob.values.get("embedding.dim", 0) <= 0xFFFF, "embedding.dim")
    need("normalisation.mean" in found, "normalisation")
    need(all(abs(v) <= RESIDUAL for v in found["normalisation.mean"]), "normalisation.mean")
    for name, values in found.items():
        positive = "integers." in name or name == "normalisation.scale"
        need(all(v >= 1 if positive else v != -1 << 31 for v in values), name)
    model = _Arrays(blob)
    for weights, bias, _ in MATRICES:
        for prefix in model.places(weights):
            rows = model.rows(prefix + weights)
            fits(model.vector(prefix + bias, len(rows[0])), rows, ACTIVATION, weights)
    for name, most in (("stem", RESIDUAL), ("convolution", ACTIVATION)):
        for prefix in model.places(name + ".weight"):
            rows = model.rows(f"{prefix}{name}.weight")
            fits(model.vector(f"{prefix}{name}.bias", blob.width), rows, most, name)


# Weights, bias and multiplier of each matrix.
MATRICES = (
    ("projection.weight", "projection.bias", "integers.projection"),
    *((f"attention.w{which}", f"attention.b{which}", f"integers.{which}") for which in "qkvo"),
    *((f"feed_forward.w{which}", f"feed_forward.b{which}", f"integers.w{which}") for which in "12"),
    ("classifier.weight", "classifier.bias", "integers.classifier"),
    ("embedding.weight", "embedding.bias", "integers.embedding"),
)


class _Arrays:
    """The arrays of a blob, in rows."""

    def __init__(self, blob: Blob) -> None:
        self.blob = blob

    def places(self, name: str) -> list[str]:
        """What stands before the name: "" or "layers.n."."""
        layers = [f"layers.{n}." for n in range(self.blob.header.n_layers)]
        return [prefix for prefix in ("", *layers) if prefix + name in self.blob.integers]

    def vector(self, name: str, size: int) -> Integers:
        return self.blob.integers.get(name, [0] * size)

    def rows(self, name: str) -> list[Integers]:
        flat = self.blob.integers[name]
        columns = len(flat) // self._count(name)
        return [flat[at : at + columns] for at in range(0, len(flat), columns)]

    def _count(self, name: str) -> int:
        blob, last = self.blob, name.split(".")[-2:]
        sizes: dict[str, int] = {
            "projection.weight": blob.header.input_dim,
            "attention.wo": blob.header.n_q_heads * blob.header.head_dim,
            "feed_forward.w2": blob.values.get("feed_forward.hidden", 0),
            "stem.weight": blob.values.get("stem.taps", 0),
            "convolution.weight": blob.values.get("convolution.taps", 0),
        }
        return sizes.get(".".join(last), blob.width)


class IntegerStream:
    """An int8 model fed frame by frame; `context` 0 is unlimited."""

    def __init__(self, blob: Blob, context: int) -> None:
        self.blob = blob
        self.arrays = _Arrays(blob)
        self.pattern = blob.pattern if context == 0 else blob.pattern.with_capacity(context)
        layers = blob.header.n_layers
        self.keys: list[list[Integers]] = [[] for _ in range(layers)]  # [layer][token], of all heads
        self.values: list[list[Integers]] = [[] for _ in range(layers)]
        self.stem_rows: list[Integers] = []  # newest first
        self.conv_rows: list[list[Integers]] = [[] for _ in range(layers)]  # newest first
        self.pooled: list[Integers] = []  # oldest first
        self._means: dict[tuple[int, int, int], Integers] = {}
        self.scores: Integers = []
        self.embedding: Integers = []

    def push(self, frame: Vector) -> tuple[Vector, Vector | None]:
        """Logits and embedding after this frame."""
        nm.require_finite(frame, "NOT_FINITE", "frame")
        blob, found = self.blob, self.blob.integers
        u = [whole(x, blob.reals["integers.input_unit"]) for x in frame]
        if any(abs(v) > RESIDUAL for v in u):
            raise Rejected("OVERFLOW", "frame")
        x = self._input(u)
        for n in range(blob.header.n_layers):
            x = self._layer(n, x)
        p = self._pool(self._norm(x, "norm.final"))
        self.scores = clamp(self._linear(p, *MATRICES[-2]), LOGIT)
        unit_of_logits = Fraction(float(blob.reals["integers.logit_unit"]))
        logits = [real(n, unit_of_logits) for n in self.scores]
        if "embedding.weight" not in found:
            return logits, None
        self.embedding = unit(clamp(self._linear(p, *MATRICES[-1]), RESIDUAL), 0)
        return logits, [real(n, Fraction(1, ONE)) for n in self.embedding]

    def _linear(self, x: Integers, weights: str, bias: str, multiplier: str) -> Integers:
        rows = self.arrays.rows(weights)
        start = self.arrays.vector(bias, len(rows[0]))
        sums = [start[o] + sum(v * row[o] for v, row in zip(x, rows, strict=True)) for o in range(len(rows[0]))]
        return [narrow(s, m) for s, m in zip(sums, self.blob.integers[multiplier], strict=True)]

    def _filter(self, newest: Integers, past: list[Integers], prefix: str, name: str) -> Integers:
        past.insert(0, newest)
        y = list(self.blob.integers[f"{prefix}{name}.bias"])
        for j, taps in enumerate(self.arrays.rows(f"{prefix}{name}.weight")):
            row = past[j] if j < len(past) else [0] * len(newest)
            y = [a + b * c for a, b, c in zip(y, row, taps, strict=True)]
        return [narrow(a, m) for a, m in zip(y, self.blob.integers[f"{prefix}integers.{name}"], strict=True)]

    def _norm(self, x: Integers, name: str) -> Integers:
        if name not in self.blob.integers:
            return clamp([(v + 8) >> 4 for v in x], ACTIVATION)
        scaled = unit(x, int(self.blob.reals["norm.eps"]))
        return clamp([narrow(v, g) for v, g in zip(scaled, self.blob.integers[name], strict=True)], ACTIVATION)

    def _input(self, u: Integers) -> Integers:
        blob, found = self.blob, self.blob.integers
        if blob.values.get("agc.kind") == 1 and sum(u) > 0:
            r, b = reciprocal(sum(u)), sum(u).bit_length()
            u = clamp([(v * r * len(u) + (1 << (b + 2))) >> (b + 3) for v in u], RESIDUAL)
        projected = "projection.weight" in found
        moved = zip(u, found["normalisation.mean"], found["normalisation.scale"], strict=True)
        x = clamp([narrow(v - m, s) for v, m, s in moved], ACTIVATION if projected else RESIDUAL)
        if projected:
            x = clamp(self._linear(x, *MATRICES[0]), RESIDUAL)
        if "stem.weight" in found:
            x = clamp(self._filter(x, self.stem_rows, "", "stem"), RESIDUAL)
            x = [max(v, 0) for v in x] if blob.values["stem.activation"] == 1 else x
        return x

    def _layer(self, n: int, x: Integers) -> Integers:
        found, at = self.blob.integers, f"layers.{n}."

        def linear(values: Integers, which: int) -> Integers:
            return self._linear(values, *(at + name for name in MATRICES[which]))

        h = self._norm(x, at + "norm.weight")
        if at + "convolution.weight" in found:
            h = clamp(self._filter(h, self.conv_rows[n], at, "convolution"), ACTIVATION)
        q = clamp(linear(h, 1), ACTIVATION)
        self.keys[n].append(clamp(linear(h, 2), STORED))
        self.values[n].append(clamp(linear(h, 3), STORED))
        x = clamp([a + b for a, b in zip(x, linear(self._attend(n, q), 4), strict=True)], RESIDUAL)
        if at + "feed_forward.norm" in found:
            h = self._norm(x, at + "feed_forward.norm")
            u = [max(v, 0) for v in clamp(linear(h, 5), ACTIVATION)]
            x = clamp([a + b for a, b in zip(x, linear(u, 6), strict=True)], RESIDUAL)
        return x

    def mean_of(self, rows: list[Integers], first: int, z: int) -> Integers:
        """The mean of blocks first .. first + z - 1, z a power of two."""
        size, place = self.pattern.block_size, (id(rows), first, z)
        if place not in self._means and z == 1:
            block = rows[first * size : (first + 1) * size]
            self._means[place] = [mean(sum(column), size.bit_length() - 1) for column in zip(*block, strict=True)]
        elif place not in self._means:
            halves = (self.mean_of(rows, at, z // 2) for at in (first, first + z // 2))
            self._means[place] = [mean(a + b, 1) for a, b in zip(*halves, strict=True)]
        return self._means[place]

    def _attend(self, n: int, q: Integers) -> Integers:
        header, p = self.blob.header, self.pattern
        keys, values = self.keys[n], self.values[n]
        i, size, dim = len(keys) - 1, p.block_size, header.head_dim
        seen = [(keys[t], values[t], 0) for t in pyramid.tokens(p, i, i + 1)]
        for first, z in pyramid.runs(p, i, i + 1):
            tokens = (size * z).bit_length() - 1
            seen.append((self.mean_of(keys, first, z), self.mean_of(values, first, z), tokens))
        out: Integers = []
        for h in range(header.n_q_heads):
            at = h // (header.n_q_heads // header.n_kv_heads) * dim
            query = q[h * dim : (h + 1) * dim]
            multiplier = self.blob.integers[f"layers.{n}.integers.score"][h]
            scores = [
                narrow(sum(a * b for a, b in zip(query, key[at : at + dim], strict=True)), multiplier) + 256 * tokens
                for key, _, tokens in seen
            ]
            weights = [weight(max(scores) - score) for score in scores]
            r, b = reciprocal(sum(weights)), sum(weights).bit_length()
            for d in range(at, at + dim):
                total = sum(g * value[d] for g, (_, value, _) in zip(weights, seen, strict=True))
                out.append(((total << (24 - b)) * r + (1 << 34)) >> 35)
        return out

    def _pool(self, x: Integers) -> Integers:
        self.pooled.append(x)
        if self.blob.values.get("pooling.kind") != 1:
            return x
        recent = self.pooled[-self.blob.values["pooling.n"] :]
        r = ((1 << 31) - 1) // len(recent)
        return [(sum(column) * r + (1 << 30)) >> 31 for column in zip(*recent, strict=True)]
