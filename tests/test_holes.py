"""What goes wrong in the kernel this one carries on, each as a test that it does not go wrong here."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Inputs, assert_same_bits

from aether_temporal import (
    AetherTemporalHead,
    CacheMismatchError,
    ShapeError,
    TemporalHeadConfig,
    estimate_sparse_edges,
)

CONFIG = TemporalHeadConfig(q_heads=4, kv_heads=2, head_dim=8, window=5, block_size=4)


@pytest.mark.parametrize("dim", [1, 7, 9, 16])
def test_a_query_of_another_width_than_the_cache_is_rejected(dim: int, qkv: Callable[..., Inputs]) -> None:
    """There: a narrower one is silently cut, a wider one panics."""
    head = AetherTemporalHead(CONFIG)
    cache = head.make_cache(16)
    q, k, v = qkv(CONFIG, 1)
    head.step(q, k, v, cache)
    before = cache.to_bytes()
    other = np.zeros((1, 4, dim), np.float32)
    with pytest.raises(ShapeError, match="q: expected shape"):
        head.step(other, k, v, cache)
    with pytest.raises(ShapeError, match="v: expected shape"):
        head.step(q, k, np.zeros((1, 2, dim), np.float32), cache)
    assert cache.to_bytes() == before


OTHERS = {
    "block_size": {"block_size": 8},
    "q_heads": {"q_heads": 2},
    "kv_heads": {"kv_heads": 1},
    "head_dim": {"head_dim": 4},
    "window": {"window": 6},
    "global_tokens": {"global_tokens": (1,)},
    "use_log_stride": {"use_log_stride": False},
    "use_landmarks": {"use_landmarks": False},
    "history": {"history": 7},
}


@pytest.mark.parametrize(("field", "changes"), OTHERS.items(), ids=OTHERS.keys())
def test_a_cache_of_another_head_is_rejected(field: str, changes: dict[str, Any], qkv: Callable[..., Inputs]) -> None:
    """There: wrong values, or a panic."""
    config = CONFIG.replace(**changes)
    head, other = AetherTemporalHead(CONFIG), AetherTemporalHead(config)
    cache = other.make_cache(16)
    other.step(*qkv(config, 1), cache)
    before = cache.to_bytes()
    with pytest.raises(CacheMismatchError, match=field):
        head.step(*qkv(CONFIG, 1), cache)
    with pytest.raises(CacheMismatchError, match=field):
        head.prefill(*qkv(CONFIG, 3), cache)
    assert cache.to_bytes() == before


def test_a_cache_of_an_equal_head_is_accepted(qkv: Callable[..., Inputs], variant: str) -> None:
    cache = AetherTemporalHead(CONFIG).make_cache(16)
    AetherTemporalHead(CONFIG, kernels=variant).step(*qkv(CONFIG, 1), cache)
    assert len(cache) == 1


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [2**31, 2**40, 2**63, 2**64 - 1])
def test_any_window_works_at_no_cost(window: int, causal: bool, qkv: Callable[..., Inputs]) -> None:
    """There: a window of 2**40 allocates terabytes."""
    inputs = qkv(CONFIG, 50)
    wide = CONFIG.replace(window=50, causal=causal)
    endless = CONFIG.replace(window=window, causal=causal)
    tracemalloc.start()
    found = AetherTemporalHead(endless).forward(*inputs)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert_same_bits(found, AetherTemporalHead(wide).forward(*inputs))
    assert estimate_sparse_edges(50, endless) == estimate_sparse_edges(50, wide)
    if causal:
        cache, same = AetherTemporalHead(endless).make_cache(50), AetherTemporalHead(wide).make_cache(50)
        assert cache.nbytes == same.nbytes
        assert_same_bits(AetherTemporalHead(endless).prefill(*inputs, cache), found)


def test_a_step_takes_no_more_memory_late_in_a_stream(rng: np.random.Generator) -> None:
    """There: every step allocates and clears memory in proportion to what has streamed before."""
    head = AetherTemporalHead()
    q1, k1, v1 = (rng.standard_normal((1, n, 32), dtype=np.float32) for n in (4, 1, 1))
    kv = rng.standard_normal((1000, 1, 32), dtype=np.float32)
    sizes = set()
    for tokens in (1000, 200_000):
        cache = head.make_cache(512, on_full="ring")
        for _ in range(tokens // 1000):
            cache.append(kv, kv)
        head.step(q1, k1, v1, cache)
        tracemalloc.start()
        head.step(q1, k1, v1, cache)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4096
        sizes.add(cache.nbytes)
    assert len(sizes) == 1


@pytest.mark.parametrize("block_size", [1, 2, 3, 5, 16])
def test_decode_is_forward_to_the_last_bit(block_size: int, rng: np.random.Generator, variant: str) -> None:
    """There: block means are built in two ways. Values of mixed size make every other order visible."""
    config = CONFIG.replace(block_size=block_size)
    head = AetherTemporalHead(config, kernels=variant)
    q, k, v = (
        (rng.standard_normal((90, n, 8)) * np.exp(3 * rng.standard_normal((90, n, 8)))).astype(np.float32)
        for n in (4, 2, 2)
    )
    cache = head.make_cache(90)
    rows = [head.step(q[t : t + 1], k[t : t + 1], v[t : t + 1], cache) for t in range(90)]
    assert_same_bits(np.concatenate(rows), head.forward(q, k, v))


@pytest.mark.parametrize("causal", [True, False])
def test_a_window_over_everything_is_dense_without_landmarks_only(causal: bool, qkv: Callable[..., Inputs]) -> None:
    """There: claimed to be dense, and false while landmarks are on. Here the switch makes it true, bit for bit."""
    sparse = CONFIG.replace(window=100, causal=causal)
    dense = AetherTemporalHead(CONFIG.replace(backend="dense", causal=causal))
    inputs = qkv(CONFIG, 40)
    assert (AetherTemporalHead(sparse).forward(*inputs) != dense.forward(*inputs)).any()
    assert_same_bits(AetherTemporalHead(sparse.replace(use_landmarks=False)).forward(*inputs), dense.forward(*inputs))
