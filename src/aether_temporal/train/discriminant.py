"""Linear discriminant analysis in closed form: directions in which persons differ, measured in their own spread.

Cosine or distance in these directions weighs every difference between two windows by how rarely the same person shows
it.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Discriminant:
    """`x @ matrix + bias`: features [n, w] to directions [n, E], the mean of the persons at 0, spread within a person
    1."""

    matrix: Array
    bias: Array

    def __call__(self, features: Array) -> Array:
        return features @ self.matrix + self.bias


_STILL = 1e-12
"""Of the spread of all, what the spread within persons must exceed."""


def fit_discriminant(
    features: Array, persons: NDArray[np.int64], *, dim: int | None = None, shrinkage: float = 0.02
) -> Discriminant:
    """Of features [n, w] and whose each row is [n]; the `dim` most telling directions (None: as many as persons can
    span).

    More directions than persons - 1 are whitened all the same: among persons not met they tell as well, and where few
    were met that matters. shrinkage: share of an equal spread in all (standardised) features. ValueError: fewer than
    two persons, or no spread within any.
    """
    names, index = np.unique(persons, return_inverse=True)
    width = features.shape[1]
    if len(names) < 2:
        raise ValueError(f"persons: expected at least two to tell apart, found {len(names)}")
    if dim is None:
        dim = len(names) - 1
    dim = min(dim, width)
    scale = features.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    x = (features - features.mean(axis=0)) / scale
    count = np.bincount(index)
    centres = np.stack([np.bincount(index, x[:, c]) for c in range(width)], axis=1) / count[:, None]
    weight = (1.0 / count)[index][:, None]  # every person counts the same, however long the captures
    inside = x - centres[index]
    within = (inside * weight).T @ inside / len(names)
    if not np.trace(within) / width > _STILL:
        raise ValueError(
            "frames: expected windows of one person that differ, found all the same but for their gain: there is no "
            "spread to tell persons apart by"
        )
    middle = centres.mean(axis=0)
    between = (centres - middle).T @ (centres - middle) / len(names)
    within = (1 - shrinkage) * within + shrinkage * (np.trace(within) / width) * np.eye(width)
    inverse = np.linalg.inv(np.linalg.cholesky(within))
    _, directions = np.linalg.eigh(inverse @ between @ inverse.T)
    matrix = (inverse.T @ directions)[:, ::-1][:, :dim]
    matrix = matrix * np.where(matrix[np.abs(matrix).argmax(axis=0), np.arange(dim)] < 0, -1.0, 1.0)  # one of two signs
    origin = features.mean(axis=0) / scale + middle
    matrix = matrix / scale[:, None]
    return Discriminant(matrix, -(origin * scale) @ matrix)
