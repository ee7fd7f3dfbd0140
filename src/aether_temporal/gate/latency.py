"""How fast two patterns of attention are through the C core, dense over sparse.

They take turns on one thread. Seconds are the processor's for that thread, where the system counts them finely: what
else the machine does is then not in them.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aether_temporal.head import AetherTemporalHead, KvCache
from aether_temporal.host.benchmark import turns
from aether_temporal.model import TemporalModel
from aether_temporal.torch import TemporalClassifier, to_blob
from aether_temporal.train.distillation import with_pattern

from .gate_config import DENSE, GateConfig

Call = Callable[[], object]

PREFILL, STEP, CACHED = "prefill", "streaming step", "streaming step, dense with a cache"
MODEL, PUSH = "whole model, prefill", "whole model, streaming"
DECISIVE = (PREFILL, STEP)

CLOCK = time.thread_time if time.get_clock_info("thread_time").resolution < 1e-6 else time.perf_counter


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Dense over sparse: `ratio` is the median over rounds of the two turns' quotient, low and high its 95 % interval
    (order statistics). Seconds are medians."""

    frames: int
    job: str
    dense: float
    sparse: float
    ratio: float
    low: float
    high: float


def measure_latency(config: GateConfig, network: TemporalClassifier) -> list[Ratio]:
    """Every job at every length and at the deployed window. network: sparse; for the whole model, whose times depend
    on shapes alone."""
    frames = sorted({*config.lengths, config.deployed})
    return [ratio for length in frames for ratio in _at(config, network, length)]


def _at(config: GateConfig, network: TemporalClassifier, length: int) -> list[Ratio]:
    sparse, dense = (AetherTemporalHead(config.head(backend)) for backend in ("sparse", "dense"))
    generator = np.random.default_rng(length)
    n = config.network
    q, k, v = (
        generator.standard_normal((length, heads, n.head_dim), dtype=np.float32)
        for heads in (n.q_heads, n.kv_heads, n.kv_heads)
    )
    every = AetherTemporalHead(config.shape(1, dataclasses.replace(DENSE, window=length, history=length)).head())
    models = [TemporalModel.from_blob(to_blob(net)) for net in (with_pattern(network, DENSE), network)]
    frames = generator.uniform(5, 30, (length, network.config.input_dim)).astype(np.float32)
    stream = models[1].stream(context=length)
    for frame in frames:
        stream.push(frame)
    recompute: Call = lambda: dense.forward(q, k, v, threads=1)  # noqa: E731
    jobs: dict[str, tuple[Call, Call]] = {
        PREFILL: (recompute, lambda: sparse.forward(q, k, v, threads=1)),
        STEP: (recompute, _stepping(sparse, q, k, v)),
        CACHED: (_stepping(every, q, k, v), _stepping(sparse, q, k, v)),
        MODEL: (lambda: models[0].forward(frames, length), lambda: models[1].forward(frames, length)),
        PUSH: (lambda: models[0].forward(frames, length), lambda: stream.push(frames[-1])),
    }
    return [_compare(length, job, *calls, config.rounds) for job, calls in jobs.items()]


def _stepping(head: AetherTemporalHead, q: NDArray[np.float32], k: NDArray[np.float32], v: NDArray[np.float32]) -> Call:
    """One step in the steady state: as many tokens before it as the window has, and the cache goes round."""
    cache: KvCache = head.make_cache(capacity=len(q), on_full="ring")
    cache.append(k, v)
    newest_q, newest_k, newest_v = (x[-1:].copy() for x in (q, k, v))
    return lambda: head.step(newest_q, newest_k, newest_v, cache)


def _compare(frames: int, job: str, dense: Call, sparse: Call, rounds: int) -> Ratio:
    found = turns({"dense": dense, "sparse": sparse}, rounds, CLOCK)
    taken = {name: np.array(seconds) for name, seconds in found.items()}
    quotients = taken["dense"] / taken["sparse"]
    low, high = median_interval(quotients)
    ratio = float(np.median(quotients))
    return Ratio(frames, job, float(np.median(taken["dense"])), float(np.median(taken["sparse"])), ratio, low, high)


def median_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % of the median, whatever the distribution: the order statistics n/2 ± 0.98 sqrt(n), widened to whole
    ones."""
    n = len(values)
    reach = 0.98 * math.sqrt(n)
    first, last = max(0, math.floor(n / 2 - reach) - 1), min(n - 1, math.ceil(n / 2 + reach))
    ordered = np.sort(values)
    return float(ordered[first]), float(ordered[last])
