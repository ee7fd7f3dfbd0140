"""Sums beyond binary32: the error comes at the token where the sum leaves the range, however the tokens arrive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aether_temporal import (
    AetherTemporalHead,
    ResultOverflowError,
    TemporalHeadConfig,
    TemporalModel,
    WeightBlob,
    WeightBlobHeader,
)
from aether_temporal.settings import EmbeddingSettings, ModelSettings

BLOCK = 16
CONFIG = TemporalHeadConfig(q_heads=1, kv_heads=1, head_dim=1, block_size=BLOCK)
LARGE = np.float32(2e37)  # 16 of them stay in range, 18 do not


def tokens(values: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.asarray(values, np.float32).reshape(-1, 1, 1)


def zeros(n: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.zeros((n, 1, 1), np.float32)


def test_block_sums_start_over() -> None:
    """Two blocks of keys that each stay in range: no way of taking them in may add them up."""
    head = AetherTemporalHead(CONFIG)
    n = 2 * BLOCK + 3
    keys, values = tokens([LARGE] * n), zeros(n)
    whole = head.forward(zeros(n), keys, values)
    caches = [head.make_cache(64) for _ in range(3)]
    caches[0].append(keys, values)
    assert head.prefill(zeros(n), keys, values, caches[1]).tobytes() == whole.tobytes()
    rows = [head.step(zeros(1), keys[t : t + 1], values[t : t + 1], caches[2]) for t in range(n)]
    assert np.concatenate(rows).tobytes() == whole.tobytes()
    assert caches[0].to_bytes() == caches[1].to_bytes() == caches[2].to_bytes()
    head.prefill(zeros(BLOCK), keys[:BLOCK], values[:BLOCK], caches[2])  # and on top of tokens that are there
    caches[0].append(keys[:BLOCK], values[:BLOCK])
    assert caches[0].to_bytes() == caches[2].to_bytes()


@pytest.mark.parametrize("before", [0, BLOCK])
@pytest.mark.parametrize("extra", [0, 1, BLOCK])
def test_a_sum_that_overflows_is_found_by_everyone(before: int, extra: int) -> None:
    """The sum leaves the range in the block that begins at `before`, complete or not."""
    head = AetherTemporalHead(CONFIG)
    bad = [0.0] * before + [3e38, 3e38] + [0.0] * extra
    n = len(bad)
    with pytest.raises(ResultOverflowError):
        head.forward(zeros(n), zeros(n), tokens(bad))
    with pytest.raises(ResultOverflowError):
        head.forward(zeros(n), tokens(bad), zeros(n))
    cache = head.make_cache(64)
    state = cache.to_bytes()
    for call in (
        lambda: cache.append(zeros(n), tokens(bad)),
        lambda: head.prefill(zeros(n), zeros(n), tokens(bad), cache),
    ):
        with pytest.raises(ResultOverflowError):
            call()
        assert cache.to_bytes() == state
    for t in range(before + 1):
        head.step(zeros(1), zeros(1), tokens(bad[t]), cache)
    state = cache.to_bytes()
    with pytest.raises(ResultOverflowError):
        head.step(zeros(1), zeros(1), tokens(bad[before + 1]), cache)
    with pytest.raises(ResultOverflowError):  # the first of these tokens works, the second does not: neither stays
        head.prefill(zeros(2), zeros(2), tokens([0.0, 3e38]), cache)
    assert cache.to_bytes() == state


def test_an_embedding_too_long_to_measure() -> None:
    width, matrix = 2, np.full((2, 2), 1e30, np.float32)
    header = WeightBlobHeader(
        dtype="float32", input_dim=width, n_q_heads=1, n_kv_heads=1, head_dim=1, n_layers=1, n_classes=2
    )
    blob = WeightBlob.from_arrays(
        header,
        [{name: np.zeros((width, 1)) for name in ("wq", "wk", "wv")} | {"wo": np.zeros((1, width))}],
        np.zeros((width, 2)),
        ModelSettings(embedding=EmbeddingSettings(weight=matrix, bias=np.zeros(2))),
    )
    model = TemporalModel.from_blob(blob)
    stream = model.stream(8)
    stream.push(np.zeros(width, np.float32))
    assert stream.embedding is not None
    assert not stream.embedding.any()
    state = stream.to_bytes()
    with pytest.raises(ResultOverflowError):
        stream.push(np.ones(width, np.float32))
    assert stream.to_bytes() == state
    with pytest.raises(ResultOverflowError):
        model.embeddings(np.ones((1, width), np.float32))
