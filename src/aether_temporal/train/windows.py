"""Windows of a dataset: where they begin, and what must be there for one to be cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from aether_temporal.recordings import RecordingError

from .dataset import Dataset, Track

_CHUNK = 1 << 16


def expect_length(track: Track, length: int, what: str = "window") -> None:
    """RecordingError for a track with fewer frames than one window has."""
    if len(track) < length:
        raise RecordingError(
            f"{track.title}: frames: expected at least {length}, one {what}, found {len(track)}; leave this recording "
            "out, or "
            "use shorter ones"
        )


def without_short_stretches(dataset: Dataset, length: int) -> Dataset:
    """The dataset without stretches of fewer than `length` frames, where the same recording has a longer one: a grid
    leaves such between gaps. A recording with none that is long enough stays as it is, to be refused by name."""
    enough = {track.identity for track in dataset if len(track) >= length}
    return dataset.subset(i for i, track in enumerate(dataset) if len(track) >= length or track.identity not in enough)


@dataclasses.dataclass(frozen=True, eq=False)
class Windows:
    """Windows of `length` frames: `places` int64 [n, 2] are (track, first frame), in the order of the dataset."""

    length: int
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.places)


class Stack:
    """Windows of a dataset, float32 [length, F], read when asked for: one by its index, several at once, [n, length, F],
    by a slice that is not empty. `batches` goes through all of them; no more than a batch is in memory."""

    def __init__(self, dataset: Sequence[Track], places: Windows) -> None:
        self._dataset, self._length, self._places = dataset, places.length, places.places.tolist()

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int | slice) -> NDArray[np.float32]:
        if isinstance(index, slice):
            return np.stack([self[i] for i in range(*index.indices(len(self)))])
        track, start = self._places[index]
        return np.array(self._dataset[track].frames[start : start + self._length])

    def batches(self, count: int) -> Iterator[NDArray[np.float32]]:
        """All, `count` at a time."""
        for start in range(0, len(self), count):
            yield self[start : start + count]


def windows(dataset: Sequence[Track], length: int, stride: int | None = None, *, short: str = "error") -> Windows:
    """All windows of `length` frames, each `stride` (None: length) after the one before in its track.

    A track shorter than a window is an error, or, with short="skip", has none. RecordingError.
    """
    step = length if stride is None else stride
    if length < 1 or step < 1:
        raise ValueError(f"length, stride: expected at least 1, found {length}, {step}")
    found = []
    for index, track in enumerate(dataset):
        if short != "skip":
            expect_length(track, length)
        found += [(index, start) for start in range(0, len(track) - length + 1, step)]
    return Windows(length, np.array(found, dtype=np.int64).reshape(-1, 2))


def class_counts(dataset: Sequence[Track], classes: int) -> NDArray[np.int64]:
    """Frames of each class."""
    counts = np.zeros(classes, dtype=np.int64)
    for track in dataset:
        for start in range(0, len(track), _CHUNK):
            labels = np.asarray(track.labels[start : start + _CHUNK])
            counts += np.bincount(labels[labels >= 0], minlength=classes)[:classes]
    return counts


def class_weights(counts: NDArray[np.int64], strength: float = 1.0) -> NDArray[np.float32]:
    """What a frame of each class counts so that rare ones are heard: frequency^-strength, its mean over frames 1; a
    class that does not occur counts 0."""
    there = counts > 0
    weights = np.where(there, np.maximum(counts, 1).astype(np.float64) ** -strength, 0.0)
    total = float((weights * counts).sum())
    return (weights * counts.sum() / total).astype(np.float32) if total > 0 else weights.astype(np.float32)
