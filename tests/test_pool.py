"""A pool gives the bits of single streams, holds its bound, and comes back from disk as it was. A step of many caches
gives the bits of single steps."""

from __future__ import annotations

import functools
import operator
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import assert_same_bits
from test_blob import TINY, all_settings, core_arrays

from aether_temporal import (
    AetherTemporalHead,
    CacheFullError,
    CacheMismatchError,
    InputTypeError,
    InvalidArgumentError,
    InvalidConfigError,
    NonFiniteError,
    PatternSettings,
    ResultOverflowError,
    SavedStateError,
    ShapeError,
    StreamPool,
    TemporalHeadConfig,
    TemporalModel,
    TemporalStream,
    WeightBlob,
    crc32,
)

IDS: list[Any] = ["kitchen", "hall", b"\x24\x0a\xc4\x00\x01\x02", b"", 7, -7, 2**70, "7", *range(100, 106)]
kinds = pytest.mark.parametrize("kind", ["plain", "reference", "pyramid"])
dtypes = pytest.mark.parametrize("dtype", ["float32", "float16"])


def model_of(kind: str, variant: str | None = None) -> TemporalModel:
    """Without sections, and with every section by either pattern."""
    rng = np.random.default_rng(5)
    layers, classifier = core_arrays(rng, TINY, 5)
    if kind == "plain":
        layers, classifier = core_arrays(rng, TINY, TINY.input_dim)
        return TemporalModel.from_blob(WeightBlob.from_arrays(TINY, layers, classifier), variant)
    settings = all_settings(rng, TINY, 5)
    if kind == "pyramid":
        settings = settings.replace(pattern=PatternSettings(pattern="pyramid", window=3, block_size=2))
    return TemporalModel.from_blob(WeightBlob.from_arrays(TINY, layers, classifier, settings), variant)


def frames_of(model: TemporalModel, rng: np.random.Generator, count: int) -> Any:
    return (rng.random((count, model.header.input_dim)) + 0.5).astype(np.float32)


@kinds
@dtypes
def test_a_pool_gives_the_bits_of_single_streams(kind: str, dtype: Any, variant: str) -> None:
    """Random batches, ids that stand twice, drops, restored states; beside a dictionary of streams in order of use."""
    model = model_of(kind, variant)
    rng = np.random.default_rng(17)
    pool, most, context = model.pool(9, 33, dtype), 9, 33
    streams: OrderedDict[Any, Any] = OrderedDict()
    evictions = 0
    for _ in range(120):
        ids = [IDS[i] for i in rng.integers(0, rng.integers(3, len(IDS)), rng.integers(0, most + 1))]
        frames = frames_of(model, rng, len(ids))
        out = pool.push(ids, frames, embeddings=model.embed_dim > 0)
        for id_ in ids:
            if id_ in streams:
                streams.move_to_end(id_)
        gone = []
        for id_ in ids:
            if id_ not in streams:
                if len(streams) == most:
                    gone.append(streams.popitem(last=False)[0])
                streams[id_] = model.stream(context, dtype)
        for row, id_ in enumerate(ids):
            streams.move_to_end(id_)
            assert_same_bits(out.logits[row], streams[id_].push(frames[row]))
            if out.embeddings is not None:
                assert_same_bits(out.embeddings[row], streams[id_].embedding)
        assert out.evicted == tuple(gone)
        assert out.failed == ()
        evictions += len(gone)
        if streams and rng.random() < 0.3:
            id_ = list(streams)[rng.integers(len(streams))]
            if rng.random() < 0.5:
                pool.drop(id_)
                del streams[id_]
            else:
                pool.restore(id_, streams[id_].to_bytes())
                streams.move_to_end(id_)
        assert list(pool) == list(streams)
        assert len(pool) == len(streams) <= most
    assert evictions > 20
    for id_, stream in streams.items():
        assert pool.frames(id_) == len(stream)
        assert pool.state(id_) == stream.to_bytes()
        assert_same_bits(pool.logits(id_), stream.logits)


@kinds
def test_batches_of_any_size_give_the_same_bits(kind: str) -> None:
    """Streams of many ages, in batches around the number of rows that go together."""
    model, rng = model_of(kind), np.random.default_rng(3)
    pool = model.pool(70)
    alone: dict[Any, TemporalStream] = {id_: model.stream() for id_ in range(70)}
    for size in [1, 31, 32, 33, 64, 65, 70, 70, *rng.integers(1, 71, 20)]:
        ids = rng.permutation(70)[:size]
        frames = frames_of(model, rng, size)
        out = pool.push(list(ids), frames)
        for row, id_ in enumerate(ids):
            assert_same_bits(out.logits[row], alone[int(id_)].push(frames[row]))
    assert all(pool.state(id_) == alone[id_].to_bytes() for id_ in pool)


def test_a_row_that_overflows_fails_alone() -> None:
    model, rng = model_of("reference"), np.random.default_rng(2)
    pool, alone = model.pool(5), {id_: model.stream() for id_ in "abcde"}
    for turn in range(6):
        frames = frames_of(model, rng, 5)
        frames[1, 0] = 3.0e38 if turn in (0, 4) else 1.0
        frames[1, 1] = 3.0e38 if turn in (0, 4) else 1.0
        out = pool.push(["a", "b", "c", "d", "e"], frames, embeddings=True)
        assert out.failed == ((1,) if turn in (0, 4) else ())
        assert out.embeddings is not None
        for row, id_ in enumerate("abcde"):
            if row in out.failed:
                with pytest.raises(ResultOverflowError):
                    alone[id_].push(frames[row])
                assert np.isnan(out.logits[row]).all()
                assert np.isnan(out.embeddings[row]).all()
            else:
                assert_same_bits(out.logits[row], alone[id_].push(frames[row]))
            assert pool.state(id_) == alone[id_].to_bytes()


def filled(model: TemporalModel, rng: np.random.Generator, dtype: Any = "float32") -> StreamPool:
    pool = model.pool(20, 40, dtype)
    for _ in range(30):
        ids = [IDS[i] for i in rng.permutation(len(IDS))[:6]]
        pool.push(ids, frames_of(model, rng, 6))
    return pool


@kinds
@dtypes
def test_a_saved_pool_goes_on_to_the_bit(kind: str, dtype: Any, tmp_path: Path) -> None:
    model, rng = model_of(kind), np.random.default_rng(8)
    pool = filled(model, rng, dtype)
    pool.save(tmp_path / "pool.state")
    others = [StreamPool.load(model, tmp_path / "pool.state"), pickle.loads(pickle.dumps(pool))]
    others.append(StreamPool.load(model, tmp_path / "pool.state", most=len(pool) + 3))
    assert [other.most for other in others] == [20, 20, len(pool) + 3]
    for other in others:
        assert (list(other), other.context, other.dtype) == (list(pool), 40, dtype)
        assert {type(id_) for id_ in other} == {str, int, bytes}
    frames = frames_of(model, rng, len(IDS))
    logits = pool.push(IDS, frames).logits
    for other in others:
        assert_same_bits(other.push(IDS, frames).logits, logits)
        assert [other.state(id_) for id_ in other] == [pool.state(id_) for id_ in pool]
    assert list(StreamPool.from_bytes(model, model.pool(3).to_bytes())) == []


def test_a_damaged_pool_is_rejected() -> None:
    model, rng = model_of("plain"), np.random.default_rng(8)
    pool = model.pool(3)
    pool.push(["a", 5], frames_of(model, rng, 2))
    saved = pool.to_bytes()
    for at in [*range(60), *rng.integers(60, len(saved) - 4, 40)]:
        damaged = bytearray(saved)
        damaged[at] ^= 1 << int(rng.integers(8))
        with pytest.raises((SavedStateError, CacheMismatchError)):
            StreamPool.from_bytes(model, damaged)
        damaged[-4:] = crc32(damaged[:-4]).to_bytes(4, "little")  # what the checksum alone would let through
        if at not in (*range(12, 16), 45, 46, 51):  # the bound; what the ids are called
            with pytest.raises((SavedStateError, CacheMismatchError)):
                StreamPool.from_bytes(model, damaged)
    for length in range(len(saved)):
        with pytest.raises(SavedStateError):
            StreamPool.from_bytes(model, saved[:length])
    with pytest.raises(CacheMismatchError, match="blob CRC"):
        StreamPool.from_bytes(model_of("reference"), saved)
    for most in (1, 0, "many"):
        with pytest.raises(InvalidArgumentError, match="most: expected at least 2"):
            StreamPool.from_bytes(model, saved, most)  # type: ignore[arg-type]


def test_threads_share_a_pool_and_save_it_between_batches(tmp_path: Path) -> None:
    """Each saved state is that of one moment: all streams of a thread have taken as many frames."""
    model = model_of("pyramid")
    frames = frames_of(model, np.random.default_rng(1), 60)
    names = [[f"{thread}-{i}" for i in range(5)] for thread in range(3)]
    pool, alone = model.pool(15), model.stream()
    pool.push(functools.reduce(operator.iadd, names, []), np.repeat(frames[:1], 15, 0))

    def work(ids: list[str]) -> None:
        for frame in frames[1:]:
            pool.push(ids, np.repeat(frame[None], 5, 0))

    threads = [threading.Thread(target=work, args=(ids,)) for ids in names]
    for thread in threads:
        thread.start()
    saved = []
    while any(thread.is_alive() for thread in threads):
        saved.append(pool.to_bytes())
    for thread in threads:
        thread.join()
    states = [b""]
    for frame in frames:
        alone.push(frame)
        states.append(alone.to_bytes())
    for data in [*saved[:: max(1, len(saved) // 20)], pool.to_bytes()]:
        found = StreamPool.from_bytes(model, data)
        for ids in names:
            counts = {found.frames(id_) for id_ in ids}
            assert len(counts) == 1
            assert {found.state(id_) for id_ in ids} == {states[counts.pop()]}
    assert {pool.frames(id_) for id_ in pool} == {60}


SERVICE = """
import sys
import numpy as np
from pathlib import Path
from aether_temporal import StreamPool, TemporalModel
model, path = TemporalModel.from_blob(Path(sys.argv[1])), Path(sys.argv[2])
pool = StreamPool.load(model, path) if path.exists() else model.pool(40)
turn = pool.frames("node 0") if "node 0" in pool else 0
print("ready", flush=True)
while True:
    frames = np.random.default_rng(turn).random((40, model.header.input_dim), np.float32)
    pool.push([f"node {i}" for i in range(40)], frames)
    turn += 1
    pool.save(path)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL: none here")
def test_a_killed_service_goes_on_where_it_was(tmp_path: Path) -> None:
    """Killed at random moments while it saves without pause; what is on disk is always a whole pool."""
    model = model_of("reference")
    (tmp_path / "model.rvne").write_bytes(model.blob)
    state, rng = tmp_path / "pool.state", np.random.default_rng(4)
    alone, turn = [model.stream() for _ in range(40)], 0
    for _ in range(4):
        command = [sys.executable, "-c", SERVICE, str(tmp_path / "model.rvne"), str(state)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as service:
            assert service.stdout is not None
            assert service.stdout.readline() == b"ready\n"
            before = state.stat().st_mtime_ns if state.exists() else 0
            while not state.exists() or state.stat().st_mtime_ns == before:
                time.sleep(0.001)
            time.sleep(float(rng.random()) * 0.05)
            service.send_signal(signal.SIGKILL)
        found = StreamPool.load(model, state)
        assert found.frames("node 0") > turn
        while turn < found.frames("node 0"):
            frames = np.random.default_rng(turn).random((40, model.header.input_dim), np.float32)
            for stream, frame in zip(alone, frames, strict=True):
                stream.push(frame)
            turn += 1
        assert [found.state(f"node {i}") for i in range(40)] == [stream.to_bytes() for stream in alone]


WRONG: list[tuple[Callable[[Any, Any], Any], type[Exception], str]] = [
    (lambda p, f: p.push(["a", "b", "c", "d"], f[[0, 0, 0, 0]]), ShapeError, "ids: expected at most 3"),
    (lambda p, f: p.push(["a", "new"], f[:1]), ShapeError, "frames: expected shape"),
    (lambda p, f: p.push(["a", "new"], f[:2, :1]), ShapeError, "frames: expected shape"),
    (lambda p, f: p.push(["a", "new"], f[:2] * np.nan), NonFiniteError, r"frames: expected finite.* at \(0, 0\)"),
    (lambda p, f: p.push(["a", "new"], f[:2], embeddings=True), ShapeError, "embeddings"),
    (
        lambda p, f: p.push(["new", 1.5], f[:2]),
        InputTypeError,
        "id: expected a string, an integer or bytes, found float",
    ),
    (lambda p, f: p.push(["new", ["a"]], f[:2]), InputTypeError, "id: expected a string"),
    (lambda p, f: p.push("ab", f[:2]), InputTypeError, "ids: expected a sequence of ids"),
    (lambda p, f: p.push(["new", "a"], ["x", "y"]), InputTypeError, "frames"),
    (
        lambda p, f: p.drop("unknown"),
        InvalidArgumentError,
        "id: expected one of the 3 streams in the pool, found 'unknown'",
    ),
    (lambda p, f: p.state(9), InvalidArgumentError, "found 9"),
    (lambda p, f: p.frames(b"a"), InvalidArgumentError, "found b'a'"),
    (lambda p, f: p.logits("unknown"), InvalidArgumentError, "id"),
    (lambda p, f: p.embedding("unknown"), InvalidArgumentError, "id"),
    (lambda p, f: p.restore("new", p.state("a")), CacheFullError, "pool: expected a free place, found 3"),
    (lambda p, f: p.restore("a", p.state("b")[:-1]), SavedStateError, "payload_len: expected"),
    (lambda p, f: p.restore("a", model_of("plain").stream(9).to_bytes()), CacheMismatchError, "context"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG, ids=[f"{i}" for i in range(len(WRONG))])
def test_errors_are_named_and_change_nothing(
    call: Callable[[StreamPool, Any], Any], error: type[Exception], message: str
) -> None:
    model = model_of("plain")
    pool, frames = model.pool(3), frames_of(model, np.random.default_rng(1), 3)
    pool.push(["a", "b", "c"], frames)
    before = pool.to_bytes()
    with pytest.raises(error, match=message):
        call(pool, frames)
    assert pool.to_bytes() == before
    assert list(pool) == ["a", "b", "c"]


def test_a_pool_says_what_it_is() -> None:
    model = model_of("plain")
    pool = model.pool(3, 12, "float16")
    assert (pool.model, pool.most, pool.context, pool.dtype, len(pool)) == (model, 3, 12, "float16", 0)
    assert pool.nbytes == model.pool_nbytes(3, 12, "float16")
    state = model.memory(12, "float16").state
    assert pool.nbytes < model.pool_nbytes(1003, 12, "float16") < pool.nbytes + 1000 * (state + 64)
    assert repr(pool) == f"<StreamPool: 0 of 3 streams, context 12, float16 cache, {pool.nbytes} bytes>"
    pool.push([1, np.int64(2)], frames_of(model, np.random.default_rng(1), 2))
    assert (1 in pool, 2 in pool, 3 in pool, [1] in pool, list(pool)) == (True, True, False, False, [1, 2])
    assert pool.embedding(1) is None
    for bad in (0, -1, 1.5, 2**31 + 1, None):
        with pytest.raises(InvalidConfigError, match="most: expected an integer from 1"):
            model.pool(bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfigError, match="context"):
        model.pool(3, 0)
    with pytest.raises(MemoryError):
        model.pool(2**31, 2**40)


# -- a step of many caches ------------------------------------------------------------------------------------


@dtypes
@pytest.mark.parametrize("pattern", ["reference", "pyramid"])
def test_a_step_of_many_caches_is_as_many_steps(pattern: Any, dtype: Any, variant: str) -> None:
    """Caches of different lengths and capacities."""
    settings: dict[str, Any] = (
        {} if pattern == "reference" else {"global_tokens": (), "use_log_stride": False, "use_landmarks": False}
    )
    config = TemporalHeadConfig(pattern=pattern, q_heads=4, kv_heads=2, head_dim=5, window=3, block_size=4, **settings)
    head, rng = AetherTemporalHead(config, variant), np.random.default_rng(6)
    many, alone = ([head.make_cache(9 + i % 3, dtype, "ring") for i in range(11)] for _ in range(2))
    for turn in range(40):
        n = 11 if turn % 2 else int(rng.integers(0, 12))
        q, k, v = (rng.standard_normal((n, heads, 5), dtype=np.float32) for heads in (4, 2, 2))
        chosen = rng.permutation(11)[:n]
        out = head.step_many(q, k, v, [many[i] for i in chosen])
        assert out.shape == q.shape
        for row, i in enumerate(chosen):
            one = slice(row, row + 1)
            assert_same_bits(out[one], head.step(q[one], k[one], v[one], alone[i]))
    assert [cache.to_bytes() for cache in many] == [cache.to_bytes() for cache in alone]


def test_errors_of_a_step_of_many_caches_change_nothing() -> None:
    head = AetherTemporalHead(TemporalHeadConfig(q_heads=2, kv_heads=1, head_dim=3, window=3, block_size=2))
    other = AetherTemporalHead(TemporalHeadConfig(q_heads=2, kv_heads=1, head_dim=3, window=4, block_size=2))
    rng = np.random.default_rng(6)
    q, k, v = (rng.standard_normal((3, heads, 3), dtype=np.float32) for heads in (2, 1, 1))
    caches = [head.make_cache(8) for _ in range(3)]
    full = head.make_cache(1)
    head.step_many(q[:1], k[:1], v[:1], [full])
    head.step_many(q, k, v, caches)
    before = [cache.to_bytes() for cache in caches]
    huge = k.copy()
    huge[2] = 3e38
    half = head.make_cache(8, "float16")
    for chosen, keys, error, message in (
        ([*caches[:2], full], k, CacheFullError, "cache: expected space for 1 more"),
        ([*caches[:2], other.make_cache(8)], k, CacheMismatchError, "window=3"),
        ([*caches[:2], caches[0]], k, InvalidArgumentError, r"caches: expected each cache once, found caches\[2\]"),
        ([*caches[:2], None], k, InputTypeError, "caches: expected KvCache"),
        (caches[:2], k, ShapeError, "q: expected shape"),
        (caches, k * np.nan, NonFiniteError, "k: expected finite"),
        (caches, huge, ResultOverflowError, "out: expected"),
        ([*caches[:2], half], huge, ResultOverflowError, "k: expected magnitudes"),
    ):
        with pytest.raises(error, match=message):
            head.step_many(q, keys, v, chosen)
        assert [cache.to_bytes() for cache in caches] == before
    head.step_many(q, k, v, caches)  # none is left busy
