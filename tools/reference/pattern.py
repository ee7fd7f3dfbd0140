"""docs/spec/pattern.md, written as the definition of a set: every token and block is asked whether it is seen."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Pattern:
    """What decides which tokens and blocks a query sees. `history` 0 is unlimited."""

    window: int = 32
    block_size: int = 16
    causal: bool = True
    globals_: tuple[int, ...] = (0,)
    log_stride: bool = True
    landmarks: bool = True
    history: int = 0
    dense: bool = False
    pyramid: bool = False  # see pyramid.py; then without global tokens and switches

    def with_capacity(self, capacity: int) -> Pattern:
        """The pattern that a cache of this capacity computes."""
        history = min(self.history, capacity) if self.history else capacity
        return replace(self, history=max(history, self.window + 1) if self.pyramid else history)


def _is_power_of_two(n: int) -> bool:
    return n > 0 and n & (n - 1) == 0


def sees_token(p: Pattern, i: int, t: int, length: int) -> bool:
    """Whether query `i` of `length` tokens sees token `t`."""
    if not 0 <= t < length or (p.causal and t > i):
        return False
    is_global = t in p.globals_
    if p.history and not is_global and i - t >= p.history:
        return False
    if p.dense:
        return True
    return is_global or abs(i - t) <= p.window or (p.log_stride and _is_power_of_two(abs(i - t)))


def sees_block(p: Pattern, i: int, b: int, length: int) -> bool:
    """Whether query `i` of `length` tokens sees the landmark of block `b`."""
    size = p.block_size
    if p.dense or not p.landmarks:
        return False
    if p.history and b * size < i - (p.history - 1):
        return False
    if p.causal:
        exist = (i + 1) // size
        pivot = exist - 1
        if not 0 <= b < exist:
            return False
        return pivot - b <= 1 or (p.log_stride and _is_power_of_two(pivot - b))
    exist = -(-length // size)
    pivot = i // size
    if not 0 <= b < exist or b == pivot:
        return False
    return abs(pivot - b) <= 1 or (p.log_stride and _is_power_of_two(abs(pivot - b)))


def tokens(p: Pattern, i: int, length: int) -> list[int]:
    """The visible tokens of query `i`, ascending."""
    return [t for t in range(length) if sees_token(p, i, t, length)]


def blocks(p: Pattern, i: int, length: int) -> list[int]:
    """The visible landmarks of query `i`, ascending."""
    return [b for b in range(-(-length // p.block_size)) if sees_block(p, i, b, length)]


def edges(p: Pattern, length: int) -> int:
    """Candidates over all queries of one head: tokens and landmarks."""
    return sum(len(tokens(p, i, length)) + len(blocks(p, i, length)) for i in range(length))
