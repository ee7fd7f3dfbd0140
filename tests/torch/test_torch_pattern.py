"""The trainer's mask against the specification, read literally."""

from __future__ import annotations

import numpy as np
import pytest

from aether_temporal.settings import PatternSettings

pytest.importorskip("torch", reason="torch (extra train) is not installed")

from aether_temporal.torch.pattern import visible

PATTERNS = [
    PatternSettings(),
    PatternSettings(window=0, block_size=1, global_tokens=()),
    PatternSettings(window=3, block_size=4, history=11, global_tokens=(0, 5)),
    PatternSettings(window=5, block_size=3, history=1, global_tokens=(2,)),
    PatternSettings(window=40, block_size=16, history=33, global_tokens=()),
    PatternSettings(window=2, block_size=7, use_log_stride=False),
    PatternSettings(window=4, block_size=2, use_landmarks=False, global_tokens=(1, 300)),
    PatternSettings(window=None, block_size=5, history=20),
    PatternSettings(window=2**40, block_size=200, history=2**40),
]


def literal(pattern: PatternSettings, i: int) -> tuple[set[int], set[int]]:
    """Tokens and blocks that query i sees: docs/spec/pattern.md, causal column."""
    window = i if pattern.window is None else pattern.window
    tokens = set(range(max(0, i - window), i + 1))
    if pattern.use_log_stride:
        s = 1
        while i - s >= 0:
            tokens.add(i - s)
            s *= 2
    tokens |= {g for g in pattern.global_tokens if g <= i}
    history, block = pattern.history, pattern.block_size
    if history is not None:
        tokens = {t for t in tokens if t in pattern.global_tokens or i - t < history}
    blocks: set[int] = set()
    complete = (i + 1) // block
    if pattern.use_landmarks and complete > 0:
        pivot = complete - 1
        blocks |= set(range(max(0, pivot - 1), pivot + 1))
        if pattern.use_log_stride:
            s = 1
            while pivot - s >= 0:
                blocks.add(pivot - s)
                s *= 2
    if history is not None:
        blocks = {b for b in blocks if not b * block < i - (history - 1)}
    return tokens, blocks


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("length", [1, 2, 16, 33, 131])
def test_mask_is_the_pattern_of_the_specification(pattern: PatternSettings, length: int) -> None:
    mask = visible(pattern, length).numpy()
    assert mask.shape == (length, length + length // pattern.block_size)
    for i in range(length):
        tokens, blocks = literal(pattern, i)
        assert set(np.flatnonzero(mask[i, :length]).tolist()) == tokens, i
        assert set(np.flatnonzero(mask[i, length:]).tolist()) == blocks, i


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_query_sees_the_future_or_nothing(pattern: PatternSettings) -> None:
    mask = visible(pattern, 70).numpy()
    assert not np.triu(mask[:, :70], 1).any()
    assert mask[np.arange(70), np.arange(70)].all()
