"""Means over seeds and recordings, with how far they can be trusted."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


@dataclasses.dataclass(frozen=True)
class Mean:
    """A mean and its 95 % confidence interval (nan where there is but one value)."""

    mean: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})" if self.count > 1 else f"{self.mean:.3f}"


def student(count: int) -> float:
    """Student's t at 97.5 % for the mean of `count` values, at least two."""
    return float(stats.t.ppf(0.975, count - 1))


def mean_of(values: Sequence[float]) -> Mean:
    """Of independent values, such as seeds: Student's t."""
    n = len(values)
    mean = float(np.mean(values))
    if n < 2:
        return Mean(mean, math.nan, math.nan, n)
    half = student(n) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Mean(mean, mean - half, mean + half, n)


def share_of(right: Sequence[int], total: Sequence[int], *, seed: int = 0, draws: int = 10_000) -> Mean:
    """A share over groups (recordings), of which some are hard and some easy: bootstrap over the groups."""
    r, n = np.asarray(right, dtype=np.float64), np.asarray(total, dtype=np.float64)
    drawn = np.random.Generator(np.random.PCG64(seed)).integers(0, len(r), (draws, len(r)))
    found = r[drawn].sum(axis=1) / n[drawn].sum(axis=1)
    low, high = np.quantile(found, (0.025, 0.975))
    return Mean(float(r.sum() / n.sum()), float(low), float(high), len(r))
