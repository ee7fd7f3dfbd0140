"""docs/spec/pattern.md, the pyramid: which tokens and which runs of blocks a query sees."""

from __future__ import annotations

from .pattern import Pattern


def make(window: int, block_size: int, *, causal: bool = True, history: int = 0) -> Pattern:
    """A pyramid pattern."""
    return Pattern(window, block_size, causal, (), False, False, history, pyramid=True)


Run = tuple[int, int]  # first block, number of blocks


def _allowance(p: Pattern) -> int:
    return max(1, p.window // p.block_size)


def blocks_before(p: Pattern, i: int) -> int:
    """How many whole blocks lie before the window of query `i`."""
    return max(0, i - p.window) // p.block_size


def oldest_block(p: Pattern, i: int) -> int:
    """The first block that the history of query `i` holds; runs that begin before it are out of view."""
    if not p.history:
        return 0
    return max(0, blocks_before(p, i) - (p.history - p.window - 1) // p.block_size)


def blocks_after(p: Pattern, i: int, length: int) -> tuple[int, int]:
    """The same after its window; none when the pattern is causal."""
    first = (i + p.window) // p.block_size + 1
    return first, first if p.causal else max(first, length // p.block_size)


def tokens(p: Pattern, i: int, length: int) -> list[int]:
    """The tokens that are entries of their own, ascending."""
    begin = blocks_before(p, i) * p.block_size
    if p.causal:
        return list(range(begin, i + 1))
    first, end = blocks_after(p, i, length)
    near = list(range(begin, min(length, first * p.block_size)))
    return near + list(range(end * p.block_size, length))


def runs(p: Pattern, i: int, length: int) -> list[Run]:
    """The runs before the window, then those after it; the nearest first."""
    found: list[Run] = []
    at = high = blocks_before(p, i)
    while at > 0:
        z = 1
        while at % (2 * z) == 0 and 4 * z <= high - at + _allowance(p):
            z *= 2
        at -= z
        if at >= oldest_block(p, i):
            found.append((at, z))
    first, end = blocks_after(p, i, length)
    at = first
    while at < end:
        z = 1
        while at % (2 * z) == 0 and 4 * z <= at - first + _allowance(p) and at + 2 * z <= end:
            z *= 2
        found.append((at, z))
        at += z
    return found


def sees_runs(p: Pattern) -> bool:
    """Whether the history holds a block before the window."""
    return not p.causal or not p.history or p.history - p.window - 1 >= p.block_size


def formed_blocks(p: Pattern, length: int) -> int:
    """How many blocks have a mean once `length` tokens are there: 0 .. this - 1."""
    if length == 0:
        return 0
    return blocks_before(p, length - 1) if p.causal else length // p.block_size


def edges(p: Pattern, length: int) -> int:
    """Entries over all queries of one head: tokens and runs."""
    return sum(len(tokens(p, i, length)) + len(runs(p, i, length)) for i in range(length))


def ring_rows(p: Pattern, level: int) -> int:
    """Rows that a cache keeps for the runs of 2**level blocks (docs/spec/state.md)."""
    z = 2**level
    last = min(max(z, _first(p, level + 1) + z - 1), _held(p) - z)
    return int((last - _first(p, level)) // z + 1)


def _held(p: Pattern) -> int:
    """Blocks before the window that the history holds."""
    return (p.history - p.window - 1) // p.block_size


def _first(p: Pattern, level: int) -> int:
    """Blocks between the end of a run and the window of the first query that sees it."""
    return max(0, 2 * 2**level - _allowance(p)) if level else 0


def kept_runs(p: Pattern, length: int) -> list[Run]:
    """The runs whose means a cache of `length` tokens keeps: what the next query sees, as far as it is there."""
    made = formed_blocks(p, length)
    kept: list[Run] = []
    wanted = runs(p, length, length + 1)
    while wanted:
        begin, z = wanted.pop()
        if begin + z <= made:
            kept.append((begin, z))
        elif z > 1:  # it appears together with its last block
            wanted += [(begin, z // 2), (begin + z // 2, z // 2)]
    return kept


def levels(p: Pattern) -> int:
    """Levels of runs that a stream with this history ever sees."""
    n = 0
    while _first(p, n) + 2**n <= _held(p):
        n += 1
    return n
