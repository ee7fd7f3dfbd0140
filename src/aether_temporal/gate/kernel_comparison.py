"""How two kernels differ under the same weights: the order of the nearest neighbours, the attention that a query pays
to each token and block mean, and their speed through the C core.

For speed they take turns on one thread. Seconds are the processor's for that thread, where the system counts them
finely: what else the machine does is then not in them.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special, stats

from aether_temporal.explore.attention_weights import LayerAttention, QueryWeights
from aether_temporal.head import AetherTemporalHead, KvCache
from aether_temporal.host.benchmark import turns
from aether_temporal.model import LayerTrace, TemporalModel
from aether_temporal.torch import TemporalClassifier, to_blob
from aether_temporal.torch.network import Layer
from aether_temporal.train.distillation import with_pattern
from aether_temporal.train.retrieval import normalised

from .gate_config import DENSE, GateConfig

Array = NDArray[np.float64]
Call = Callable[[], object]

PREFILL, STEP, CACHED = "prefill", "streaming step", "streaming step, dense with a cache"
MODEL, PUSH = "whole model, prefill", "whole model, streaming"
DECISIVE = (PREFILL, STEP)

CLOCK = time.thread_time if time.get_clock_info("thread_time").resolution < 1e-6 else time.perf_counter


@dataclasses.dataclass(frozen=True, eq=False)
class Orders:
    """The `count` nearest gallery windows of each of Q probes by the first kernel, and where the second puts them.

    spearman [Q]: rank correlation of the two orders of these neighbours. overlap [Q]: share of them that are among the
    second's `count` nearest too. ranks int64 [Q, count]: of column j, the first's neighbour j + 1, the rank by the
    second among all gallery windows, from 1.
    """

    spearman: Array
    overlap: Array
    ranks: NDArray[np.int64]

    @property
    def worst_decile(self) -> float:
        """The mean over the tenth of the probes (at least one) that agree least."""
        return float(np.sort(self.spearman)[: max(1, len(self.spearman) // 10)].mean())


def cosines(probes: Array, gallery: Array) -> Array:
    """[Q, G] of embeddings [Q, E] and [G, E]."""
    return np.asarray(normalised(probes) @ normalised(gallery).T, dtype=np.float64)


def compare_orders(first: Array, second: Array, count: int) -> Orders:
    """Of similarities [Q, G] by two kernels, G at least `count`."""
    nearest = np.argsort(-first, axis=1, kind="stable")[:, :count]
    a, b = (np.take_along_axis(x, nearest, axis=1) for x in (first, second))
    places = np.argsort(np.argsort(-second, axis=1, kind="stable"), axis=1, kind="stable") + 1
    ranks = np.take_along_axis(places, nearest, axis=1).astype(np.int64)
    spearman = np.array([_spearman(x, y) for x, y in zip(a, b, strict=True)])
    return Orders(spearman, (ranks <= count).mean(axis=1), ranks)


def _spearman(x: Array, y: Array) -> float:
    """Rank correlation; 0 where one of the two does not vary and so orders nothing."""
    return float(stats.spearmanr(x, y).statistic) if np.ptp(x) > 0 and np.ptp(y) > 0 else 0.0


def attention_map(network: TemporalClassifier, window: NDArray[np.float32]) -> QueryWeights:
    """Weights of all queries in the first layer on a window [T, F]."""
    layer = first_layer(network, window)
    return layer.weights(0, len(layer))


def effective_entries(network: TemporalClassifier, windows: NDArray[np.float32]) -> float:
    """Over how many entries the last query of a window spreads its weight in the first layer: exp of the entropy, the
    mean over heads and windows [n, T, F]. Of equal weights it is their number."""
    found = []
    for window in windows:
        layer = first_layer(network, window)
        last = layer.weights(len(layer) - 1, len(layer)).values[:, -1]
        found.append(np.exp(special.entr(last).sum(axis=-1)).mean())
    return float(np.mean(found))


def first_layer(network: TemporalClassifier, window: NDArray[np.float32]) -> LayerAttention:
    """The attention of the first layer on a window [T, F]: the layer's own queries, keys and values, and what the core
    makes of them."""
    layer = network.layers[0]
    assert isinstance(layer, Layer)
    inputs: list[torch.Tensor] = []
    with torch.no_grad():
        hook = layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
        try:
            network.hidden(torch.from_numpy(window))
        finally:
            hook.remove()
        q, k, v = (x[0].numpy() for x in layer.queries_keys_values(inputs[0]))
    out = AetherTemporalHead(layer.head).forward(q, k, v)
    return LayerAttention(layer.head, LayerTrace(q, k, v, out))


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
