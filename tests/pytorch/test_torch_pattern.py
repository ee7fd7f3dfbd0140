"""The mask of `visible` against the specification, read literally."""

from __future__ import annotations

import pytest

from aether_temporal import TemporalHeadConfig, estimate_sparse_edges

torch = pytest.importorskip("torch", reason="torch (extra train) is not installed")

from masked_attention import mask  # noqa: E402

from aether_temporal.torch import visible  # noqa: E402

PATTERNS = [
    TemporalHeadConfig(),
    TemporalHeadConfig(window=0, block_size=1, global_tokens=()),
    TemporalHeadConfig(window=3, block_size=4, history=11, global_tokens=(0, 5)),
    TemporalHeadConfig(window=5, block_size=3, history=1, global_tokens=(2,)),
    TemporalHeadConfig(window=40, block_size=16, history=33, global_tokens=()),
    TemporalHeadConfig(window=2, block_size=7, use_log_stride=False),
    TemporalHeadConfig(window=4, block_size=2, use_landmarks=False, global_tokens=(1, 300)),
    TemporalHeadConfig(window=2**64 - 1, block_size=5, history=20),
    TemporalHeadConfig(window=2**40, block_size=200, history=2**40),
    TemporalHeadConfig(backend="dense"),
    TemporalHeadConfig(backend="dense", history=9),
]
PATTERNS += [pattern.replace(causal=False) for pattern in PATTERNS]


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
@pytest.mark.parametrize("tokens", [0, 1, 2, 16, 33, 131])
def test_mask_is_the_pattern_of_the_specification(pattern: TemporalHeadConfig, tokens: int) -> None:
    found = visible(pattern, tokens)
    assert torch.equal(found, mask(pattern, tokens))
    assert int(found.sum()) == estimate_sparse_edges(tokens, pattern)  # as the core counts them


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_no_causal_query_sees_the_future_and_none_sees_nothing(pattern: TemporalHeadConfig) -> None:
    found = visible(pattern, 70)
    assert found[:, :70].diagonal().all()
    assert pattern.causal != bool(found[:, :70].triu(1).any())
