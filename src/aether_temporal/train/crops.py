"""Random crops of labelled tracks, varied, in batches that depend on seed and step alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aether_temporal.recordings import RecordingError

from .dataset import Track
from .windows import expect_length

Batch = tuple[NDArray[np.float32], NDArray[np.int64]]


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How a crop is varied. Each value 0 switches its part off.

    profile, jitter: standard deviations of a static log gain, smooth over the features and independent for each:
    another multipath profile. noise: of a factor for each value. masked: widest run of features that is set to the
    crop's mean.
    """

    profile: float = 0.15
    jitter: float = 0.05
    noise: float = 0.02
    masked: int = 6

    def apply(self, frames: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
        """A varied copy of frames [T, F]."""
        features = frames.shape[1]
        knots = np.linspace(0, features - 1, 8)
        smooth = np.interp(np.arange(features), knots, generator.normal(0.0, 1.0, 8)) * self.profile
        out = frames * np.exp(smooth + generator.normal(0.0, 1.0, features) * self.jitter)
        if self.noise:
            out *= 1.0 + generator.normal(0.0, self.noise, out.shape)
        for _ in range(2 if self.masked else 0):
            start, width = generator.integers(0, features), generator.integers(0, self.masked + 1)
            out[:, start : start + width] = out.mean()
        return np.maximum(out, 0.0).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Crops:
    """Random crops: each `length` frames long, the target of frame t being the label of frame t - delay.

    The first `warm_up` frames of a crop, in which a new stream has seen too little, have no target (-1). delay must not
    exceed warm_up. balance: frames of each class (`class_counts`): crops then end in each class equally often; empty:
    crops lie anywhere.
    """

    length: int
    count: int
    delay: int
    warm_up: int
    augmentation: Augmentation
    balance: tuple[int, ...] = ()

    def check(self, tracks: Sequence[Track]) -> None:
        """RecordingError for a track shorter than a crop, or, where classes are to be balanced, when none of the frames
        that can be a crop's newest target has a label."""
        for track in tracks:
            expect_length(track, self.length, "crop")
        newest = self.length - 1 - self.delay
        if self.balance and not any((track.labels[newest : len(track) - self.delay] >= 0).any() for track in tracks):
            raise RecordingError(
                f"labels: expected some from frame {newest} of a recording on, to balance classes by, found none"
            )

    def draw(self, tracks: Sequence[Track], generator: np.random.Generator) -> Batch:
        """Frames [count, length, F] and targets [count, length]."""
        frames, targets = [], []
        for _ in range(self.count):
            track, start = self._place(tracks, generator)
            stop = start + self.length
            frames.append(self.augmentation.apply(track.frames[start:stop], generator))
            target = np.full(self.length, -1, dtype=np.int64)
            target[self.warm_up :] = track.labels[start + self.warm_up - self.delay : stop - self.delay]
            targets.append(target)
        return np.stack(frames), np.stack(targets)

    def _place(self, tracks: Sequence[Track], generator: np.random.Generator) -> tuple[Track, int]:
        """Uniform; balanced by turning down places in proportion to how frequent the newest target's class is."""
        while True:
            track = tracks[int(generator.integers(0, len(tracks)))]
            start = int(generator.integers(0, len(track) - self.length + 1))
            if not self.balance:
                return track, start
            label = int(track.labels[start + self.length - 1 - self.delay])
            if label >= 0 and generator.random() * self.balance[label] < min(n for n in self.balance if n > 0):
                return track, start


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Batches of one kind of crops or another, by their shares."""

    kinds: tuple[Crops, ...]
    shares: tuple[float, ...]

    def check(self, tracks: Sequence[Track]) -> None:
        """RecordingError for a track shorter than a crop."""
        for kind in self.kinds:
            kind.check(tracks)

    def draw(self, tracks: Sequence[Track], generator: np.random.Generator) -> Batch:
        """A batch of one kind."""
        edges = np.cumsum(self.shares) / sum(self.shares)
        kind = self.kinds[min(int(np.searchsorted(edges, generator.random(), side="right")), len(self.kinds) - 1)]
        return kind.draw(tracks, generator)
