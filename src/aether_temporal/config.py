"""The configuration of a head, checked by the core when it is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._internal.convert import as_flag, as_index, expect_choice, expect_type
from .errors import InvalidArgumentError, InvalidConfigError

__all__ = ["PatternMask", "TemporalHeadConfig", "estimate_sparse_edges"]

_U32 = 0xFFFFFFFF
_U64 = 0xFFFFFFFFFFFFFFFF
_BACKENDS = ("sparse_gqa", "dense")


class PatternMask(NamedTuple):
    """What queries see in a sequence of T tokens: booleans, `tokens` (queries, T) and `blocks` (queries, n_blocks).
    Block b covers tokens b * block_size up to, not including, min((b + 1) * block_size, T)."""

    tokens: NDArray[np.bool_]
    blocks: NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class TemporalHeadConfig:
    """Shape and pattern of a head (docs/spec/pattern.md); frozen, checked when made. InvalidConfigError names the
    field.

    backend: "sparse_gqa", or "dense" (every token; no landmarks, no streaming).
    q_heads, kv_heads, head_dim: heads of queries, of keys and values (a divisor), values a head.
    window: tokens a query sees before its own (and after it when not causal); 0 to 2**64 - 1, at no cost.
    block_size: tokens a landmark. global_tokens: tokens that every later query sees; order and repetition do not
    matter. history: how many tokens back a query sees, itself included (globals excepted); None: all.
    """

    backend: Literal["sparse_gqa", "dense"] = "sparse_gqa"
    q_heads: int = 4
    kv_heads: int = 1
    head_dim: int = 32
    window: int = 32
    block_size: int = 16
    causal: bool = True
    global_tokens: tuple[int, ...] = (0,)
    use_log_stride: bool = True
    use_landmarks: bool = True
    history: int | None = None

    def __post_init__(self) -> None:
        expect_choice(self.backend, _BACKENDS, "backend")
        for name, least, most in (
            ("q_heads", 1, _U32),
            ("kv_heads", 1, _U32),
            ("head_dim", 1, _U32),
            ("window", 0, _U64),
            ("block_size", 1, _U64),
        ):
            self._set(name, _integer(getattr(self, name), least, most, name))
        for name in ("causal", "use_log_stride", "use_landmarks"):
            self._set(name, as_flag(getattr(self, name), name))
        self._set("global_tokens", _tokens(self.global_tokens))
        if self.history is not None:
            self._set("history", _integer(self.history, 1, _U64, "history"))
        _core.Pattern(self)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @classmethod
    def default_aether(cls) -> TemporalHeadConfig:
        """The reference head: 4 query heads over 1 key/value head of 32, window 32, blocks of 16, token 0 global."""
        return cls()

    def replace(self, **changes: Any) -> TemporalHeadConfig:
        """A copy with some fields changed, checked."""
        return dataclasses.replace(self, **changes)

    def mask(self, tokens: int, first_query: int = 0) -> PatternMask:
        """What the queries from `first_query` on see in a sequence of `tokens` tokens (docs/spec/pattern.md), as the
        core computes it. Row i is query first_query + i. Without landmarks n_blocks is 0. InvalidArgumentError
        (tokens, first_query)."""
        n, first = _count(tokens, "tokens"), _count(first_query, "first_query")
        if first > n:
            raise InvalidArgumentError.of("first_query", f"at most the {n} tokens", first)
        sparse = self.backend != "dense" and self.use_landmarks
        try:
            seen = np.zeros((n - first, n), np.bool_)
            blocks = np.zeros((n - first, -(-n // self.block_size) if sparse else 0), np.bool_)
        except (MemoryError, ValueError):
            raise InvalidArgumentError.of("tokens", "a sequence whose mask fits in memory", tokens) from None
        _core.Pattern(self).mask(seen.view(np.uint8), blocks.view(np.uint8))
        return PatternMask(seen, blocks)


def _integer(value: Any, least: int, most: int | None, field: str) -> int:
    index = as_index(value)
    if index is None or index < least or (most is not None and index > most):
        expected = f"an integer of at least {least}" if most is None else f"an integer from {least} to {most}"
        raise InvalidConfigError.of(field, expected, repr(value))
    return index


def _count(value: Any, field: str) -> int:
    index = as_index(value)
    if index is None or not 0 <= index <= _U64:
        raise InvalidArgumentError.of(field, "an integer from 0 to 2**64 - 1", repr(value))
    return index


def _tokens(values: Iterable[Any]) -> tuple[int, ...]:
    """Ascending, each once; tokens no sequence reaches (2**32 and beyond) are dropped."""
    try:
        listed = list(values)
    except TypeError:
        raise InvalidConfigError.of("global_tokens", "a sequence of token indices", repr(values)) from None
    tokens = {_integer(value, 0, None, "global_tokens") for value in listed}
    return tuple(sorted(token for token in tokens if token <= _U32))


def estimate_sparse_edges(tokens: int, config: TemporalHeadConfig | None = None) -> int:
    """(query, key) pairs that one query head works through over `tokens` tokens, landmarks included; for the dense
    backend the dense count. Counted by the core; saturates at 2**64 - 1. InvalidArgumentError (tokens),
    InputTypeError (config)."""
    index = _count(tokens, "tokens")
    if config is None:
        config = TemporalHeadConfig()
    expect_type(config, TemporalHeadConfig, "config", "a TemporalHeadConfig")
    return _core.Pattern(config).edges(index)
