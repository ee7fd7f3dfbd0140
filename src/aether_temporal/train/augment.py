"""Views of one window that are still the same person: what contrastive training calls alike.

Frames are amplitudes with the receiver's gain still on them, [T, F]; every strength is relative to the window's mean,
so it means the same at any gain. Phase rotation has no place here: amplitudes do not see it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.float32]


def jittered_start(start: int, length: int, frames: int, most: int, generator: np.random.Generator) -> int:
    """A window's first frame moved by at most `most` frames, the window of `length` staying inside `frames`."""
    moved = start + int(generator.integers(-most, most + 1))
    return min(max(moved, 0), frames - length)


def mask_features(
    frames: Frames, profile: NDArray[np.float32], low: float, high: float, generator: np.random.Generator
) -> Frames:
    """A share low … high of the features set to what they usually are: `profile` [F] (of mean 1) times the frame's
    mean.

    The other values stay as they are. (Zero would say "a deep fade here", which is somebody else's channel.)
    """
    features = frames.shape[1]
    count = int(generator.integers(round(low * features), round(high * features) + 1))
    chosen = generator.choice(features, count, replace=False)
    out = frames.copy()
    out[:, chosen] = frames.mean(axis=1, keepdims=True) * profile[chosen]
    return out


def add_noise(frames: Frames, low: float, high: float, generator: np.random.Generator) -> Frames:
    """Gaussian noise, its standard deviation low … high of the window's mean; amplitudes stay at least 0."""
    sigma = float(generator.uniform(low, high)) * float(frames.mean())
    noise = generator.standard_normal(frames.shape, dtype=np.float32) * np.float32(sigma)
    found: Frames = np.maximum(frames + noise, np.float32(0))
    return found


def scale(frames: Frames, low: float, high: float, generator: np.random.Generator) -> Frames:
    """All of the window times one factor low … high."""
    return frames * np.float32(generator.uniform(low, high))


def drop_frames(frames: Frames, most: float, generator: np.random.Generator) -> Frames:
    """At most a share `most` of the frames lost and drawn in again on the line between their neighbours; the first and
    the last frame, and every one that is kept, stay as they are."""
    length = len(frames)
    inner = length - 2
    count = int(generator.integers(0, int(most * length) + 1))
    if inner <= 0 or count == 0:
        return frames.copy()
    lost = np.sort(generator.choice(inner, min(count, inner), replace=False) + 1)
    kept = np.setdiff1d(np.arange(length), lost, assume_unique=True)
    after = np.searchsorted(kept, lost)
    a, b = kept[after - 1], kept[after]
    share = ((lost - a) / (b - a)).astype(np.float32)[:, None]
    out = frames.copy()
    out[lost] = frames[a] * (1 - share) + frames[b] * share
    return out


@dataclasses.dataclass(frozen=True)
class Views:
    """How views are made: two to four of the five changes each, all of them equally likely; `share` of the views are
    changed at all, the others are as recorded."""

    share: float = 0.5
    changes: tuple[int, int] = (2, 4)
    jitter: int = 3
    masked: tuple[float, float] = (0.05, 0.20)
    noise: tuple[float, float] = (0.01, 0.05)
    scale: tuple[float, float] = (0.8, 1.2)
    dropped: float = 0.15

    def view(
        self, frames: Frames, start: int, length: int, profile: NDArray[np.float32], generator: np.random.Generator
    ) -> Frames:
        """One view [length, F], a copy, of the window of `frames` [T, F] that begins at `start`. profile:
        `mask_features`."""
        window = frames[start : start + length]
        if generator.random() >= self.share:
            return np.array(window)
        count = int(generator.integers(self.changes[0], self.changes[1] + 1))
        chosen = set(generator.choice(5, count, replace=False).tolist())
        if 0 in chosen:
            start = jittered_start(start, length, len(frames), self.jitter, generator)
            window = frames[start : start + length]
        out = np.array(window)
        steps: tuple[Callable[[Frames], Frames], ...] = (
            lambda x: drop_frames(x, self.dropped, generator),
            lambda x: mask_features(x, profile, *self.masked, generator),
            lambda x: add_noise(x, *self.noise, generator),
            lambda x: scale(x, *self.scale, generator),
        )
        for index, change in enumerate(steps, start=1):
            if index in chosen:
                out = change(out)
        return out
