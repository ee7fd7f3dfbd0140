"""What a query sees and a cache keeps by the independent reference (tools/reference)."""

from __future__ import annotations

from functools import cache

import numpy as np

from aether_temporal import TemporalHeadConfig
from tools.reference import attention, pyramid, state
from tools.reference.pattern import Pattern, blocks, tokens


@cache
def _pattern(c: TemporalHeadConfig) -> Pattern:
    if c.pattern == "pyramid":
        return pyramid.make(c.window, c.block_size, causal=c.causal, history=c.history or 0)
    return Pattern(
        window=c.window,
        block_size=c.block_size,
        causal=c.causal,
        globals_=c.global_tokens,
        log_stride=c.use_log_stride,
        landmarks=c.use_landmarks,
        history=c.history or 0,
        dense=c.backend == "dense",
    )


def seen_tokens(c: TemporalHeadConfig, length: int, i: int) -> list[int]:
    """Tokens that query i of so many tokens sees, ascending."""
    p = _pattern(c)
    return pyramid.tokens(p, i, length) if p.pyramid else tokens(p, i, length)


def seen_means(c: TemporalHeadConfig, length: int, i: int) -> list[range]:
    """The tokens of each mean that query i sees, ascending."""
    p, size = _pattern(c), c.block_size
    runs = pyramid.runs(p, i, length) if p.pyramid else [(b, 1) for b in blocks(p, i, length)]
    return [range(b * size, min((b + count) * size, length)) for b, count in sorted(runs)]


def saved_cache(c: TemporalHeadConfig, inputs: tuple[np.ndarray, ...], capacity: int, half: bool) -> bytes:
    """A saved ring after so many steps."""
    head = attention.Head(c.q_heads, c.kv_heads, c.head_dim, _pattern(c))
    cache = attention.Cache(head, capacity, half=half, ring=True)
    for q, k, v in zip(*(list(map(list, array)) for array in inputs), strict=True):
        cache.step(*([list(row) for row in rows] for rows in (q, k, v)))
    return state.save_cache(cache, head)
