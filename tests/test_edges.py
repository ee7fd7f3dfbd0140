"""The number of (query, key) pairs and the masks of a pattern, against the independent reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_pattern import seen_means, seen_tokens

from aether_temporal import InvalidArgumentError, InvalidConfigError, TemporalHeadConfig, estimate_sparse_edges
from aether_temporal.config import PatternMask

configurations: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "backend": st.sampled_from(["sparse_gqa", "dense"]),
        "causal": st.booleans(),
        "window": st.one_of(st.integers(0, 40), st.just(2**64 - 1)),
        "block_size": st.integers(1, 20),
        "history": st.one_of(st.none(), st.integers(1, 90)),
        "use_log_stride": st.booleans(),
        "use_landmarks": st.booleans(),
        "global_tokens": st.lists(st.integers(0, 130), max_size=5).map(tuple),
    }
)


def row(config: TemporalHeadConfig, tokens: int, i: int) -> int:
    """How many entries query `i` of `tokens` sees."""
    return len(seen_tokens(config, tokens, i)) + len(seen_means(config, tokens, i))


def means(mask: PatternMask, i: int) -> list[range]:
    """The tokens of each mean in row `i`, ascending."""
    return sorted((range(*span) for span in mask.spans[mask.blocks[i]]), key=lambda span: span.start)


@settings(max_examples=300, deadline=None)
@given(configurations, st.integers(0, 120))
def test_edges_are_the_rows_together(changes: dict[str, Any], tokens: int) -> None:
    config = TemporalHeadConfig(q_heads=1, kv_heads=1, head_dim=1, **changes)
    assert estimate_sparse_edges(tokens, config) == sum(row(config, tokens, i) for i in range(tokens))


@settings(max_examples=300, deadline=None)
@given(configurations, st.integers(0, 70))
def test_mask_is_the_pattern(changes: dict[str, Any], tokens: int) -> None:
    config = TemporalHeadConfig(q_heads=1, kv_heads=1, head_dim=1, **changes)
    mask = config.mask(tokens)
    landmarks = config.use_landmarks and config.backend != "dense"
    assert mask.tokens.shape == (tokens, tokens)
    assert mask.blocks.shape == (tokens, -(-tokens // config.block_size) if landmarks else 0)
    assert mask.tokens.dtype == mask.blocks.dtype == np.bool_
    for i in range(tokens):
        assert np.flatnonzero(mask.tokens[i]).tolist() == seen_tokens(config, tokens, i)
        assert means(mask, i) == seen_means(config, tokens, i)


@st.composite
def pyramids(draw: Any) -> TemporalHeadConfig:
    size, window = 2 ** draw(st.integers(0, 5)), draw(st.integers(0, 40))
    history = draw(st.none() | st.integers(window + 1, window + 400))
    return TemporalHeadConfig(
        q_heads=1,
        kv_heads=1,
        head_dim=1,
        pattern="pyramid",
        window=window,
        block_size=size,
        history=history,
        causal=draw(st.booleans()),
    )


@settings(max_examples=200, deadline=None)
@given(pyramids(), st.integers(0, 160))
def test_pyramid_is_the_definition(config: TemporalHeadConfig, tokens: int) -> None:
    mask = config.mask(tokens)
    assert (mask.sizes == mask.spans[:, 1] - mask.spans[:, 0]).all()
    edges = 0
    for i in range(tokens):
        singles, runs = np.flatnonzero(mask.tokens[i]).tolist(), means(mask, i)
        edges += len(singles) + len(runs)
        assert singles == seen_tokens(config, tokens, i)
        assert runs == seen_means(config, tokens, i)
        covered = sorted([*singles, *(t for run in runs for t in run)])
        assert covered == list(range(covered[0], covered[-1] + 1))  # each token once
        assert covered[-1] == (i if config.causal else tokens - 1)
        assert config.history is not None or covered[0] == 0
        assert config.history is None or i - covered[0] < config.history + config.block_size
    assert estimate_sparse_edges(tokens, config) == edges


def test_pyramid_grows_with_the_logarithm() -> None:
    config = TemporalHeadConfig(pattern="pyramid", window=8, block_size=4)
    for tokens, most in ((256, 25), (1000, 30), (10_000, 40)):
        mask = config.mask(tokens, tokens - 64)
        assert (mask.tokens.sum(axis=1) + mask.blocks.sum(axis=1)).max() == most
    assert estimate_sparse_edges(2**40, config) < 2**40 * 110


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block_size": 6}, "block_size: expected a power of two"),
        ({"block_size": 2**17}, "block_size: expected a power of two, at most 65536"),
        ({"window": 2**20 + 1}, "window: expected at most 1048576"),
        ({"history": 8}, "history: expected more than the window"),
        ({"global_tokens": (0,)}, "globals: expected none"),
        ({"use_log_stride": True}, "use_log_stride: expected 0"),
        ({"use_landmarks": True}, "use_landmarks: expected 0"),
        ({"pattern": "cone"}, "pattern: expected 'reference' or 'pyramid'"),
    ],
)
def test_pyramid_rejects_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        TemporalHeadConfig(**{"pattern": "pyramid", "window": 8, "block_size": 4} | changes)


@pytest.mark.parametrize("first", [0, 1, 40, 70])
def test_mask_of_the_last_queries(first: int) -> None:
    config = TemporalHeadConfig(window=3, block_size=4, history=33)
    whole, part = config.mask(70), config.mask(70, first)
    np.testing.assert_array_equal(part.tokens, whole.tokens[first:])
    np.testing.assert_array_equal(part.blocks, whole.blocks[first:])
    with pytest.raises(InvalidArgumentError, match="first_query: expected at most the 70 tokens, found 71"):
        config.mask(70, 71)


@pytest.mark.parametrize("tokens", [-1, 2**64, 1.5, "3", 2**40])
def test_mask_rejects_an_impossible_length(tokens: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="tokens"):
        TemporalHeadConfig().mask(tokens)


@pytest.mark.parametrize("backend", ["sparse_gqa", "dense"])
@pytest.mark.parametrize("causal", [True, False])
def test_edges_of_any_length_are_quick(backend: Any, causal: bool) -> None:
    config = TemporalHeadConfig(backend=backend, causal=causal)
    assert estimate_sparse_edges(2**64 - 1, config) == 2**64 - 1  # saturated
    if backend == "dense":
        assert estimate_sparse_edges(2**31, config) == (2**30 * (2**31 + 1) if causal else 2**62)
    else:
        assert 2**40 * 33 < estimate_sparse_edges(2**40, config) < 2**40 * 300
