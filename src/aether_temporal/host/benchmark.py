"""Measures the speed of this host beside the alternatives. Candidates take turns; results are medians and ratios."""

from __future__ import annotations

import platform
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal import __version__
from aether_temporal._core import crc32
from aether_temporal.config import TemporalHeadConfig
from aether_temporal.head import AetherTemporalHead, KvCache
from aether_temporal.model import TemporalModel

__all__ = ["FORWARD_LENGTHS", "STEP_LENGTHS", "Group", "Timing", "bench", "described", "measure", "pyramid", "turns"]

FORWARD_LENGTHS = (32, 64, 256, 1024)
STEP_LENGTHS = (100, 1000, 10_000, 100_000)
CACHES = 64
STREAMS = 2000
_CRC_BYTES = 1 << 20
_TURN = 2e-3  # seconds that one candidate's turn takes at least, where a call is shorter


@dataclass(frozen=True)
class Timing:
    """Seconds a call: median of the turns, and the best of them (where something else kept the machine busy)."""

    median: float
    best: float


@dataclass(frozen=True)
class Group:
    """Candidates that do the same job. Ratios are over the median of the first."""

    name: str
    timings: dict[str, Timing]  # by candidate

    def ratios(self) -> dict[str, float]:
        first = next(iter(self.timings.values()))
        return {name: timing.median / first.median for name, timing in self.timings.items()}


Call = Callable[[], object]


def measure(candidates: dict[str, Call], rounds: int) -> dict[str, Timing]:
    """How long a call takes."""
    taken = turns(candidates, rounds)
    return {name: Timing(float(np.median(values)), min(values)) for name, values in taken.items()}


def turns(
    candidates: dict[str, Call], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds a call, for every round. In each every candidate has its turn, so that what disturbs one disturbs all."""
    repeats = {}
    for name, call in candidates.items():
        call()
        begin = clock()
        call()
        repeats[name] = max(1, round(_TURN / max(clock() - begin, 1e-7)))
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            begin = clock()
            for _ in range(repeats[name]):
                call()
            taken[name].append((clock() - begin) / repeats[name])
    return taken


def _inputs(config: TemporalHeadConfig, tokens: int) -> tuple[NDArray[np.float32], ...]:
    generator = np.random.default_rng(tokens)
    heads = (config.q_heads, config.kv_heads, config.kv_heads)
    return tuple(generator.standard_normal((tokens, n, config.head_dim), dtype=np.float32) for n in heads)


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        return None
    return torch


def _reference_dense(config: TemporalHeadConfig, q: Any, k: Any, v: Any, torch: Any) -> tuple[str, Call]:
    """Dense causal attention by somebody else: torch where it is installed, else numpy."""
    group = config.q_heads // config.kv_heads
    if torch is not None:
        tensors = [torch.from_numpy(x).transpose(0, 1).unsqueeze(0).contiguous() for x in (q, k, v)]
        attention = torch.nn.functional.scaled_dot_product_attention

        def by_torch() -> object:
            with torch.inference_mode():
                return attention(*tensors, is_causal=True, enable_gqa=group > 1)

        return "torch scaled_dot_product_attention", by_torch
    qs, ks, vs = q.transpose(1, 0, 2), *(np.repeat(x, group, axis=1).transpose(1, 0, 2) for x in (k, v))
    hidden = np.triu(np.full((len(q), len(q)), -np.inf, dtype=np.float32), 1)

    def by_numpy() -> object:
        scores = qs @ ks.transpose(0, 2, 1) / np.float32(np.sqrt(config.head_dim)) + hidden
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return weights @ vs / weights.sum(axis=-1, keepdims=True)

    return "numpy dense", by_numpy


def forward_groups(config: TemporalHeadConfig, lengths: Sequence[int], rounds: int, torch: Any) -> list[Group]:
    """Forward of both patterns, the core's dense forward and somebody else's, one thread each."""
    heads = {"pyramid": pyramid(config), "reference": config, "dense": _dense(config)}
    ours = {name: AetherTemporalHead(each) for name, each in heads.items()}
    groups = []
    for tokens in lengths:
        q, k, v = _inputs(config, tokens)
        name, call = _reference_dense(config, q, k, v, torch)
        candidates = {each: _forward(head, q, k, v) for each, head in ours.items()} | {name: call}
        groups.append(Group(f"forward, {tokens} tokens", measure(candidates, rounds)))
    return groups


def _forward(head: AetherTemporalHead, q: NDArray[np.float32], k: NDArray[np.float32], v: NDArray[np.float32]) -> Call:
    return lambda: head.forward(q, k, v, threads=1)


def pyramid(config: TemporalHeadConfig) -> TemporalHeadConfig:
    """The same heads with the pyramid pattern, window 8 and blocks of 4."""
    return TemporalHeadConfig(
        pattern="pyramid",
        window=8,
        block_size=4,
        q_heads=config.q_heads,
        kv_heads=config.kv_heads,
        head_dim=config.head_dim,
        causal=config.causal,
    )


def _dense(config: TemporalHeadConfig) -> TemporalHeadConfig:
    return TemporalHeadConfig(
        backend="dense", q_heads=config.q_heads, kv_heads=config.kv_heads, head_dim=config.head_dim, causal=True
    )


def step_group(config: TemporalHeadConfig, lengths: Sequence[int], rounds: int) -> Group:
    """One step after so many tokens, from Python: the call, the check of its arguments, the result as a new array.
    The caches hold all tokens."""
    head = AetherTemporalHead(config)
    candidates: dict[str, Call] = {}
    for length in lengths:
        cache = head.make_cache(capacity=max(lengths) * 4, on_full="ring")
        q, k, v = _inputs(config, length)
        cache.append(k, v)
        candidates[f"{length} tokens before"] = _step(head, q[:1].copy(), k[:1].copy(), v[:1].copy(), cache)
    return Group(f"step, {config.pattern}", measure(candidates, rounds))


def _step(
    head: AetherTemporalHead, q: NDArray[np.float32], k: NDArray[np.float32], v: NDArray[np.float32], cache: KvCache
) -> Call:
    return lambda: head.step(q, k, v, cache)


def caches_group(config: TemporalHeadConfig, rounds: int) -> Group:
    """A step of many caches, and as many steps."""
    head = AetherTemporalHead(config)
    q, k, v = _inputs(config, CACHES)
    rows = [(q[i : i + 1], k[i : i + 1], v[i : i + 1]) for i in range(CACHES)]
    caches = [head.make_cache(capacity=1000, on_full="ring") for _ in range(2 * CACHES)]
    for cache in caches:
        cache.append(*(np.repeat(x, 4, axis=0) for x in (k, v)))
    many, alone = caches[:CACHES], caches[CACHES:]
    candidates: dict[str, Call] = {
        "step_many": lambda: head.step_many(q, k, v, many),
        "one call each": lambda: [head.step(*row, cache) for row, cache in zip(rows, alone, strict=True)],
    }
    return Group(f"step of {CACHES} caches after 256 tokens", measure(candidates, rounds))


def streams_group(rounds: int) -> Group:
    """A frame for each of many streams of the bundled activity model."""
    model = TemporalModel.from_blob("activity")
    frames = np.random.default_rng(3).random((STREAMS, model.header.input_dim), np.float32) + np.float32(0.5)
    pool, streams, ids = model.pool(STREAMS), [model.stream() for _ in range(STREAMS)], range(STREAMS)
    filled = model.stream()
    for t in range(model.config.history or 0):  # as many rows as a query can see
        filled.push(frames[t % STREAMS])
    state = filled.to_bytes()
    for id_, stream in zip(ids, streams, strict=True):
        pool.restore(id_, state)
        stream.restore(state)
    candidates: dict[str, Call] = {
        "pool.push": lambda: pool.push(ids, frames),
        "one call each": lambda: [stream.push(frame) for stream, frame in zip(streams, frames, strict=True)],
    }
    return Group(f"a frame of {STREAMS} streams (activity)", measure(candidates, rounds))


def crc_group(rounds: int) -> Group:
    data = np.random.default_rng(7).bytes(_CRC_BYTES)
    candidates: dict[str, Call] = {"crc32": lambda: crc32(data), "zlib.crc32": lambda: zlib.crc32(data)}
    return Group("CRC-32 of 1 MiB", measure(candidates, rounds))


def bench(
    *,
    config: TemporalHeadConfig | None = None,
    forward_lengths: Sequence[int] = FORWARD_LENGTHS,
    step_lengths: Sequence[int] = STEP_LENGTHS,
    rounds: int = 15,
) -> dict[str, Any]:
    """Measures everything and describes the machine, ready for JSON. torch, where installed, gets one thread."""
    config = config or TemporalHeadConfig.default_aether()
    torch = _torch()
    threads = None if torch is None else torch.get_num_threads()
    if torch is not None:
        torch.set_num_threads(1)
    try:
        groups = forward_groups(config, forward_lengths, rounds, torch)
        groups += [step_group(each, step_lengths, rounds) for each in (pyramid(config), config)]
        groups += [caches_group(config, rounds), streams_group(rounds)]
        groups.append(crc_group(rounds))
    finally:
        if torch is not None:
            torch.set_num_threads(threads)
    return described(config, groups, rounds, torch)


def described(config: TemporalHeadConfig, groups: Sequence[Group], rounds: int, torch: Any) -> dict[str, Any]:
    """The figures, and what they were measured on."""
    return {
        "version": __version__,
        "kernels": AetherTemporalHead(config).kernels,
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": None if torch is None else torch.__version__,
        "rounds": rounds,
        "shape": {"q_heads": config.q_heads, "kv_heads": config.kv_heads, "head_dim": config.head_dim},
        "groups": [
            {
                "name": group.name,
                "results": [
                    {
                        "name": name,
                        "median_us": timing.median * 1e6,
                        "best_us": timing.best * 1e6,
                        "ratio": group.ratios()[name],
                    }
                    for name, timing in group.timings.items()
                ],
            }
            for group in groups
        ],
    }
