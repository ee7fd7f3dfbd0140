"""What a query sees, docs/spec/pattern.md read literally: sets, made anew for each query."""

from __future__ import annotations

from aether_temporal import TemporalHeadConfig


def _strides(limit: int) -> list[int]:
    """1, 2, 4, … up to and including `limit`."""
    found, s = [], 1
    while s <= limit:
        found.append(s)
        s *= 2
    return found


def seen_tokens(c: TemporalHeadConfig, tokens: int, i: int) -> set[int]:
    """Tokens that query i of so many sees."""
    last = i if c.causal else tokens - 1
    if c.backend == "dense":
        found = set(range(last + 1))
    else:
        found = set(range(max(0, i - c.window), min(last, i + c.window) + 1))
        found |= {g for g in c.global_tokens if g <= last}
        if c.use_log_stride:
            found |= {i - s for s in _strides(i)} | {i + s for s in _strides(last - i)}
    if c.history is not None:
        found = {t for t in found if t in c.global_tokens or i - t < c.history}
    return found


def seen_blocks(c: TemporalHeadConfig, tokens: int, i: int) -> set[int]:
    """Block means that query i of so many sees."""
    size = c.block_size
    n = (i + 1) // size if c.causal else -(-tokens // size)
    if n == 0 or c.backend == "dense" or not c.use_landmarks:
        return set()
    pivot = n - 1 if c.causal else i // size
    if c.causal:
        found = {max(0, pivot - 1), pivot}
    else:
        found = set(range(max(0, pivot - 1), min(pivot + 1, n - 1) + 1)) - {pivot}
    if c.use_log_stride:
        found |= {pivot - s for s in _strides(pivot)} | {pivot + s for s in _strides(n - 1 - pivot)}
    if c.history is not None:
        found = {b for b in found if not b * size < i - (c.history - 1)}
    return found


def pyramid_entries(c: TemporalHeadConfig, tokens: int, i: int) -> list[range]:
    """What query i sees under the pyramid pattern: single tokens, and the runs of tokens that are one entry each."""
    size, allowance = c.block_size, max(1, c.window // c.block_size)
    k = max(0, i - c.window) // size
    oldest = 0 if c.history is None else k - (c.history - c.window - 1) // size
    first, end = (i + c.window) // size + 1, tokens // size
    own = range(k * size, i + 1 if c.causal else min(tokens, first * size))
    runs, p = [], k
    while p > 0:
        z = 1
        while p % (2 * z) == 0 and 4 * z <= k - p + allowance:
            z *= 2
        p -= z
        if p >= oldest:
            runs.append(range(p * size, (p + z) * size))
    p = first
    while not c.causal and p < end:
        z = 1
        while p % (2 * z) == 0 and 4 * z <= p - first + allowance and p + 2 * z <= end:
            z *= 2
        runs.append(range(p * size, (p + z) * size))
        p += z
    tail = range(0) if c.causal else range(max(first, end) * size, tokens)
    return [range(t, t + 1) for t in (*own, *tail)] + runs
