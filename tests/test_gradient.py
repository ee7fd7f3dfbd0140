"""The gradient kernel without torch: every variant and cut against a float64 reference in numpy."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from reference_pattern import seen_means, seen_tokens

from aether_temporal import AetherTemporalHead, ShapeError, TemporalHeadConfig, _core
from aether_temporal._internal import threads as core_threads

SMALL = TemporalHeadConfig(q_heads=4, kv_heads=2, head_dim=5, window=3, block_size=4, global_tokens=(0, 9))
PYRAMID = TemporalHeadConfig(q_heads=4, kv_heads=2, head_dim=5, pattern="pyramid", window=3, block_size=2)
CONFIGS = {
    "reference": TemporalHeadConfig(),
    "small": SMALL,
    "not causal": SMALL.replace(causal=False),
    "history": SMALL.replace(history=11, causal=False),
    "no landmarks": SMALL.replace(use_landmarks=False, head_dim=8),
    "no log-stride": SMALL.replace(use_log_stride=False, head_dim=16),
    "groups of seven": SMALL.replace(q_heads=7, kv_heads=1, head_dim=33),
    "one head": SMALL.replace(q_heads=1, kv_heads=1, head_dim=1),
    "dense": SMALL.replace(backend="dense"),
    "pyramid": PYRAMID,
    "pyramid, not causal": dataclasses.replace(PYRAMID, causal=False, head_dim=17),
    "pyramid, history": dataclasses.replace(PYRAMID, history=15, q_heads=2),
}
Array = np.ndarray[Any, np.dtype[Any]]


def reference(c: TemporalHeadConfig, q: Array, k: Array, v: Array, d_out: Array) -> tuple[Array, Array, Array]:
    """Gradients of one sequence in float64, row by row, by the formulas of a softmax."""
    q, k, v, d_out = (x.astype(np.float64) for x in (q, k, v, d_out))
    tokens, group = len(q), c.q_heads // c.kv_heads
    d_q, d_k, d_v = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for i in range(tokens):
        places = [range(t, t + 1) for t in seen_tokens(c, tokens, i)] + seen_means(c, tokens, i)
        sizes = np.array([len(place) if c.pattern == "pyramid" else 1 for place in places])
        for h in range(c.q_heads):
            keys = np.stack([k[place, h // group].mean(0) for place in places])
            values = np.stack([v[place, h // group].mean(0) for place in places])
            scores = keys @ q[i, h] / math.sqrt(c.head_dim)
            weight = sizes * np.exp(scores - scores.max())
            weight /= weight.sum()
            d_weight = values @ d_out[i, h]
            d_score = weight * (d_weight - weight @ d_weight) / math.sqrt(c.head_dim)
            d_q[i, h] = d_score @ keys
            for place, s, w in zip(places, d_score, weight, strict=True):
                count = len(k[place])
                d_k[place, h // group] += s * q[i, h] / count
                d_v[place, h // group] += w * d_out[i, h] / count
    return d_q, d_k, d_v


def draw(c: TemporalHeadConfig, batch: int, tokens: int) -> list[Array]:
    """q, k, v and a gradient of the output."""
    rng = np.random.default_rng(tokens)
    heads = (c.q_heads, c.kv_heads, c.kv_heads, c.q_heads)
    return [rng.standard_normal((batch, tokens, n, c.head_dim), dtype=np.float32) for n in heads]


def gradient(head: AetherTemporalHead, inputs: list[Array], threads: int = 1) -> tuple[Array, ...]:
    job = _core.AttentionGradient(head, *inputs)
    core_threads.run_gradient(job, threads)
    return job.result()


@pytest.mark.parametrize("tokens", [1, 4, 43])
@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_the_reference_s(name: str, tokens: int, variant: str) -> None:
    inputs = draw(CONFIGS[name], 2, tokens)
    found = gradient(AetherTemporalHead(CONFIGS[name], variant), inputs)
    for n in range(2):
        for ours, theirs in zip(found, reference(CONFIGS[name], *(x[n] for x in inputs)), strict=True):
            assert np.abs(ours[n] - theirs).max() <= 3e-6 * max(1.0, np.abs(theirs).max())


def test_no_tokens_or_sequences_is_nothing_to_do() -> None:
    for batch, tokens in ((0, 5), (2, 0), (0, 0)):
        found = gradient(AetherTemporalHead(SMALL), draw(SMALL, batch, tokens), 2)
        assert [x.size for x in found] == [0, 0, 0]


def test_chunks_and_threads() -> None:
    config = SMALL.replace(window=9, global_tokens=(0, 300), causal=False)
    inputs = draw(config, 1, 600)
    head = AetherTemporalHead(config)
    assert _core.AttentionGradient(head, *inputs).chunks == 2
    found = gradient(head, inputs)
    for count in (2, 3):
        again = gradient(head, inputs, count)
        assert [x.tobytes() for x in again] == [x.tobytes() for x in found]
    for ours, theirs in zip(found, reference(config, *(x[0] for x in inputs)), strict=True):
        assert np.abs(ours[0] - theirs).max() <= 3e-6 * max(1.0, np.abs(theirs).max())


def test_what_does_not_fit_is_rejected_by_name() -> None:
    q, k, v, d_out = draw(SMALL, 2, 6)
    for name, bad in (
        ("q", [q[0], k, v, d_out]),
        ("q", [q[:, :, :3], k, v, d_out]),
        ("k", [q, k[:, :5], v, d_out]),
        ("v", [q, k, v[:1], d_out]),
        ("d_out", [q, k, v, d_out[..., :2]]),
    ):
        with pytest.raises(ShapeError, match=f"^{name}: "):
            _core.AttentionGradient(AetherTemporalHead(SMALL), *bad)
