"""Re-identification, measured: probe windows against a gallery of windows, with confidence intervals over identities.

Windows are vectors; alike is a large cosine. An identity is as near as the nearest of that identity's gallery windows
(`nearest`), or as the mean of them (`enrolled`, what `aether enroll` keeps).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Whose = NDArray[np.int64]

FIGURES = ("rank1", "rank5", "map", "auc", "enrolled_rank1", "enrolled_rank5", "enrolled_auc")


def normalised(x: NDArray[Any]) -> Array:
    """Rows of length 1 (rows of zeros stay)."""
    wide = np.asarray(x, dtype=np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(length > 0, length, 1.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Matches:
    """What each of Q probe windows found.

    identities: names of the P identities in the gallery. labels [Q]: index of the probe's identity. near, enrolled [Q,
    P]: cosine to each identity's nearest window, and to each identity's mean. precision [Q]: average precision over all
    gallery windows.
    """

    identities: tuple[str, ...]
    labels: Whose
    near: Array
    enrolled: Array
    precision: Array

    @property
    def ranks(self) -> Whose:
        """Rank [Q] of the probe's identity by nearest windows; 1 is best. Of equals it comes last."""
        return _ranks(self.near, self.labels)

    @property
    def enrolled_ranks(self) -> Whose:
        """The same by the identities' means."""
        return _ranks(self.enrolled, self.labels)


def _ranks(scores: Array, labels: Whose) -> Whose:
    own = scores[np.arange(len(labels)), labels][:, None]
    found: Whose = (scores >= own).sum(axis=1)
    return found


def match(gallery: Array, gallery_of: Sequence[str], probes: Array, probes_of: Sequence[str]) -> Matches:
    """Windows [G, E] and [Q, E], and whose each is. ValueError: a probe of nobody in the gallery."""
    identities = tuple(dict.fromkeys(gallery_of))
    unknown = set(probes_of) - set(identities)
    if unknown:
        raise ValueError(f"probe: expected identities of the gallery, found {', '.join(sorted(unknown))}")
    index = {name: place for place, name in enumerate(identities)}
    owner = np.array([index[name] for name in gallery_of], dtype=np.int64)
    labels = np.array([index[name] for name in probes_of], dtype=np.int64)
    g, q = normalised(gallery), normalised(probes)
    cosine = q @ g.T
    near = np.stack([cosine[:, owner == p].max(axis=1) for p in range(len(identities))], axis=1)
    means = normalised(np.stack([g[owner == p].mean(axis=0) for p in range(len(identities))]))
    return Matches(identities, labels, near, q @ means.T, _average_precision(cosine, owner[None, :] == labels[:, None]))


def _average_precision(scores: Array, right: NDArray[np.bool_]) -> Array:
    order = np.argsort(-scores, axis=1, kind="stable")
    hits = np.take_along_axis(right, order, axis=1)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    found: Array = (precision * hits).sum(axis=1) / hits.sum(axis=1)
    return found


class _Verification:
    """The area under the ROC curve of "is this that identity?", for any weights of the probe identities."""

    def __init__(self, scores: Array, labels: Whose) -> None:
        probes, identities = scores.shape
        genuine = np.zeros((probes, identities), dtype=bool)
        genuine[np.arange(probes), labels] = True
        flat = scores.ravel()
        order = np.argsort(flat, kind="stable")
        self.genuine = genuine.ravel()[order]
        self.probe = np.repeat(np.arange(probes), identities)[order]
        _, self.level = np.unique(flat[order], return_inverse=True)

    def area(self, weights: Array) -> float:
        """weights [Q]: how often each probe counts."""
        w = weights[self.probe]
        levels = int(self.level[-1]) + 1
        right = np.bincount(self.level, w * self.genuine, levels)
        wrong = np.bincount(self.level, w * ~self.genuine, levels)
        below = np.cumsum(wrong) - wrong
        return float((right * (below + wrong / 2)).sum() / (right.sum() * wrong.sum()))


def roc(scores: Array, labels: Whose) -> tuple[Array, Array]:
    """Shares of wrong and of correct identities accepted, at every threshold."""
    genuine = np.zeros(scores.shape, dtype=bool)
    genuine[np.arange(len(labels)), labels] = True
    order = np.argsort(-scores.ravel(), kind="stable")
    hit = genuine.ravel()[order]
    return np.cumsum(~hit) / (~hit).sum(), np.cumsum(hit) / hit.sum()


@dataclasses.dataclass(frozen=True)
class Interval:
    """A figure with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def figures(matches: Matches) -> dict[str, Array]:
    """Every figure but the areas, for each probe; the mean over probes is the figure."""
    ranks, enrolled = matches.ranks, matches.enrolled_ranks
    return {
        "rank1": (ranks <= 1).astype(np.float64),
        "rank5": (ranks <= 5).astype(np.float64),
        "map": matches.precision,
        "enrolled_rank1": (enrolled <= 1).astype(np.float64),
        "enrolled_rank5": (enrolled <= 5).astype(np.float64),
    }


def evaluate(matches: Sequence[Matches], *, draws: int = 1000, seed: int = 0) -> dict[str, Interval]:
    """All FIGURES, the mean over `matches` (one a training seed), with bootstrap intervals over identities.

    What is drawn with replacement is whom probes belong to, with all windows of an identity and all seeds in which the
    identity is a probe: windows of one identity, and one identity in several trainings, are no independent evidence.
    Galleries stay.
    """
    return _bootstrap([matches], draws, seed)[0]


def compare(
    first: Sequence[Matches], second: Sequence[Matches], *, draws: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """How much larger every figure is in `first` than in `second`, on the same probes, drawn together."""
    for a, b in zip(first, second, strict=True):
        if a.identities != b.identities or not np.array_equal(a.labels, b.labels):
            raise ValueError("compare: expected the same probes of the same identities, found others")
    return _bootstrap([first, second], draws, seed)[1]


def _bootstrap(
    methods: Sequence[Sequence[Matches]], draws: int, seed: int
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Intervals of the first method, and of the first less the last."""
    names = sorted({name for found in methods[0] for name in found.identities})
    place = {name: index for index, name in enumerate(names)}
    owners = [np.array([place[found.identities[p]] for p in found.labels]) for found in methods[0]]
    drawn = np.random.Generator(np.random.PCG64(seed)).multinomial(
        len(names), np.full(len(names), 1.0 / len(names)), draws
    )
    counts = np.concatenate([np.ones((1, len(names)), dtype=np.int64), drawn]).astype(np.float64)
    tables = [_table(method, owners, counts) for method in methods]
    return _intervals(tables[0]), _intervals({name: tables[0][name] - tables[-1][name] for name in tables[0]})


def _table(method: Sequence[Matches], owners: Sequence[Whose], counts: Array) -> dict[str, Array]:
    """Each figure [1 + draws], for every row of identity counts."""
    sums: dict[str, Array] = {}
    totals = np.zeros(len(counts))
    areas: dict[str, list[Array]] = {"auc": [], "enrolled_auc": []}
    for found, owner in zip(method, owners, strict=True):
        weights = counts[:, owner]
        totals += weights.sum(axis=1)
        for name, values in figures(found).items():
            sums[name] = sums.get(name, 0.0) + weights @ values
        for name, scores in (("auc", found.near), ("enrolled_auc", found.enrolled)):
            verification = _Verification(scores, found.labels)
            areas[name].append(np.array([verification.area(row) if row.any() else np.nan for row in weights]))
    table = {name: total / totals for name, total in sums.items()}
    table |= {name: np.nanmean(np.stack(rows), axis=0) for name, rows in areas.items()}
    return {name: table[name] for name in FIGURES}


def _intervals(table: Mapping[str, Array]) -> dict[str, Interval]:
    found = {}
    for name, values in table.items():
        low, high = np.quantile(values[1:], (0.025, 0.975)) if len(values) > 1 else (np.nan, np.nan)
        found[name] = Interval(float(values[0]), float(low), float(high))
    return found
