"""Labelled recordings as the trainer holds them, and the crops it learns from."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aether_temporal.recordings import Recording, RecordingShapeError, open_recordings

SIDES = ("_RX", "_TX")


@dataclasses.dataclass(frozen=True, eq=False)
class Execution:
    """One recording: frames float32 [T, F], labels int64 [T] into the set's class names."""

    name: str
    session: str
    frames: NDArray[np.float32]
    labels: NDArray[np.int64]


def from_recording(recording: Recording, classes: Sequence[str], names: Sequence[str]) -> Execution:
    """`names`: what each of the recording's labels is called among `classes`. RecordingShapeError when frames lack
    labels."""
    if recording.labels is None or (recording.labels < 0).any():
        raise RecordingShapeError(f"{recording.title}: labels: expected one for every frame, found frames without")
    index = np.array([classes.index(name) for name in names], dtype=np.int64)
    frames = recording.features()
    return Execution(recording.name, recording.session or "", frames, index[recording.labels])


def without_side(name: str) -> str:
    """The activity in a label that also says on which side of the room it was."""
    return next((name.removesuffix(side) for side in SIDES if name.endswith(side)), name)


def load_activities(path: str | os.PathLike[str]) -> tuple[list[Execution], tuple[str, ...]]:
    """All executions of an activity set, and its classes in alphabetical order, the two sides of the room as one.

    RecordingError, RecordingShapeError for a set without labels.
    """
    recordings = list(open_recordings(path))
    activities = [[without_side(name) for name in recording.label_names] for recording in recordings]
    classes = tuple(sorted({name for names in activities for name in names}))
    pairs = zip(recordings, activities, strict=True)
    return [from_recording(recording, classes, names) for recording, names in pairs], classes


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How a crop is varied. Each value 0 switches its part off.

    profile, jitter: standard deviations of a static log gain, smooth over the features and independent for each:
    another
    multipath profile. noise: of a factor for each value. masked: widest run of features that is set to the crop's mean.
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
    exceed warm_up.
    """

    length: int
    count: int
    delay: int
    warm_up: int
    augmentation: Augmentation

    def draw(
        self, executions: Sequence[Execution], generator: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Frames [count, length, F] and targets [count, length]. ValueError for an execution shorter than a crop."""
        frames, targets = [], []
        for which in generator.integers(0, len(executions), self.count):
            execution = executions[which]
            if len(execution.labels) < self.length:
                raise ValueError(
                    f"{execution.name}: expected at least {self.length} frames, found {len(execution.labels)}"
                )
            start = generator.integers(0, len(execution.labels) - self.length + 1)
            stop = start + self.length
            frames.append(self.augmentation.apply(execution.frames[start:stop], generator))
            target = np.full(self.length, -1, dtype=np.int64)
            target[self.warm_up :] = execution.labels[start + self.warm_up - self.delay : stop - self.delay]
            targets.append(target)
        return np.stack(frames), np.stack(targets)
