"""docs/spec/model.md, frame by frame. `forward` of a recording is these answers one after the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import numeric as nm
from .attention import Cache, Head, Row
from .numeric import F, Matrix, Vector
from .resample import without_gain
from .rvne import Blob, Layer


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
        self.caches = [Cache(head, 1 << 62, half=half, ring=True) for _ in blob.layers]
        for cache in self.caches:
            cache.head = replace(cache.head, pattern=pattern)
        self.stem_rows: list[Vector] = []  # newest first
        self.conv_rows: list[list[Vector]] = [[] for _ in blob.layers]  # newest first
        self.pooled: list[Vector] = []  # oldest first

    def push(self, frame: Vector) -> tuple[Vector, Vector | None]:
        """Logits and embedding after this frame."""
        nm.require_finite(frame, "NOT_FINITE", "frame")
        blob = self.blob
        with np.errstate(all="ignore"):
            x = self._input(list(frame))
            for layer, cache, rows in zip(blob.layers, self.caches, self.conv_rows, strict=True):
                x = self._layer(layer, cache, rows, x)
            if blob.final_norm is not None and blob.eps is not None:
                x = rms(x, blob.final_norm, blob.eps[0])
            p = self._pool(x)
            logits = nm.linear(p, blob.classifier, blob.classifier_bias)
            return logits, self._embed(p)

    def _input(self, x: Vector) -> Vector:
        blob = self.blob
        if blob.gain == 1:
            x = without_gain(x)
        if blob.mean is not None and blob.scale is not None:
            x = [F(a - m) * s for a, m, s in zip(x, blob.mean, blob.scale, strict=True)]
            nm.require_finite(x, "OVERFLOW", "normalisation")
        if blob.projection is not None:
            x = nm.linear(x, blob.projection, blob.projection_bias)
        if blob.stem is not None and blob.stem_bias is not None:
            x = filtered(x, self.stem_rows, blob.stem, blob.stem_bias)
            x = relu(x) if blob.stem_relu else x
        return x

    def _layer(self, layer: Layer, cache: Cache, rows: list[Vector], x: Vector) -> Vector:
        eps = None if self.blob.eps is None else self.blob.eps[0]
        h = x if layer.norm is None or eps is None else rms(x, layer.norm, eps)
        if layer.conv is not None and layer.conv_bias is not None:
            h = filtered(h, rows, layer.conv, layer.conv_bias)
        heads, kv = self.blob.header.n_q_heads, self.blob.header.n_kv_heads
        q = _split(nm.linear(h, layer.wq, layer.bq), heads)
        k = _split(nm.linear(h, layer.wk, layer.bk), kv)
        v = _split(nm.linear(h, layer.wv, layer.bv), kv)
        a = [value for vector in cache.step(q, k, v) for value in vector]
        x = _add(x, nm.linear(a, layer.wo, layer.bo))
        if layer.w1 is not None and layer.w2 is not None and eps is not None:
            h = rms(x, layer.ffn_norm, eps)
            u = relu(nm.linear(h, layer.w1, layer.b1))
            x = _add(x, nm.linear(u, layer.w2, layer.b2))
        return x

    def _pool(self, x: Vector) -> Vector:
        self.pooled.append(x)
        if not self.blob.pool_mean:
            return x
        recent = self.pooled[-self.blob.pool_frames :]
        p: Vector = []
        for c in range(len(x)):
            s = nm.ZERO
            for row in recent:
                s = s + row[c]
            p.append(s / F(len(recent)))
        nm.require_finite(p, "OVERFLOW", "pooling")
        return p

    def _embed(self, p: Vector) -> Vector | None:
        if self.blob.embedding is None:
            return None
        e = nm.linear(p, self.blob.embedding, self.blob.embedding_bias)
        s = nm.ZERO
        for a in e:
            s = s + a * a
        nm.require_finite([s], "OVERFLOW", "sum of squares")
        if s > 0:
            r = nm.ONE / nm.sqrt(s)
            e = [a * r for a in e]
            nm.require_finite(e, "OVERFLOW", "embedding")
        return e
