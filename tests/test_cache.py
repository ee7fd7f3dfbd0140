"""The key/value cache: equal to forward, bounded, undisturbed by errors, saved and restored."""

from __future__ import annotations

import contextlib
import copy
import pickle
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from conftest import Inputs, assert_same_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_pattern import saved_cache

from aether_temporal import (
    AetherTemporalHead,
    CacheFullError,
    CacheMismatchError,
    InputTypeError,
    InvalidArgumentError,
    InvalidConfigError,
    KvCache,
    NonFiniteError,
    ResultOverflowError,
    SavedStateError,
    ShapeError,
    TemporalHeadConfig,
    TooLargeError,
    estimate_sparse_edges,
)
from aether_temporal.cache_types import Dtype

CONFIG = TemporalHeadConfig(q_heads=4, kv_heads=2, head_dim=3, window=4, block_size=4, global_tokens=(0, 5))
DTYPES = ["float32", "float16"]
dtypes = pytest.mark.parametrize("dtype", DTYPES)


def steps(head: AetherTemporalHead, inputs: Inputs, cache: KvCache) -> np.ndarray:
    q, k, v = inputs
    rows = [head.step(q[t : t + 1], k[t : t + 1], v[t : t + 1], cache) for t in range(len(q))]
    return np.concatenate([q[:0], *rows])


def part(inputs: Inputs, first: int, last: int | None = None) -> Inputs:
    q, k, v = (array[first:last] for array in inputs)
    return q, k, v


@dtypes
@pytest.mark.parametrize("capacity", [1, 2, 3, 4, 7, 8, 9, 16, 31, 70])
def test_a_ring_is_forward_with_history(capacity: int, dtype: str, variant: str, qkv: Callable[..., Inputs]) -> None:
    inputs = qkv(CONFIG, 70)
    head = AetherTemporalHead(CONFIG, kernels=variant)
    limited = AetherTemporalHead(CONFIG.replace(history=capacity), kernels=variant)
    expected = limited.forward(*inputs, dtype=dtype)
    cache = head.make_cache(capacity, dtype, "ring")
    assert_same_bits(steps(head, inputs, cache), expected)
    assert len(cache) == capacity
    assert cache.tokens == 70
    again = head.make_cache(capacity, dtype, "ring")
    assert_same_bits(head.prefill(*inputs, again), expected)
    assert again.to_bytes() == cache.to_bytes()


@dtypes
def test_history_and_capacity_meet(dtype: str, qkv: Callable[..., Inputs]) -> None:
    inputs = qkv(CONFIG, 60)
    for history, capacity in ((6, 20), (20, 6), (6, 6)):
        head = AetherTemporalHead(CONFIG.replace(history=history))
        limited = AetherTemporalHead(CONFIG.replace(history=min(history, capacity)))
        cache = head.make_cache(capacity, dtype, "ring")
        assert_same_bits(steps(head, inputs, cache), limited.forward(*inputs, dtype=dtype))


@dtypes
def test_an_unlimited_cache_is_forward(dtype: str, qkv: Callable[..., Inputs]) -> None:
    inputs = qkv(CONFIG, 70)
    head = AetherTemporalHead(CONFIG)
    for capacity in (70, 1000):
        assert_same_bits(steps(head, inputs, head.make_cache(capacity, dtype)), head.forward(*inputs, dtype=dtype))


@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(st.integers(0, 25), min_size=1, max_size=6),
    dtype=st.sampled_from(DTYPES),
    capacity=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
)
def test_prefill_append_and_steps_agree(pieces: list[int], dtype: str, capacity: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    total = sum(pieces)
    inputs = tuple(rng.standard_normal((total, n, 3), dtype=np.float32) for n in (4, 2, 2))
    head = AetherTemporalHead(CONFIG)
    limited = AetherTemporalHead(CONFIG.replace(history=capacity))
    expected = limited.forward(*inputs, dtype=dtype)
    cache = head.make_cache(capacity, dtype, "ring")
    at = 0
    for index, size in enumerate(pieces):
        q, k, v = (array[at : at + size] for array in inputs)
        if index % 3 == 2:
            cache.append(k, v)
        elif index % 3 == 1:
            for t in range(size):
                y = head.step(q[t : t + 1], k[t : t + 1], v[t : t + 1], cache)
                assert_same_bits(y, expected[at + t : at + t + 1])
        else:
            assert_same_bits(head.prefill(q, k, v, cache), expected[at : at + size])
        at += size
        cache = KvCache.from_bytes(cache.to_bytes())
        assert cache.tokens == at


@settings(max_examples=60, deadline=None)
@given(
    window=st.integers(0, 40),
    block=st.sampled_from([1, 2, 4, 8]),
    more=st.none() | st.integers(1, 80),
    tokens=st.integers(0, 160),
    capacity=st.integers(1, 200),
    dtype=st.sampled_from(DTYPES),
)
def test_a_pyramid_keeps_what_the_next_query_sees(
    window: int, block: int, more: int | None, tokens: int, capacity: int, dtype: str
) -> None:
    history = None if more is None else window + more
    shape = {"q_heads": 1, "kv_heads": 1, "head_dim": 1, "window": window, "block_size": block}
    config = TemporalHeadConfig(pattern="pyramid", history=history, **shape)
    rng = np.random.default_rng(tokens)
    inputs = tuple(rng.standard_normal((tokens, 1, 1), dtype=np.float32) for _ in range(3))
    head = AetherTemporalHead(config)
    cache = head.make_cache(capacity, dtype, "ring")
    half = KvCache.from_bytes(cache.to_bytes())
    rows = steps(head, part(inputs, 0, tokens // 2), half)
    half = KvCache.from_bytes(half.to_bytes())
    rows = np.concatenate([rows, steps(head, part(inputs, tokens // 2), half)])
    assert_same_bits(rows, AetherTemporalHead(config.within(capacity)).forward(*inputs, dtype=dtype))
    assert_same_bits(rows, steps(head, inputs, cache))
    assert cache.to_bytes() == half.to_bytes() == saved_cache(config, inputs, capacity, dtype == "float16")


# Full


@dtypes
def test_a_full_cache_says_so_and_stays(dtype: str, qkv: Callable[..., Inputs]) -> None:
    inputs = qkv(CONFIG, 12)
    head = AetherTemporalHead(CONFIG)
    cache = head.make_cache(10, dtype)
    steps(head, part(inputs, 0, 9), cache)
    before = cache.to_bytes()
    with pytest.raises(CacheFullError, match="space for 3 more .capacity 10., found space for 1"):
        head.prefill(*part(inputs, 9), cache)
    with pytest.raises(CacheFullError):
        cache.append(inputs[1][:2], inputs[2][:2])
    assert cache.to_bytes() == before
    steps(head, part(inputs, 9, 10), cache)
    with pytest.raises(CacheFullError):
        head.step(*part(inputs, 10, 11), cache)
    assert len(cache) == 10
    cache.reset()
    assert len(cache) == cache.tokens == 0
    assert_same_bits(steps(head, part(inputs, 0, 10), cache), head.forward(*part(inputs, 0, 10), dtype=dtype))


# Errors leave everything as it was


@dtypes
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_values_that_are_not_finite_change_nothing(
    which: int, bad: float, dtype: str, qkv: Callable[..., Inputs]
) -> None:
    inputs = qkv(CONFIG, 20)
    head = AetherTemporalHead(CONFIG)
    cache = head.make_cache(8, dtype, "ring")
    steps(head, part(inputs, 0, 11), cache)
    before = cache.to_bytes()
    damaged = tuple(array[11:12].copy() for array in inputs)
    damaged[which][0, 1, 2] = bad
    field = "qkv"[which]
    with pytest.raises(NonFiniteError, match=rf"{field}: expected finite binary32 numbers, found {bad} at \(0, 1, 2\)"):
        head.step(*damaged, cache)
    with pytest.raises(NonFiniteError, match=f"{field}: "):
        head.prefill(*damaged, cache)
    if which:
        with pytest.raises(NonFiniteError, match=f"{field}: "):
            cache.append(damaged[1], damaged[2])
    assert cache.to_bytes() == before
    rest = steps(head, part(inputs, 11), cache)
    whole = AetherTemporalHead(CONFIG.replace(history=8)).forward(*inputs, dtype=dtype)
    assert_same_bits(rest, whole[11:])


def test_results_beyond_the_range_change_nothing(qkv: Callable[..., Inputs]) -> None:
    inputs = qkv(CONFIG, 6)
    head = AetherTemporalHead(CONFIG)
    cache = head.make_cache(8, "float16", "ring")
    steps(head, inputs, cache)
    before = cache.to_bytes()
    q, k, v = part(inputs, 0, 1)
    big = v.copy()
    big[0, 1, 0] = 65520  # the smallest that rounds beyond 65504
    with pytest.raises(ResultOverflowError, match=r"v: .*65504.*found 65520.0 at \(0, 1, 0\)"):
        head.step(q, k, big, cache)
    with pytest.raises(ResultOverflowError, match="v: "):
        head.prefill(q, k, big, cache)
    assert cache.to_bytes() == before
    big[0, 1, 0] = np.nextafter(np.float32(65520), np.float32(0))
    head.step(q, k, big, cache)

    full = head.make_cache(8)
    huge = np.full_like(v, 3e38)
    head.step(q, k, huge, full)
    before = full.to_bytes()
    with pytest.raises(ResultOverflowError, match="block sums"):
        head.step(q, k, huge, full)
    with pytest.raises(ResultOverflowError):
        head.prefill(*(np.concatenate([a, a, a]) for a in (q, k, huge)), full)
    assert full.to_bytes() == before


@pytest.mark.parametrize("tokens", [0, 2])
def test_a_step_takes_one_token(tokens: int, qkv: Callable[..., Inputs]) -> None:
    head = AetherTemporalHead(CONFIG)
    with pytest.raises(ShapeError, match=r"q: expected shape \(1, 4, 3\)"):
        head.step(*qkv(CONFIG, tokens), head.make_cache(4))
    with pytest.raises(ShapeError, match="q"):
        head.prefill(*qkv(CONFIG, 3, 1), head.make_cache(4))


def test_making_caches_with_bad_settings() -> None:
    head = AetherTemporalHead(CONFIG)
    for capacity in (0, -1, 2**64, 1.5, None, True):
        with pytest.raises(InvalidConfigError, match="capacity"):
            head.make_cache(capacity)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfigError, match="dtype"):
        head.make_cache(4, "float64")  # type: ignore[arg-type]
    with pytest.raises(InvalidConfigError, match="on_full"):
        head.make_cache(4, on_full="h2o")  # type: ignore[arg-type]
    with pytest.raises(TooLargeError, match="capacity"):
        AetherTemporalHead(CONFIG.replace(window=2**64 - 1)).make_cache(2**63)
    with pytest.raises(MemoryError):
        AetherTemporalHead(CONFIG.replace(window=2**64 - 1)).make_cache(2**50)
    for value in (np.array([1, 0]), ["error"], 0.5, None):
        for name in ("capacity", "dtype", "on_full"):
            with pytest.raises(InvalidConfigError, match=name):
                head.make_cache(**{name: value})


@pytest.mark.parametrize("bad", [None, 3, "cache", AetherTemporalHead(CONFIG)], ids=lambda bad: type(bad).__name__)
def test_wrong_cache_or_head_types_raise_a_type_error(bad: Any, qkv: Callable[..., Inputs]) -> None:
    head = AetherTemporalHead(CONFIG)
    for call in (head.step, head.prefill):
        with pytest.raises(InputTypeError, match=f"^cache: expected a KvCache, found {type(bad).__name__}$"):
            call(*qkv(CONFIG, 1), bad)
    if not isinstance(bad, AetherTemporalHead):
        with pytest.raises(InputTypeError, match=f"^head: expected an AetherTemporalHead, found {type(bad).__name__}$"):
            KvCache(bad)
        with pytest.raises(InputTypeError, match="^state: "):
            KvCache.from_bytes(bad)


def test_a_cache_is_initialised_once() -> None:
    head = AetherTemporalHead(CONFIG)
    cache = head.make_cache(4)
    with pytest.raises(InvalidArgumentError, match="cache"):
        cache.__init__(head, 8)  # type: ignore[misc]
    with pytest.raises(InvalidArgumentError, match="head"):
        head.__init__(CONFIG)  # type: ignore[misc]
    bare = KvCache.__new__(KvCache)
    for use in (bare.reset, bare.to_bytes, lambda: head.step(*(np.zeros((1, n, 3)) for n in (4, 2, 2)), bare)):
        with pytest.raises(InvalidArgumentError):
            use()
    with pytest.raises(InvalidArgumentError):
        AetherTemporalHead.__new__(AetherTemporalHead).make_cache(3)


# Memory


def test_a_cache_keeps_few_rows() -> None:
    head = AetherTemporalHead()
    small, half = head.make_cache(1024), head.make_cache(1024, "float16")
    assert small.rows == 513  # the farthest stride within 1023, and the newest
    assert half.nbytes < 0.6 * small.nbytes
    local = AetherTemporalHead(TemporalHeadConfig(use_log_stride=False, use_landmarks=False, global_tokens=()))
    assert local.make_cache(10**9).rows == 33
    assert head.cache_nbytes(1024) == small.nbytes
    assert head.cache_nbytes(1024, "float16") == half.nbytes


# State


@dtypes
@pytest.mark.parametrize("on_full", ["error", "ring"])
@pytest.mark.parametrize("at", [0, 1, 3, 4, 5, 8, 15, 16, 17, 29])
def test_a_stream_continues_from_saved_state(at: int, on_full: str, dtype: str, qkv: Callable[..., Inputs]) -> None:
    inputs = qkv(CONFIG, 40)
    head = AetherTemporalHead(CONFIG)
    cache = head.make_cache(40 if on_full == "error" else 9, dtype, on_full)
    steps(head, part(inputs, 0, at), cache)
    state = cache.to_bytes()
    rest = steps(head, part(inputs, at), cache)
    restored = KvCache.from_bytes(state)
    assert (restored.capacity, restored.dtype, restored.on_full, restored.tokens) == (
        cache.capacity,
        dtype,
        on_full,
        at,
    )
    assert restored.config == CONFIG
    assert restored.to_bytes() == state
    assert_same_bits(steps(head, part(inputs, at), restored), rest)
    for twin in (copy.copy(restored), copy.deepcopy(restored), pickle.loads(pickle.dumps(restored))):
        assert type(twin) is KvCache
        assert twin.dtype == dtype
        assert twin.to_bytes() == cache.to_bytes()


@dtypes
def test_load_rejects_a_state_of_the_other_dtype(dtype: str) -> None:
    head = AetherTemporalHead(CONFIG)
    (other,) = {*DTYPES} - {dtype}
    with pytest.raises(CacheMismatchError):
        head.make_cache(9, dtype, "ring").load(head.make_cache(9, other, "ring").to_bytes())


def test_there_are_two_dtypes() -> None:
    assert list(get_args(Dtype)) == DTYPES
    with pytest.raises(InvalidConfigError, match="float16-widened"):
        AetherTemporalHead(CONFIG).make_cache(9, "float16-widened")


@dtypes
@pytest.mark.parametrize("tokens", [65535, 65536, 70000])
def test_as_many_equal_rows_as_there_may_be(tokens: int, dtype: str, variant: str) -> None:
    """Each has weight 1: no variant may scale weights by more than their sum has room for."""
    config = TemporalHeadConfig(
        q_heads=1, kv_heads=1, head_dim=1, window=tokens, use_log_stride=False, use_landmarks=False, global_tokens=()
    )
    head = AetherTemporalHead(config, kernels=variant)
    cache = head.make_cache(tokens, dtype)
    rows = np.ones((tokens, 1, 1), np.float32)
    cache.append(rows[1:], rows[1:])
    assert head.step(rows[:1], rows[:1], rows[:1], cache) == 1.0


def test_load_wants_the_same_kind_of_cache(qkv: Callable[..., Inputs]) -> None:
    head = AetherTemporalHead(CONFIG)
    cache = head.make_cache(10)
    state = cache.to_bytes()
    steps(head, qkv(CONFIG, 3), cache)
    cache.load(state)
    assert len(cache) == 0
    for other in (
        head.make_cache(11),
        head.make_cache(10, "float16"),
        head.make_cache(10, on_full="ring"),
        AetherTemporalHead(CONFIG.replace(window=5)).make_cache(10),
        AetherTemporalHead(CONFIG.replace(global_tokens=(0, 6))).make_cache(10),
    ):
        before = other.to_bytes()
        with pytest.raises(CacheMismatchError):
            other.load(state)
        assert other.to_bytes() == before


@dtypes
def test_damaged_state_is_a_named_error(dtype: str, qkv: Callable[..., Inputs]) -> None:
    """Every truncation and every flipped bit; then every header bit with the CRC corrected."""
    config = CONFIG.replace(q_heads=2, head_dim=1, window=1, block_size=2)
    head = AetherTemporalHead(config)
    cache = head.make_cache(4, dtype, "ring")
    steps(head, qkv(config, 7), cache)
    state = cache.to_bytes()
    for length in range(len(state)):
        with pytest.raises(SavedStateError):
            KvCache.from_bytes(state[:length])
    with pytest.raises(SavedStateError):
        KvCache.from_bytes(state + b"\0")
    for bit in range(8 * len(state)):
        damaged = bytearray(state)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SavedStateError):
            KvCache.from_bytes(damaged)
        if bit // 8 < len(state) - 4:
            sealed = bytes(damaged[:-4]) + struct.pack("<I", zlib.crc32(damaged[:-4]))
            before = cache.to_bytes()
            with contextlib.suppress(SavedStateError):
                assert KvCache.from_bytes(sealed).to_bytes()
            rejected = False
            try:
                cache.load(sealed)
            except (SavedStateError, CacheMismatchError):
                rejected = True
                assert cache.to_bytes() == before
            names_another = bit // 8 < 72 and not 56 <= bit // 8 < 64  # header, but not `length`
            assert rejected or not names_another
            cache.load(state)


def test_state_that_claims_more_than_it_holds_allocates_nothing(qkv: Callable[..., Inputs]) -> None:
    cache = AetherTemporalHead(CONFIG).make_cache(8)
    state = bytearray(cache.to_bytes())
    for at, value in ((48, 2**40), (48, 2**64 - 1), (24, 2**64 - 1)):
        claim = bytearray(state)
        struct.pack_into("<Q", claim, at, value)
        struct.pack_into("<Q", claim, 48, value)
        struct.pack_into("<I", claim, len(claim) - 4, zlib.crc32(claim[:-4]))
        with pytest.raises(SavedStateError):
            KvCache.from_bytes(claim)
    for field in (8, 12, 16):
        claim = bytearray(state)
        struct.pack_into("<3I", claim, 8, *([2**31] * 3) if field == 8 else [1 << 31, 1 << 20, field])
        struct.pack_into("<I", claim, len(claim) - 4, zlib.crc32(claim[:-4]))
        with pytest.raises(SavedStateError):
            KvCache.from_bytes(claim)


def test_state_of_something_else_is_rejected() -> None:
    for junk in (b"", b"AEKV", b"\0" * 200, np.zeros(100)):
        with pytest.raises(SavedStateError):
            KvCache.from_bytes(junk)
    with pytest.raises(TypeError, match="state"):
        KvCache.from_bytes("text")


# -- defects of other kernels that this one must not have ---------------------------------------------------

EIGHT_WIDE = TemporalHeadConfig(q_heads=4, kv_heads=2, head_dim=8, window=5, block_size=4)


@pytest.mark.parametrize("dim", [1, 7, 9, 16])
def test_a_query_of_another_width_than_the_cache_is_rejected(dim: int, qkv: Callable[..., Inputs]) -> None:
    """A kernel without this check silently cuts a narrower query and crashes on a wider one."""
    head = AetherTemporalHead(EIGHT_WIDE)
    cache = head.make_cache(16)
    q, k, v = qkv(EIGHT_WIDE, 1)
    head.step(q, k, v, cache)
    before = cache.to_bytes()
    other = np.zeros((1, 4, dim), np.float32)
    with pytest.raises(ShapeError, match="q: expected shape"):
        head.step(other, k, v, cache)
    with pytest.raises(ShapeError, match="v: expected shape"):
        head.step(q, k, np.zeros((1, 2, dim), np.float32), cache)
    assert cache.to_bytes() == before


OTHERS = {
    "block_size": {"block_size": 8},
    "q_heads": {"q_heads": 2},
    "kv_heads": {"kv_heads": 1},
    "head_dim": {"head_dim": 4},
    "window": {"window": 6},
    "global_tokens": {"global_tokens": (1,)},
    "use_log_stride": {"use_log_stride": False},
    "use_landmarks": {"use_landmarks": False},
    "history": {"history": 7},
}


@pytest.mark.parametrize(("field", "changes"), OTHERS.items(), ids=OTHERS.keys())
def test_a_cache_of_another_head_is_rejected(field: str, changes: dict[str, Any], qkv: Callable[..., Inputs]) -> None:
    """A kernel without this check computes wrong values or crashes."""
    config = EIGHT_WIDE.replace(**changes)
    head, other = AetherTemporalHead(EIGHT_WIDE), AetherTemporalHead(config)
    cache = other.make_cache(16)
    other.step(*qkv(config, 1), cache)
    before = cache.to_bytes()
    with pytest.raises(CacheMismatchError, match=field):
        head.step(*qkv(EIGHT_WIDE, 1), cache)
    with pytest.raises(CacheMismatchError, match=field):
        head.prefill(*qkv(EIGHT_WIDE, 3), cache)
    assert cache.to_bytes() == before


def test_a_cache_of_an_equal_head_is_accepted(qkv: Callable[..., Inputs], variant: str) -> None:
    cache = AetherTemporalHead(EIGHT_WIDE).make_cache(16)
    AetherTemporalHead(EIGHT_WIDE, kernels=variant).step(*qkv(EIGHT_WIDE, 1), cache)
    assert len(cache) == 1


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [2**31, 2**40, 2**63, 2**64 - 1])
def test_any_window_works_at_no_cost(window: int, causal: bool, qkv: Callable[..., Inputs]) -> None:
    """Memory does not depend on the window: one of 2**40 tokens must not allocate terabytes."""
    inputs = qkv(EIGHT_WIDE, 50)
    wide = EIGHT_WIDE.replace(window=50, causal=causal)
    endless = EIGHT_WIDE.replace(window=window, causal=causal)
    tracemalloc.start()
    found = AetherTemporalHead(endless).forward(*inputs)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert_same_bits(found, AetherTemporalHead(wide).forward(*inputs))
    assert estimate_sparse_edges(50, endless) == estimate_sparse_edges(50, wide)
    if causal:
        cache, same = AetherTemporalHead(endless).make_cache(50), AetherTemporalHead(wide).make_cache(50)
        assert cache.nbytes == same.nbytes
        assert_same_bits(AetherTemporalHead(endless).prefill(*inputs, cache), found)


def test_a_step_takes_no_more_memory_late_in_a_stream(rng: np.random.Generator) -> None:
    """The memory of a step must not grow with the number of tokens before it."""
    head = AetherTemporalHead()
    q1, k1, v1 = (rng.standard_normal((1, n, 32), dtype=np.float32) for n in (4, 1, 1))
    kv = rng.standard_normal((1000, 1, 32), dtype=np.float32)
    sizes = set()
    for tokens in (1000, 200_000):
        cache = head.make_cache(512, on_full="ring")
        for _ in range(tokens // 1000):
            cache.append(kv, kv)
        head.step(q1, k1, v1, cache)
        tracemalloc.start()
        head.step(q1, k1, v1, cache)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4096
        sizes.add(cache.nbytes)
    assert len(sizes) == 1


@pytest.mark.parametrize("block_size", [1, 2, 3, 5, 16])
def test_decode_is_forward_to_the_last_bit(block_size: int, rng: np.random.Generator, variant: str) -> None:
    """Both paths sum block means in the same order. Values of different magnitudes reveal any other order."""
    config = EIGHT_WIDE.replace(block_size=block_size)
    head = AetherTemporalHead(config, kernels=variant)
    q, k, v = (
        (rng.standard_normal((90, n, 8)) * np.exp(3 * rng.standard_normal((90, n, 8)))).astype(np.float32)
        for n in (4, 2, 2)
    )
    cache = head.make_cache(90)
    rows = [head.step(q[t : t + 1], k[t : t + 1], v[t : t + 1], cache) for t in range(90)]
    assert_same_bits(np.concatenate(rows), head.forward(q, k, v))


@pytest.mark.parametrize("causal", [True, False])
def test_a_window_over_everything_is_dense_without_landmarks_only(causal: bool, qkv: Callable[..., Inputs]) -> None:
    """With landmarks the result differs from dense attention; without them it is the same, bit for bit."""
    sparse = EIGHT_WIDE.replace(window=100, causal=causal)
    dense = AetherTemporalHead(EIGHT_WIDE.replace(backend="dense", causal=causal))
    inputs = qkv(EIGHT_WIDE, 40)
    assert (AetherTemporalHead(sparse).forward(*inputs) != dense.forward(*inputs)).any()
    assert_same_bits(AetherTemporalHead(sparse.replace(use_landmarks=False)).forward(*inputs), dense.forward(*inputs))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("config", "context", "history"),
    [
        (EIGHT_WIDE, 30, 30),
        (EIGHT_WIDE.replace(history=20), 30, 20),
        (EIGHT_WIDE.replace(history=40), 30, 30),
        (TemporalHeadConfig(pattern="pyramid", window=32), 30, 33),
        (TemporalHeadConfig(pattern="pyramid", window=32, history=50), 40, 40),
        (TemporalHeadConfig(pattern="pyramid", window=26, block_size=1), 15, 27),
    ],
)
def test_within_limits_the_history_as_a_ring_does(
    config: TemporalHeadConfig, context: int, history: int, dtype: Any, qkv: Callable[..., Inputs]
) -> None:
    assert config.within(context).history == history
    inputs = qkv(config, 90)
    ring = AetherTemporalHead(config).make_cache(context, dtype, on_full="ring")
    rows = [AetherTemporalHead(config).step(*(x[t : t + 1] for x in inputs), ring) for t in range(90)]
    whole = AetherTemporalHead(config.within(context)).forward(*inputs, dtype=dtype)
    assert_same_bits(np.concatenate(rows), whole)


def test_within_needs_a_context() -> None:
    with pytest.raises(InvalidArgumentError, match="context: expected at least 1 token, found 0"):
        EIGHT_WIDE.within(0)


@pytest.mark.parametrize(
    "config", [CONFIG, TemporalHeadConfig(pattern="pyramid", kv_heads=2, head_dim=3, window=4, block_size=4)]
)
def test_a_ring_ends_with_its_counter(config: TemporalHeadConfig, qkv: Callable[..., Inputs]) -> None:
    head, last = AetherTemporalHead(config), 2**62 - 1
    q, k, v = qkv(config, 3)
    young = head.make_cache(50, on_full="ring")
    head.step(q[:1], k[:1], v[:1], young)
    saved = young.to_bytes()
    body = saved[:56] + struct.pack("<Q", last - 2) + saved[64:-4]
    cache = KvCache.from_bytes(body + struct.pack("<I", zlib.crc32(body)))
    head.step(q[:1], k[:1], v[:1], cache)
    before = cache.to_bytes()
    for add in (lambda: cache.append(k, v), lambda: head.prefill(q, k, v, cache)):
        with pytest.raises(CacheFullError, match=f"at most {last} tokens in all, found {last - 1} and 3 more"):
            add()
        assert cache.to_bytes() == before
    head.step(q[:1], k[:1], v[:1], cache)
    with pytest.raises(CacheFullError, match=f"at most {last} tokens in all, found {last} and 1 more"):
        head.step(q[:1], k[:1], v[:1], cache)
    assert cache.tokens == last
