"""Finds out what was wrong after the core has returned an error, so that success costs nothing."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from aether_temporal._internal.convert import as_array, as_float32
from aether_temporal.errors import (
    BY_STATUS_NAME,
    BackendDoesNotSupportStreamingError,
    CacheFullError,
    CacheMismatchError,
    NonFiniteError,
    ResultOverflowError,
    TooLargeError,
)

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import ArrayLike
    from typing_extensions import Buffer

    from aether_temporal._core import Cache, Head
    from aether_temporal.config import TemporalHeadConfig

    Input: TypeAlias = ArrayLike | Buffer | None

__all__ = [
    "raise_cache_error",
    "raise_forward_error",
    "raise_many_error",
    "raise_model_error",
    "raise_push_error",
    "raise_size_error",
]

HALF_LIMIT = 65520.0  # the smallest magnitude that rounds beyond 65504


_MOST = 2**62 - 1
"""Tokens of a cache, frames of a stream: the core's counter ends here."""


def _not_finite(**inputs: Input) -> None:
    """NonFiniteError about the first value that is no finite binary32."""
    for field, value in inputs.items():
        if value is None:
            continue
        bad = np.argwhere(~np.isfinite(as_float32(value, field)))
        if len(bad):
            index = tuple(int(i) for i in bad[0])
            raise NonFiniteError.of(field, "finite binary32 numbers", f"{as_array(value, field)[index]} at {index}")


def _beyond(limit: float, expected: str, **inputs: Input) -> None:
    """ResultOverflowError about the first value whose magnitude is not below the limit."""
    for field, value in inputs.items():
        array = as_float32(value, field)
        bad = np.argwhere(np.abs(array) >= limit)
        if len(bad):
            index = tuple(int(i) for i in bad[0])
            raise ResultOverflowError.of(field, expected, f"{array[index]} at {index}")


def _fail(status: str, field: str, expected: str, found: object) -> NoReturn:
    raise BY_STATUS_NAME[status].of(field, expected, found)


def raise_forward_error(status: str, q: Input, k: Input, v: Input) -> NoReturn:
    """For attention over whole sequences."""
    if status == "NOT_FINITE":
        _not_finite(q=q, k=k, v=v)
    if status == "OVERFLOW":
        _fail(status, "out", "results within binary32 (and binary16 where asked for)", "an overflow")
    _fail(status, "forward", "success", status)


def raise_cache_error(status: str, head: Head, cache: Cache, q: Input, k: Input, v: Input, tokens: int) -> NoReturn:
    """For step, prefill and append."""
    if status == "NOT_FINITE":
        _not_finite(q=q, k=k, v=v)
    if status == "OVERFLOW":
        if cache.dtype != "float32":
            _beyond(HALF_LIMIT, "magnitudes that round to at most 65504 (binary16)", k=k, v=v)
        _fail(status, "out", "results and block sums within binary32", "an overflow")
    if status == "CACHE_FULL":
        if cache.tokens + tokens > _MOST:
            raise CacheFullError.of("cache", f"at most {_MOST} tokens in all", f"{cache.tokens} and {tokens} more")
        free = cache.capacity - cache.tokens
        raise CacheFullError.of("cache", f"space for {tokens} more (capacity {cache.capacity})", f"space for {free}")
    if status == "CACHE_MISMATCH":
        for field in dataclasses.fields(head.config):
            wanted, found = getattr(head.config, field.name), getattr(cache.config, field.name)
            if wanted != found:
                raise CacheMismatchError.of("cache", f"one made for {field.name}={wanted}", f"{field.name}={found}")
    _fail(status, "cache", "success", status)


def raise_many_error(status: str, head: Head, caches: list[Cache], q: Input, k: Input, v: Input) -> NoReturn:
    """For a step of many caches: about the first to which the status applies by itself, where one can be told."""
    if status == "NOT_FINITE":
        _not_finite(q=q, k=k, v=v)
    for cache in caches:
        full = status == "CACHE_FULL" and (
            cache.tokens >= _MOST or (cache.on_full == "error" and len(cache) == cache.capacity)
        )
        if (
            full
            or (status == "CACHE_MISMATCH" and cache.config != head.config)
            or (status == "OVERFLOW" and cache.dtype != "float32")
        ):
            raise_cache_error(status, head, cache, q, k, v, 1)
    raise_cache_error(status, head, caches[0], q, k, v, 1)


def raise_size_error(status: str, config: TemporalHeadConfig | None, field: str, value: object) -> NoReturn:
    """For functions that say how much memory is needed."""
    if status == "NO_STREAMING" and config is not None:
        expected = "a causal 'sparse_gqa' head to stream with (use forward)"
        if config.backend == "dense":
            raise BackendDoesNotSupportStreamingError.of("backend", expected, "'dense'")
        raise BackendDoesNotSupportStreamingError.of("causal", expected, "False")
    if status == "TOO_LARGE":
        raise TooLargeError.of(field, "a size this machine can address", value)
    _fail(status, field, "success", status)


def raise_model_error(status: str, frames: ArrayLike, dtype: str, most: float | None) -> NoReturn:
    """For a model over a whole recording; in integers, `most` is the limit of its inputs."""
    if status == "NOT_FINITE":
        _not_finite(frames=frames)
    if status == "OVERFLOW" and most is not None:
        _beyond(most, f"magnitudes below {most:g} (32767 units of this model's input)", frames=frames)
    _overflowed(status, "frames", dtype)


def raise_push_error(status: str, frame: ArrayLike, dtype: str, most: float | None) -> NoReturn:
    """For one frame, in the same way."""
    if status == "OVERFLOW" and most is not None:
        _beyond(most, f"magnitudes below {most:g} (32767 units of this model's input)", frame=frame)
    if status == "NOT_FINITE":
        _not_finite(frame=frame)
    if status == "CACHE_FULL":
        _fail(status, "stream", f"at most {_MOST} frames in all", "one more; reset the stream")
    _overflowed(status, "frame", dtype)


def _overflowed(status: str, field: str, dtype: str) -> NoReturn:
    if status == "OVERFLOW":
        limit = "binary32" if dtype == "float32" else "binary32, keys and values within binary16"
        _fail(status, field, f"values that keep every step of the model within {limit}", "an overflow")
    _fail(status, field, "success", status)
