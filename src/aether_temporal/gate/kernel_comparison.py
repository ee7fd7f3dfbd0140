"""How two kernels differ under the same weights: the order of the nearest neighbours, and the attention that a query
pays to each token and block mean."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

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


def attention_map(network: TemporalClassifier, window: torch.Tensor) -> torch.Tensor:
    """Weights [T, T + blocks] of the first layer on a window [T, F], the mean over query heads: a row a query, a column
    a token, then a block mean."""
    return attention_weights(network, window)[0].mean(0)


def effective_entries(network: TemporalClassifier, windows: NDArray[np.float32]) -> float:
    """Over how many entries the last query of a window spreads its weight in the first layer: exp of the entropy, the
    mean over heads and windows [n, T, F]. Of equal weights it is their number."""
    found = []
    for window in windows:
        last = attention_weights(network, torch.from_numpy(window))[0][:, -1]
        found.append(torch.exp(torch.special.entr(last).sum(-1)).mean().item())
    return float(np.mean(found))


def attention_weights(network: TemporalClassifier, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each query head [q_heads, T, T + blocks], and what the layer's attention gives by them [T, q_heads,
    head_dim]."""
    layer = network.layers[0]
    assert isinstance(layer, Layer)
    c, seen = layer.config, []
    with torch.no_grad():
        hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            network.hidden(window)
        finally:
            hook.remove()
        q, k, v = (x[0] for x in layer.queries_keys_values(seen[0]))
        found = layer.head.mask(len(window))
        mask = torch.from_numpy(np.concatenate([found.tokens, found.blocks], axis=1))
        blocks = mask.shape[1] - len(window)
        keys, values = (torch.cat([x, _block_means(x, layer.head.block_size, blocks)]) for x in (k, v))
        group = c.n_q_heads // c.n_kv_heads
        keys, values = keys.repeat_interleave(group, dim=1), values.repeat_interleave(group, dim=1)
        scores = torch.einsum("thd,shd->hts", q, keys) / math.sqrt(c.head_dim)
        weights = torch.softmax(scores.masked_fill(~mask, -math.inf), dim=-1)
        return weights, torch.einsum("hts,shd->thd", weights, values)


def _block_means(x: torch.Tensor, size: int, blocks: int) -> torch.Tensor:
    return torch.stack([x[b * size : (b + 1) * size].mean(0) for b in range(blocks)]) if blocks else x[:0]
