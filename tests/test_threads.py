"""Threads: the same bits from any number, errors from any of them, and one caller at a time on a cache."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Inputs, assert_same_bits
from hang import HANG

from aether_temporal import (
    AetherTemporalHead,
    CacheBusyError,
    InvalidArgumentError,
    NonFiniteError,
    TemporalError,
    TemporalHeadConfig,
    TemporalModel,
    WeightBlob,
)
from aether_temporal._internal import threads as core_threads

CONFIG = TemporalHeadConfig(q_heads=4, kv_heads=2, head_dim=8, window=9, block_size=4)
KINDS: dict[str, dict[str, Any]] = {
    "sparse": {},
    "non-causal": {"causal": False},
    "dense": {"backend": "dense"},
    "dense-non-causal": {"backend": "dense", "causal": False},
}


@pytest.mark.parametrize("batch", [(), (1,), (2,), (7,)])
@pytest.mark.parametrize("tokens", [1, 2, 63, 64, 65, 300])
@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_threads_gives_the_same_bits(
    kind: str, tokens: int, batch: tuple[int, ...], qkv: Callable[..., Inputs]
) -> None:
    config = CONFIG.replace(**KINDS[kind])
    inputs = qkv(config, tokens, *batch)
    head = AetherTemporalHead(config)
    expected = head.forward(*inputs, threads=1)
    for threads in (2, 3, 5, 16):
        assert_same_bits(head.forward(*inputs, threads=threads), expected)
    assert_same_bits(head.forward(*inputs), expected)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_variant_with_threads(variant: str, dtype: Any, qkv: Callable[..., Inputs]) -> None:
    inputs = qkv(CONFIG, 150)
    expected = AetherTemporalHead(CONFIG, kernels="portable").forward(*inputs, dtype=dtype)
    for threads in (1, 2, 5):
        found = AetherTemporalHead(CONFIG, kernels=variant).forward(*inputs, threads=threads, dtype=dtype)
        assert_same_bits(found, expected)


def test_pieces_cover_everything_once() -> None:
    for total in [*range(1, 200), 1024, 8191]:
        for threads in (2, 3, 5, 16):
            for unit in (1, 64):
                pieces = core_threads._split(total, unit, threads)
                assert [t for first, count in pieces for t in range(first, first + count)] == list(range(total))
                assert max(count for _, count in pieces) <= max(unit, -(-total // threads))


def test_large_problems_use_every_processor_and_small_ones_do_not() -> None:
    choose = core_threads.choose_threads
    config = TemporalHeadConfig()
    assert choose(None, config, 1, 64) == 1
    assert choose(None, config, 1, 10**6) == core_threads._processors()
    assert choose(None, config.replace(window=2**64 - 1), 1, 16) == 1
    assert choose(3, config, 1, 4) == 3
    for bad in (0, -1, 1.5, True, "2"):
        with pytest.raises(InvalidArgumentError, match="threads"):
            choose(bad, config, 1, 4)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [(), (4,)])
def test_an_error_in_one_thread_is_the_error(batch: tuple[int, ...], qkv: Callable[..., Inputs]) -> None:
    q, k, v = qkv(CONFIG, 300, *batch)
    head = AetherTemporalHead(CONFIG)
    expected = head.forward(q, k, v)
    for array, field in ((q, "q"), (k, "k"), (v, "v")):
        kept = array.flat[-1]
        array.flat[-1] = np.inf
        with pytest.raises(NonFiniteError, match=f"{field}: .*found inf"):
            head.forward(q, k, v, threads=3)
        array.flat[-1] = kept
    assert_same_bits(head.forward(q, k, v, threads=3), expected)  # the pool works on


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(qkv: Callable[..., Inputs]) -> None:
    inputs = qkv(CONFIG, 300)
    head = AetherTemporalHead(CONFIG)
    expected = head.forward(*inputs, threads=2)
    child = os.fork()
    if child == 0:
        same = (head.forward(*inputs, threads=2) == expected).all()
        os._exit(0 if same else 1)
    deadline = time.monotonic() + HANG
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0
            return
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail("the child hangs")


def test_many_threads_share_a_head(qkv: Callable[..., Inputs]) -> None:
    inputs = qkv(CONFIG, 120)
    head = AetherTemporalHead(CONFIG)
    expected = head.forward(*inputs)
    found: list[np.ndarray] = []

    def work() -> None:
        cache = head.make_cache(120)
        for _ in range(5):
            cache.reset()
            found.append(head.prefill(*inputs, cache))
            found.append(head.forward(*inputs))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 40
    for out in found:
        assert_same_bits(out, expected)


def rejected_as_busy(call: Callable[[], Any]) -> bool:
    try:
        call()
    except CacheBusyError as error:
        assert "another thread" in str(error)
        return True
    except TemporalError:
        pass
    return False


def test_two_threads_on_one_cache_get_an_error_and_the_cache_stays_whole(qkv: Callable[..., Inputs]) -> None:
    """A round counts when every call met the cache in use; the other thread may have ended in between."""
    head = AetherTemporalHead(TemporalHeadConfig(), kernels="portable")  # the slowest: time to meet
    inputs = qkv(head.config, 4000)
    cache = head.make_cache(4000)
    expected = head.forward(*inputs)
    one = tuple(x[:1] for x in inputs)
    calls: list[Callable[[], Any]] = [
        lambda: head.step(*one, cache),
        lambda: head.prefill(*one, cache),
        lambda: cache.append(*one[1:]),
        cache.reset,
        cache.to_bytes,
        lambda: cache.load(b""),
    ]
    found: list[np.ndarray] = []

    def work() -> None:
        with contextlib.suppress(CacheBusyError):
            found.append(head.prefill(*inputs, cache))

    for _ in range(200):
        cache.reset()
        found.clear()
        worker = threading.Thread(target=work)
        worker.start()
        while worker.is_alive() and not 0 < cache.tokens < 4000:
            pass
        met = [rejected_as_busy(call) for call in calls]
        worker.join()
        if all(met):
            break
    else:
        pytest.fail("no collision in 200 rounds")
    assert_same_bits(found[0], expected)
    whole = head.make_cache(4000)
    head.prefill(*inputs, whole)
    assert cache.to_bytes() == whole.to_bytes()


def test_two_threads_on_one_stream_get_an_error_and_the_stream_stays_whole(
    plain_blob: WeightBlob, rng: np.random.Generator
) -> None:
    """Two pushers: each push either counts whole or is rejected, and the state stays one that a reader accepts."""
    model = TemporalModel.from_blob(plain_blob, kernels="portable")
    stream = model.stream(64)
    frames = rng.standard_normal((2, 16), dtype=np.float32)
    taken = [0, 0]
    rejected = [0, 0]

    def work(which: int) -> None:
        while sum(rejected) < 5 and sum(taken) < 5_000_000:
            try:
                stream.push(frames[which])
                taken[which] += 1
            except CacheBusyError:
                rejected[which] += 1

    workers = [threading.Thread(target=work, args=(which,)) for which in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(stream) == sum(taken)
    assert sum(rejected) >= 5
    stream.restore(stream.to_bytes())  # sound: every number finite, every field in range


def test_the_gil_is_released(qkv: Callable[..., Inputs]) -> None:
    """While one thread computes, another one counts. On a busy computer it may get no turn in one round."""
    head = AetherTemporalHead(TemporalHeadConfig(backend="dense"), kernels="portable")
    inputs = qkv(head.config, 1500)
    counted = 0
    during: list[int] = []

    def work() -> None:
        before = counted
        head.forward(*inputs, threads=1)
        during.append(counted - before)

    for _ in range(20):
        worker = threading.Thread(target=work)
        worker.start()
        while worker.is_alive():
            counted += 1
            time.sleep(0.0005)
        worker.join()
        if during[-1] > 5:
            return
    pytest.fail(f"expected more than 5 turns during one call, found {during}")
