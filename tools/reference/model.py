"""docs/spec/model.md, frame by frame. `forward` of a recording is what a stream gives after each of its frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import numeric as nm
from .attention import Cache, Head, Row
from .numeric import F, Matrix, Vector
from .resample import without_agc
from .rvne import Blob


def _split(x: Vector, heads: int) -> Row:
    dim = len(x) // heads
    return [x[h * dim : (h + 1) * dim] for h in range(heads)]


def _add(x: Vector, o: Vector) -> Vector:
    y = [a + b for a, b in zip(x, o, strict=True)]
    nm.require_finite(y, "OVERFLOW", "sum")
    return y


def rms(x: Vector, g: Vector, eps: np.float32) -> Vector:
    """Root-mean-square norm."""
    s = nm.ZERO
    for a in x:
        s = s + a * a
    nm.require_finite([s], "OVERFLOW", "sum of squares")
    r = nm.ONE / nm.sqrt(s / F(len(x)) + eps)
    h = [F(a * r) * b for a, b in zip(x, g, strict=True)]
    nm.require_finite(h, "OVERFLOW", "norm")
    return h


def filtered(newest: Vector, rows: list[Vector], taps: Matrix, bias: Vector) -> Vector:
    """One causal filter a channel. `rows` holds what came before, newest first, and gets `newest`."""
    rows.insert(0, newest)
    zero = [nm.ZERO] * len(newest)
    y = list(bias)
    for j, c in enumerate(taps):
        past = rows[j] if j < len(rows) else zero
        y = [a + b * w for a, b, w in zip(y, past, c, strict=True)]
    nm.require_finite(y, "OVERFLOW", "filter")
    return y


def relu(x: Vector) -> Vector:
    """Values above zero; +0 for the others."""
    return [value if value > 0 else nm.ZERO for value in x]


class Stream:
    """A model fed frame by frame; `context` 0 is unlimited."""

    def __init__(self, blob: Blob, context: int, *, half: bool = False) -> None:
        self.blob = blob
        h = blob.header
        pattern = blob.pattern if context == 0 else blob.pattern.with_capacity(context)
        head = Head(h.n_q_heads, h.n_kv_heads, h.head_dim, pattern)
        # The cache keeps all tokens; visibility alone makes it a ring.
        self.caches = [Cache(head, 1 << 62, half=half, ring=True) for _ in range(h.n_layers)]
        for cache in self.caches:
            cache.head = replace(cache.head, pattern=pattern)
        self.stem_rows: list[Vector] = []  # newest first
        self.conv_rows: list[list[Vector]] = [[] for _ in range(h.n_layers)]  # newest first
        self.pooled: list[Vector] = []  # oldest first

    def push(self, frame: Vector) -> tuple[Vector, Vector | None]:
        """Logits and embedding after this frame."""
        nm.require_finite(frame, "NOT_FINITE", "frame")
        blob = self.blob
        with np.errstate(all="ignore"):
            x = self._input(list(frame))
            for n in range(blob.header.n_layers):
                x = self._layer(n, x)
            if "norm.final" in blob.vectors:
                x = rms(x, blob.vectors["norm.final"], blob.reals["norm.eps"])
            p = self._pool(x)
            return self._linear(p, "classifier"), self._embed(p)

    def _linear(self, x: Vector, name: str) -> Vector:
        return nm.linear(x, self.blob.matrices[name + ".weight"], self.blob.vectors.get(name + ".bias"))

    def _input(self, x: Vector) -> Vector:
        vectors, values = self.blob.vectors, self.blob.values
        if values.get("agc.kind") == 1:
            x = without_agc(x)
        if "normalisation.mean" in vectors:
            mean, scale = vectors["normalisation.mean"], vectors["normalisation.scale"]
            x = [F(a - m) * s for a, m, s in zip(x, mean, scale, strict=True)]
            nm.require_finite(x, "OVERFLOW", "normalisation")
        if "projection.bias" in vectors:
            x = self._linear(x, "projection")
        if "stem.bias" in vectors:
            x = filtered(x, self.stem_rows, self.blob.matrices["stem.weight"], vectors["stem.bias"])
            x = relu(x) if values["stem.activation"] == 1 else x
        return x

    def _layer(self, n: int, x: Vector) -> Vector:
        vectors, matrices = self.blob.vectors, self.blob.matrices
        at = f"layers.{n}."
        h = x
        if at + "norm.weight" in vectors:
            h = rms(x, vectors[at + "norm.weight"], self.blob.reals["norm.eps"])
        if at + "convolution.bias" in vectors:
            h = filtered(h, self.conv_rows[n], matrices[at + "convolution.weight"], vectors[at + "convolution.bias"])

        def attention(values: Vector, which: str) -> Vector:
            weight, bias = matrices[f"{at}attention.w{which}"], vectors.get(f"{at}attention.b{which}")
            return nm.linear(values, weight, bias)

        heads, kv = self.blob.header.n_q_heads, self.blob.header.n_kv_heads
        q, k, v = (_split(attention(h, which), into) for which, into in (("q", heads), ("k", kv), ("v", kv)))
        a = [value for vector in self.caches[n].step(q, k, v) for value in vector]
        x = _add(x, attention(a, "o"))
        at += "feed_forward."
        if at + "norm" in vectors:
            h = rms(x, vectors[at + "norm"], self.blob.reals["norm.eps"])
            u = relu(nm.linear(h, matrices[at + "w1"], vectors[at + "b1"]))
            x = _add(x, nm.linear(u, matrices[at + "w2"], vectors[at + "b2"]))
        return x

    def _pool(self, x: Vector) -> Vector:
        self.pooled.append(x)
        if self.blob.values.get("pooling.kind") != 1:
            return x
        recent = self.pooled[-self.blob.values["pooling.n"] :]
        p: Vector = []
        for c in range(len(x)):
            s = nm.ZERO
            for row in recent:
                s = s + row[c]
            p.append(s / F(len(recent)))
        nm.require_finite(p, "OVERFLOW", "pooling")
        return p

    def _embed(self, p: Vector) -> Vector | None:
        if "embedding.bias" not in self.blob.vectors:
            return None
        e = self._linear(p, "embedding")
        s = nm.ZERO
        for a in e:
            s = s + a * a
        nm.require_finite([s], "OVERFLOW", "sum of squares")
        if s > 0:
            r = nm.ONE / nm.sqrt(s)
            e = [a * r for a in e]
            nm.require_finite(e, "OVERFLOW", "embedding")
        return e
