"""Marks of a recording: hashes by which the same frames are found again in another one, whatever its gain, its rounding
and where it begins and ends.

A row's hash says of 32 pairs of features which is larger: no gain, and hardly any rounding, changes that. A mark is
the hash of eight rows, kept where it falls into an eighth of all hashes: so a stretch keeps its marks when something is
cut off around it. Marks only say where to look; the frames themselves decide.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Marks = NDArray[np.int64]

ROWS = 8
_PAIRS = 32
_KEPT = 8  # one mark in so many is kept
_CHANGES = 4  # rows of a mark that must differ from the one before: what stands still tells nothing
_ALIKE = 8.0  # copies differ so many times less from each other than from frame to frame


def marks(frames: NDArray[np.float32]) -> Marks:
    """Of frames [T, F], int64 [n, 2]: hash and first frame of each mark, by first frame."""
    count, width = frames.shape
    if count < ROWS or width < 2:
        return np.zeros((0, 2), np.int64)
    pairs = np.random.Generator(np.random.PCG64(width)).integers(0, width, (2, _PAIRS))
    rows = np.zeros(count, np.uint64)
    for bit, (one, other) in enumerate(pairs.T.tolist()):
        rows |= (frames[:, one] > frames[:, other]).astype(np.uint64) << np.uint64(bit)
    last = count - ROWS + 1
    hashes, changes = np.zeros(last, np.uint64), np.zeros(last, np.int64)
    for row in range(ROWS):
        hashes = _mixed(hashes ^ rows[row : row + last])
        if row:
            changes += rows[row : row + last] != rows[row - 1 : row - 1 + last]
    first = np.flatnonzero((hashes % _KEPT == 0) & (changes >= _CHANGES))
    return np.stack([hashes[first].view(np.int64), first], axis=1)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A permutation of the 64-bit numbers (the finaliser of SplitMix64)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class Known:
    """Frames [T, F] with their marks, in which those of others are looked for. The frames may be mapped: only where
    marks agree are they read."""

    def __init__(self, found: Sequence[tuple[NDArray[np.float32], Marks]]) -> None:
        self._frames = [frames for frames, _ in found]
        every = np.concatenate([np.zeros((0, 2), np.int64), *(its for _, its in found)])
        self._hashes, first = np.unique(every[:, 0], return_index=True)
        self._starts = every[first, 1]
        self._owners = np.repeat(np.arange(len(found)), [len(its) for _, its in found])[first]

    def find(self, frames: NDArray[np.float32], own: Marks) -> tuple[int, int, int] | None:
        """The first stretch of `frames` that is also here, two marks at least: (its first frame, in which, the first
        frame there), or None."""
        _, mine, here = np.intersect1d(own[:, 0], self._hashes, return_indices=True)
        seen: dict[int, tuple[int, int]] = {}
        order = np.argsort(own[mine, 1])
        for start, place in zip(own[mine[order], 1].tolist(), here[order].tolist(), strict=True):
            owner, there = int(self._owners[place]), int(self._starts[place])
            if _same(frames[start : start + ROWS], self._frames[owner][there : there + ROWS]):
                if owner in seen:
                    first, began = seen[owner]
                    return first, owner, began
                seen[owner] = (start, there)
        return None


def _same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether these rows [ROWS, F] are the same but for their gain and rounding."""
    a, b = (_without_gain(rows.astype(np.float64)) for rows in (one, other))
    return bool(np.abs(a - b).mean() * _ALIKE < np.abs(np.diff(a, axis=0)).mean())


def _without_gain(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = np.abs(rows).mean(axis=1, keepdims=True)
    found: NDArray[np.float64] = rows / np.where(mean > 0, mean, 1.0)
    return found
