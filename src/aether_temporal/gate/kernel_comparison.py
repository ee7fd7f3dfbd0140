"""How two kernels differ under the same weights: the order of the nearest neighbours, and the attention that a query
pays to each token and block mean."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special, stats

from aether_temporal.explore.attention_weights import LayerAttention, QueryWeights
from aether_temporal.head import AetherTemporalHead
from aether_temporal.model import LayerTrace
from aether_temporal.torch import TemporalClassifier
from aether_temporal.torch.network import Layer
from aether_temporal.train.retrieval import normalised

Array = NDArray[np.float64]


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
