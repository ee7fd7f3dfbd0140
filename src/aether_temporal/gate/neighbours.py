"""Who is near whom, and whether two kernels agree about the order."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

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
    spearman = np.array([_correlation(_mean_ranks(x), _mean_ranks(y)) for x, y in zip(a, b, strict=True)])
    return Orders(spearman, (ranks <= count).mean(axis=1), ranks)


def _mean_ranks(values: Array) -> Array:
    """Ranks; equals share the mean of theirs."""
    _, level, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - (count - 1) / 2)[level], dtype=np.float64)


def _correlation(x: Array, y: Array) -> float:
    """Pearson's; 0 where one of the two does not vary and so orders nothing."""
    u, v = x - x.mean(), y - y.mean()
    size = float(np.sqrt((u @ u) * (v @ v)))
    return float(u @ v) / size if size > 0 else 0.0
