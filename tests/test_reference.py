"""The reference implementation (tools/reference) against other definitions of the same things, mostly in binary64.

The golden vectors come from the reference, so what is wrong there is wrong everywhere: it is checked against sets built
the other way round, a masked dense attention, a matrix form of the model, and exact arithmetic.
"""

from __future__ import annotations

import math
import random
import struct
import sys
import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

from golden_cases.models import blob_of
from reference import Rejected, attention, model, numeric, pattern, rvne, state
from reference.attention import Head
from reference.golden_file import Case, Kernel, decode, encode, explicit, ramp, uniform, wild
from reference.numeric import F, from_bits, to_bits
from reference.pattern import Pattern

Array = npt.NDArray[np.float64]


def _ulps(x: np.float32, exact: float) -> float:
    return abs(float(x) - exact) / 2.0 ** (math.frexp(exact)[1] - 24)


# -- arithmetic ------------------------------------------------------------------------------------


def test_exp_is_within_one_ulp() -> None:
    worst = 0.0
    for bits in range(0x80000001, 0xC2AEAC50, 0x0003A5F1):
        x = from_bits(bits)
        worst = max(worst, _ulps(numeric.exp(x), math.exp(float(x))))
    assert 0.5 < worst <= 0.960090


@pytest.mark.parametrize("bits", [0xC2AEAC50, 0xC2AEAC51, 0xC3000000, 0xFF7FFFFF, 0xFF800000])
def test_exp_below_the_cut_is_plus_zero(bits: int) -> None:
    assert to_bits(numeric.exp(from_bits(bits))) == 0


def test_exp_of_zero_is_one() -> None:
    assert numeric.exp(F(0.0)) == numeric.exp(F(-0.0)) == 1


def test_the_cut_is_where_results_become_subnormal() -> None:
    assert math.exp(float(from_bits(0xC2AEAC4F))) >= 2.0**-126 > math.exp(float(from_bits(0xC2AEAC50)))


def test_square_root_is_correctly_rounded() -> None:
    for bits in range(1, 0x7F800000, 0x00123457):
        x, y = Fraction(float(from_bits(bits))), numeric.sqrt(from_bits(bits))
        below, above = (float(np.nextafter(y, F(to))) for to in (-1.0, np.inf))
        assert ((Fraction(below) + Fraction(float(y))) / 2) ** 2 < x < ((Fraction(above) + Fraction(float(y))) / 2) ** 2


def test_binary16_agrees_with_numpy_everywhere() -> None:
    for half in range(0x10000):
        value = np.array(half, dtype=np.uint16).view(np.float16)
        if np.isfinite(value):
            assert to_bits(numeric.float_from_half(half)) == to_bits(F(value))
            assert numeric.half_from_float(F(value)) == half
    generator = random.Random(5)
    for _ in range(20000):
        x = from_bits(generator.randrange(1 << 32))
        with np.errstate(over="ignore"):
            half = x.astype(np.float16)
        if np.isfinite(half):
            assert numeric.half_from_float(x) == int(half.view(np.uint16))
        else:
            with pytest.raises(Rejected, match="OVERFLOW"):
                numeric.half_from_float(x)


def test_crc_agrees_with_zlib() -> None:
    assert numeric.crc32(b"123456789") == 0xCBF43926
    generator = random.Random(6)
    for length in (0, 1, 2, 3, 7, 64, 1000):
        data = generator.randbytes(length)
        assert numeric.crc32(data) == zlib.crc32(data)


def test_order_of_operations_is_the_naive_one() -> None:
    big, small = F(2.0**24), F(1.0)
    assert numeric.dot([big, small, small], [F(1)] * 3) == big  # each 1 is lost; added up first they would not be
    assert numeric.linear([small, small, F(1)], [[F(1)], [F(1)], [big]]) == [F(2.0**24 + 2)]
    assert numeric.linear([small, small], [[F(1)], [F(1)]], [big]) == [big]


# -- pattern -----------------------------------------------------------------------------------------


def _constructed(p: Pattern, i: int, length: int) -> tuple[set[int], set[int]]:
    """The sets, built primitive by primitive as the tables of docs/spec/pattern.md list them."""
    last = i if p.causal else length - 1
    globals_ = {g for g in p.globals_ if g <= last}
    if p.dense:
        seen = set(range(last + 1))
    else:
        seen = set(range(max(0, i - p.window), min(last, i + p.window) + 1)) | globals_
        s = 1
        while p.log_stride and s < length:
            seen |= {t for t in (i - s, i + s) if 0 <= t <= last}
            s *= 2
    if p.history:
        seen = {t for t in seen if t in globals_ or i - t < p.history}
    blocks: set[int] = set()
    if p.landmarks and not p.dense:
        n = (i + 1) // p.block_size if p.causal else -(-length // p.block_size)
        pivot = n - 1 if p.causal else i // p.block_size
        if n > 0:
            blocks = set(range(max(0, pivot - 1), min(pivot + 1, n - 1) + 1))
            s = 1
            while p.log_stride and s < n:
                blocks |= {b for b in (pivot - s, pivot + s) if 0 <= b < n}
                s *= 2
            if not p.causal:
                blocks.discard(pivot)
        if p.history:
            blocks = {b for b in blocks if b * p.block_size >= i - (p.history - 1)}
    return seen, blocks


def _random_pattern(generator: random.Random) -> Pattern:
    return Pattern(
        window=generator.choice([0, 1, 3, 8, 32, 1 << 40]),
        block_size=generator.choice([1, 2, 5, 16]),
        causal=generator.random() < 0.6,
        globals_=tuple(sorted(generator.sample(range(60), generator.randrange(4)))),
        log_stride=generator.random() < 0.7,
        landmarks=generator.random() < 0.7,
        history=generator.choice([0, 0, 1, 2, 7, 16, 40]),
        dense=generator.random() < 0.1,
    )


def test_sets_agree_with_their_construction() -> None:
    generator = random.Random(7)
    for _ in range(150):
        p, length = _random_pattern(generator), generator.randrange(1, 80)
        for i in range(length):
            seen, blocks = _constructed(p, i, length)
            assert pattern.tokens(p, i, length) == sorted(seen), (p, i, length)
            assert pattern.blocks(p, i, length) == sorted(blocks), (p, i, length)


def test_causal_sets_do_not_depend_on_the_length() -> None:
    p = Pattern(window=4, block_size=3)
    for i in range(60):
        assert pattern.tokens(p, i, i + 1) == pattern.tokens(p, i, 200)
        assert pattern.blocks(p, i, i + 1) == pattern.blocks(p, i, 200)


# -- attention -----------------------------------------------------------------------------------------


def _random_tensor(generator: np.random.Generator, *shape: int) -> tuple[Any, Array]:
    values = generator.standard_normal(shape).astype(np.float32)
    return [[[F(x) for x in head] for head in row] for row in values], values.astype(np.float64)


def _masked(head: Head, q: Array, k: Array, v: Array) -> Array:
    """Softmax over token columns and landmark columns under one mask, in binary64."""
    p, length = head.pattern, len(q)
    out = np.zeros_like(q)
    starts = range(0, length, p.block_size)
    mask = np.zeros((length, length + len(starts)), dtype=bool)
    for i in range(length):
        seen, blocks = _constructed(p, i, length)
        mask[i, sorted(seen)] = True
        mask[i, [length + b for b in sorted(blocks)]] = True
    for h in range(head.q_heads):
        g = h // (head.q_heads // head.kv_heads)
        keys = np.vstack([k[:, g], *(k[s : s + p.block_size, g].mean(axis=0)[None] for s in starts)])
        values = np.vstack([v[:, g], *(v[s : s + p.block_size, g].mean(axis=0)[None] for s in starts)])
        scores = np.where(mask, q[:, h] @ keys.T / math.sqrt(head.head_dim), -np.inf)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        out[:, h] = (weights / weights.sum(axis=1, keepdims=True)) @ values
    return out


@pytest.mark.parametrize("seed", range(12))
def test_attention_agrees_with_a_masked_matrix(seed: int) -> None:
    generator, numbers = random.Random(seed), np.random.default_rng(seed)
    kv_heads = generator.choice([1, 2])
    head = Head(
        kv_heads * generator.choice([1, 2, 3]), kv_heads, generator.choice([1, 3, 8]), _random_pattern(generator)
    )
    length = generator.randrange(1, 45)
    (q, q64), (k, k64), (v, v64) = (
        _random_tensor(numbers, length, heads, head.head_dim) for heads in (head.q_heads, kv_heads, kv_heads)
    )
    out = np.array(attention.forward(head, q, k, v), dtype=np.float64)
    np.testing.assert_allclose(out, _masked(head, q64, k64, v64), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("capacity", [1, 5, 16])
def test_ring_steps_are_forward_with_history(capacity: int, half: bool) -> None:
    head = Head(2, 1, 3, Pattern(window=6, block_size=4, globals_=(0, 2)))
    numbers = np.random.default_rng(capacity)
    (q, _), (k, _), (v, _) = (_random_tensor(numbers, 40, heads, 3) for heads in (2, 1, 1))
    cache = attention.Cache(head, capacity, half=half, ring=True)
    rows = [cache.step(q[t], k[t], v[t]) for t in range(40)]
    limited = replace(head, pattern=replace(head.pattern, history=capacity))
    whole = attention.forward(limited, q, k, v, half=half)
    assert [to_bits(x) for r in rows for h in r for x in h] == [to_bits(x) for r in whole for h in r for x in h]


def test_a_rejected_step_changes_nothing() -> None:
    head = Head(1, 1, 2, Pattern(window=3, block_size=2))
    cache = attention.Cache(head, 2)
    good = [[F(1), F(2)]]
    cache.step(good, good, good)
    with pytest.raises(Rejected, match="NOT_FINITE"):
        cache.step(good, [[F(1), F(np.inf)]], good)
    assert len(cache.k) == 1
    cache.step(good, good, good)
    with pytest.raises(Rejected, match="CACHE_FULL"):
        cache.step(good, good, good)
    assert len(cache.k) == 2


# -- model -------------------------------------------------------------------------------------------


def _array(matrix: Any) -> Array:
    return np.array(matrix, dtype=np.float64)


def _rms(x: Array, g: Any, eps: float) -> Array:
    return np.asarray(x / np.sqrt((x * x).mean(axis=1, keepdims=True) + eps) * _array(g))


def _filter(x: Array, taps: Any, bias: Any) -> Array:
    padded = np.vstack([np.zeros((len(taps), x.shape[1])), x])
    y = np.tile(_array(bias), (len(x), 1))
    for j, c in enumerate(_array(taps)):
        y += padded[len(taps) - j : len(padded) - j] * c
    return y


def _linear(x: Array, weight: Any, bias: Any) -> Array:
    return np.asarray(x @ _array(weight) + (0 if bias is None else _array(bias)))


def _model64(blob: rvne.Blob, frames: Array) -> tuple[Array, Array]:
    """The model as matrices in binary64, all frames at once."""
    h, x, vectors, matrices = blob.header, frames, blob.vectors, blob.matrices
    eps = float(blob.reals["norm.eps"])

    def linear(x: Array, name: str) -> Array:
        return _linear(x, matrices[name + ".weight"], vectors.get(name + ".bias"))

    if blob.values["agc.kind"] == 1:
        mean = x.mean(axis=1, keepdims=True)
        x = np.where(mean >= 2.0**-126, x / np.where(mean == 0, 1, mean), x)
    x = (x - _array(vectors["normalisation.mean"])) * _array(vectors["normalisation.scale"])
    x = _filter(linear(x, "projection"), matrices["stem.weight"], vectors["stem.bias"])
    x = np.maximum(x, 0) if blob.values["stem.activation"] == 1 else x
    head = Head(h.n_q_heads, h.n_kv_heads, h.head_dim, blob.pattern)
    for n in range(h.n_layers):
        at = f"layers.{n}."
        y = _rms(x, vectors[at + "norm.weight"], eps)
        y = _filter(y, matrices[at + "convolution.weight"], vectors[at + "convolution.bias"])
        q, k, v = (
            _linear(y, matrices[f"{at}attention.w{which}"], vectors[f"{at}attention.b{which}"]).reshape(
                len(x), -1, h.head_dim
            )
            for which in "qkv"
        )
        out = _masked(head, q, k, v).reshape(len(x), -1)
        x = x + _linear(out, matrices[at + "attention.wo"], vectors[at + "attention.bo"])
        at += "feed_forward."
        u = np.maximum(_linear(_rms(x, vectors[at + "norm"], eps), matrices[at + "w1"], vectors[at + "b1"]), 0)
        x = x + _linear(u, matrices[at + "w2"], vectors[at + "b2"])
    x = _rms(x, vectors["norm.final"], eps)
    p = np.array([x[max(0, t + 1 - blob.values["pooling.n"]) : t + 1].mean(axis=0) for t in range(len(x))])
    e = linear(p, "embedding")
    return linear(p, "classifier"), np.asarray(e / np.linalg.norm(e, axis=1, keepdims=True))


def test_model_agrees_with_matrices() -> None:
    header = rvne.Header(7, 4, 2, 5, 2, 3, flags=rvne.EXTENSION)
    p = Pattern(window=6, block_size=4, history=20, globals_=(0, 3))
    blob = rvne.parse(blob_of("check", header, 6, tuple(range(1, 16)), p))
    frames = np.random.default_rng(3).uniform(0.5, 2.0, (40, 7)).astype(np.float32)
    stream = model.Stream(blob, 0)
    results = [stream.push([F(x) for x in frame]) for frame in frames]
    logits, embeddings = _model64(blob, frames.astype(np.float64))
    np.testing.assert_allclose(_array([a for a, _ in results]), logits, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(_array([e for _, e in results]), embeddings, rtol=2e-4, atol=2e-5)


def test_plain_blob_is_what_the_layout_says() -> None:
    header = rvne.Header(16, 4, 1, 32, 2, 4)
    data = blob_of("size", header)
    assert len(data) == 41244
    assert data[:8] == bytes([0x45, 0x4E, 0x56, 0x52, 1, 0, 0, 0])
    assert struct.unpack_from("<6HI", data, 8) == (16, 4, 1, 32, 2, 4, 41216)
    assert zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little")
    parsed = rvne.parse(data)
    assert to_bits(parsed.matrices["layers.0.attention.wq"][0][1]) == int.from_bytes(data[28:32], "little")
    assert to_bits(parsed.matrices["classifier.weight"][15][3]) == int.from_bytes(data[-8:-4], "little")


def test_saved_cache_has_the_documented_header() -> None:
    head = Head(2, 1, 3, Pattern(window=5, block_size=4, globals_=(0, 9)))
    data = state.save_cache(attention.Cache(head, 20), head)
    assert data[:4] == b"AEKV"
    assert struct.unpack_from("<4I6Q2I", data, 8) == (2, 1, 3, 2, 5, 4, 0, 20, 0, len(data) - 84, 0, 9)


# -- the file format -----------------------------------------------------------------------------------


def test_golden_file_round_trip() -> None:
    cases = [
        Case(Kernel.EXP, "one", [1, 2], [uniform(5, 7, -3), explicit([1, 2, 3])]).expect([1, 2, 3, 4], 3),
        Case(Kernel.CRC32, "two", [], [wild(3, 9, 0, 254), ramp(2, 5, -1)], "OVERFLOW"),
    ]
    data = encode(cases)
    assert len(data) % 4 == 0
    assert decode(data) == cases
    with pytest.raises(ValueError, match="CRC"):
        decode(data[:40] + bytes([data[40] ^ 4]) + data[41:])


def test_input_rules() -> None:
    def mix(h: int) -> int:
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
            h = (h ^ h >> shift) * factor & 0xFFFFFFFF
        return h

    for exponent in (-126, -3, 0, 100):
        words = uniform(50, 123, exponent).words()
        for i, word in enumerate(words):
            n = (mix((123 + i * 0x9E3779B9) & 0xFFFFFFFF) >> 8) - 0x800000
            assert Fraction(float(from_bits(int(word)))) == Fraction(n) * Fraction(2) ** (exponent - 23)
    exponents = wild(400, 5, 3, 9).words() >> 23 & 0xFF
    assert sorted(set(exponents.tolist())) == list(range(3, 10))
    assert ramp(3, 0xFFFFFFFF, 2).words().tolist() == [0xFFFFFFFF, 1, 3]
