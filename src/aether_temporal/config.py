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

UNSET: Any = object()
"""Stands for the default that the pattern has."""

OF_PATTERN: dict[str, dict[str, Any]] = {
    "reference": {"global_tokens": (0,), "use_log_stride": True, "use_landmarks": True},
    "pyramid": {"global_tokens": (), "use_log_stride": False, "use_landmarks": False},
}
"""The patterns, and the defaults that depend on them."""


class PatternMask(NamedTuple):
    """What queries see in a sequence of T tokens.

    tokens: booleans (queries, T). blocks: booleans (queries, M), one column a mean: of each block, and under the
    pyramid pattern also of each run of 2, 4, 8 … blocks. spans: int64 (M, 2), the first token of each mean and the one
    after its last. sizes: float32 (M,), how many tokens each mean weighs as: one under the reference pattern, all of
    its own under the pyramid.
    """

    tokens: NDArray[np.bool_]
    blocks: NDArray[np.bool_]
    spans: NDArray[np.int64]
    sizes: NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class TemporalHeadConfig:
    """Shape and pattern of a head (docs/spec/pattern.md); frozen, checked when made. InvalidConfigError names the
    field.

    backend: "sparse_gqa", or "dense" (every token; no landmarks, no streaming).
    pattern: of the sparse backend: "reference" (window, global tokens, log-stride tokens, landmarks), or "pyramid"
    (window, and everything before it in runs of blocks that grow with their distance).
    q_heads, kv_heads, head_dim: heads of queries, of keys and values (a divisor), values a head.
    window: tokens a query sees before its own (and after it when not causal); 0 to 2**64 - 1, at no cost; with the
    pyramid at most 2**20. block_size: tokens a landmark; with the pyramid tokens of the shortest run, a power of two.
    global_tokens: tokens that every later query sees; order and repetition do not matter. history: how many tokens back
    a query sees, itself included (globals excepted); None: all. The pyramid rounds it up to whole blocks.
    global_tokens, use_log_stride and use_landmarks are (0,), True and True by default; the pyramid has none of them.
    """

    backend: Literal["sparse_gqa", "dense"] = "sparse_gqa"
    pattern: Literal["reference", "pyramid"] = "reference"
    q_heads: int = 4
    kv_heads: int = 1
    head_dim: int = 32
    window: int = 32
    block_size: int = 16
    causal: bool = True
    global_tokens: tuple[int, ...] = UNSET
    use_log_stride: bool = UNSET
    use_landmarks: bool = UNSET
    history: int | None = None

    def __post_init__(self) -> None:
        expect_choice(self.backend, _BACKENDS, "backend")
        expect_choice(self.pattern, tuple(OF_PATTERN), "pattern")
        for name, default in OF_PATTERN[self.pattern].items():
            if getattr(self, name) is UNSET:
                self._set(name, default)
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

    def within(self, context: int) -> TemporalHeadConfig:
        """The configuration whose `forward` gives the rows of a cache or stream that sees `context` tokens, at least 1.
        InvalidArgumentError."""
        if (tokens := _count(context, "context")) == 0:
            raise InvalidArgumentError.of("context", "at least 1 token", context)
        return self.replace(history=_core.Pattern(self).history_within(tokens))

    def mask(self, tokens: int, first_query: int = 0) -> PatternMask:
        """What the queries from `first_query` on see in a sequence of `tokens` tokens (docs/spec/pattern.md), as the
        core computes it. Row i is query first_query + i. Without landmarks there are no means. InvalidArgumentError
        (tokens, first_query)."""
        n, first = _count(tokens, "tokens"), _count(first_query, "first_query")
        if first > n:
            raise InvalidArgumentError.of("first_query", f"at most the {n} tokens", first)
        try:
            begins, spans, sizes = self._means(n)
            seen = np.zeros((n - first, n), np.bool_)
            blocks = np.zeros((n - first, len(spans)), np.bool_)
        except (MemoryError, ValueError):
            raise InvalidArgumentError.of("tokens", "a sequence whose mask fits in memory", tokens) from None
        _core.Pattern(self).mask(seen.view(np.uint8), blocks.view(np.uint8), begins)
        return PatternMask(seen, blocks, spans, sizes)

    def _means(self, tokens: int) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.float32]]:
        """The first column of each level in a mask of `tokens` tokens; spans and sizes of all columns."""
        size, pyramid = self.block_size, self.pattern == "pyramid"
        blocks = tokens // size if pyramid else -(-tokens // size)
        if self.backend == "dense" or not (pyramid or self.use_landmarks):
            blocks = 0
        counts = [blocks >> level for level in range(blocks.bit_length() if pyramid else 1)] or [0]
        begins = np.cumsum([0, *counts])
        first = np.concatenate([np.arange(count) * (size << level) for level, count in enumerate(counts)])
        lengths = np.repeat([size << level for level in range(len(counts))], counts)
        spans = np.stack([first, np.minimum(first + lengths, tokens)], axis=1).astype(np.int64)
        sizes = lengths if pyramid else np.ones(len(spans))
        return begins.astype(np.uint64), spans, sizes.astype(np.float32)


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
