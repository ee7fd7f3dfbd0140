"""The recordings of a training: what they hold, what their frames are, what of them is rejected."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from aether_temporal.recordings import (
    RecordingError,
    RecordingShapeError,
)
from aether_temporal.settings import SubcarrierNumberSettings, SubcarrierSettings, TimingSettings
from aether_temporal.subcarriers import parse_layout

WIDEST = 0xFFFF
"""Features of a frame: as many as a blob can state."""


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledRecording:
    """One recording as training sees it: frames float32 [T, F] (perhaps mapped: do not write), labels int64 [T] into
    the dataset's classes, -1 where there is none.

    day: on which it was recorded (UTC, YYYY-MM-DD), "" where that is not known.
    recording_name: shared by the segments of one recording that a grid was cut into. digest: CRC of the frames, which
    finds a copy under another name. fingerprints: find a copy that differs in scale, rounding or ends (`splits`).
    """

    name: str
    session: str
    frames: NDArray[np.float32]
    labels: NDArray[np.int64]
    subject: str | None = None
    source: str = ""
    day: str = ""
    recording_name: str = ""
    digest: int | None = None
    fingerprints: NDArray[np.int64] | None = None

    @property
    def title(self) -> str:
        """The file and the recording in it."""
        return f"{self.source}:{self.name}" if self.source else self.name

    @property
    def recording_id(self) -> str:
        """The same for all segments of one recording."""
        return self.recording_name or self.title

    def __len__(self) -> int:
        return int(self.frames.shape[0])


@dataclasses.dataclass(frozen=True)
class Features:
    """What the frames of a dataset are: what a blob trained on it must say, so that others make them alike.

    frame_rate: frames a second, None where nobody knows. period_us, max_gap_us: of the grid they were put on. pairs:
    I/Q pairs of a raw frame, None where recordings hold features or say which subcarriers they hold; select: which of
    them, None: all. subcarriers: those of the features, by number (`str(SubcarrierMap)`); None: not known.
    """

    frame_rate: float | None = None
    period_us: int | None = None
    max_gap_us: int | None = None
    pairs: int | None = None
    select: tuple[int, ...] | None = None
    subcarriers: str | None = None

    def timing(self, label_delay: int) -> TimingSettings:
        """The blob's timing section for predictions that are `label_delay` frames late."""
        return TimingSettings(label_delay, self.period_us, self.max_gap_us)

    def selection(self) -> dict[str, Any]:
        """The sections of the blob that say which subcarriers its features are: by number where that is known, else by
        index; none where recordings hold features."""
        if self.subcarriers is not None:
            return {"subcarrier_numbers": SubcarrierNumberSettings.of(parse_layout(self.subcarriers))}
        if self.pairs is None:
            return {}
        index = np.array(self.select if self.select is not None else range(self.pairs))
        return {"subcarriers": SubcarrierSettings(self.pairs, index)}

    def notes(self) -> tuple[str, ...]:
        """How the blob will name its subcarriers."""
        if self.subcarriers is not None:
            return (f"the blob names its subcarriers by number: {self.subcarriers}",)
        if self.pairs is None:
            return ()
        return (
            "the blob names I/Q pairs by index, which suits this chip's order alone: the recordings do not say which "
            "subcarriers they hold; state chip or layout (in [reading] of --config, or a manifest)",
        )


class Dataset(Sequence[LabelledRecording]):
    """Recordings of one width, the classes their labels index, and what their frames are."""

    notes: Sequence[str] = ()
    """What was left out or guessed while it was read, for people."""

    def __init__(
        self, recordings: Sequence[LabelledRecording], classes: Sequence[str], features: Features | None = None
    ) -> None:
        self._recordings = list(recordings)
        self.classes = tuple(classes)
        self.features = features or Features()
        widths = {recording.frames.shape[1]: recording for recording in self._recordings}
        if len(widths) > 1:
            (a, first), (b, second) = list(widths.items())[:2]
            raise RecordingShapeError(
                f"{second.title}: frame width: expected {a} features as {first.title} has them, found {b}; "
                "train on recordings of one width, or choose columns that all have (subcarriers in [reading] of "
                "--config)"
            )
        if widths and not 1 <= self.width <= WIDEST:
            raise RecordingShapeError(
                f"{self._recordings[0].title}: frame width: expected 1 to {WIDEST} features, found {self.width}; "
                "choose some of them (subcarriers in [reading] of --config)"
            )

    @overload
    def __getitem__(self, index: int) -> LabelledRecording: ...

    @overload
    def __getitem__(self, index: slice) -> list[LabelledRecording]: ...

    def __getitem__(self, index: int | slice) -> LabelledRecording | list[LabelledRecording]:
        return self._recordings[index]

    def __len__(self) -> int:
        return len(self._recordings)

    @property
    def width(self) -> int:
        """Features a frame."""
        return int(self._recordings[0].frames.shape[1])

    @property
    def frames(self) -> int:
        """Frames of all recordings."""
        return sum(map(len, self._recordings))

    def subset(self, indices: Iterable[int]) -> Dataset:
        """These recordings, in this order."""
        return Dataset([self._recordings[index] for index in indices], self.classes, self.features)


class Joined(Dataset):
    """The recordings of two datasets, in the first one's classes. RecordingError: a class or frames the first lacks."""

    def __init__(self, first: Dataset, second: Dataset) -> None:
        names = np.array([first.classes.index(name) if name in first.classes else -1 for name in second.classes] + [-1])
        for recording in second:
            strange = [second.classes[i] for i in np.unique(recording.labels).tolist() if i >= 0 and names[i] < 0]
            if strange:
                raise RecordingError(
                    f"{recording.title}: labels: expected classes that are trained on ({', '.join(first.classes)}), "
                    f"found {', '.join(strange)}; train on a recording that has it too, or leave this one out"
                )
        if first.features.pairs != second.features.pairs:
            what = [
                "features" if each.features.pairs is None else f"{each.features.pairs} I/Q pairs"
                for each in (first, second)
            ]
            raise RecordingShapeError(
                f"{second[0].title}: frames: expected {what[0]} a frame as {first[0].title} has them, found {what[1]}; "
                "record both alike"
            )
        there = [dataclasses.replace(recording, labels=names[recording.labels]) for recording in second]
        super().__init__([*first, *there], first.classes, first.features)
        self._first = first

    def subset(self, indices: Iterable[int]) -> Dataset:
        """These recordings, in this order; where all are of the first dataset, as one of its kind."""
        chosen = list(indices)
        return self._first.subset(chosen) if max(chosen, default=-1) < len(self._first) else super().subset(chosen)


_CHUNK = 1 << 16


def expect_length(recording: LabelledRecording, length: int, what: str = "window") -> None:
    """RecordingError for a recording with fewer frames than one window has."""
    if len(recording) < length:
        raise RecordingError(
            f"{recording.title}: frames: expected at least {length}, one {what}, found {len(recording)}; where it has "
            f"times, a faster grid gives it more (period_us), or leave out all that are shorter (shortest = {length}): "
            "[reading] of --config"
        )


def without_short_segments(dataset: Dataset, length: int) -> Dataset:
    """The dataset without segments of fewer than `length` frames, where the same recording has a longer one: a grid
    leaves such between gaps. A recording with none that is long enough stays as it is, to be rejected by name."""
    enough = {recording.recording_id for recording in dataset if len(recording) >= length}
    return dataset.subset(
        i for i, recording in enumerate(dataset) if len(recording) >= length or recording.recording_id not in enough
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Windows:
    """Windows of `length` frames: `places` int64 [n, 2] are (recording, first frame), in the order of the dataset."""

    length: int
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.places)


class Stack:
    """Windows of a dataset, float32 [length, F], read when asked for: one by its index, several at once [n, length, F]
    by a slice that is not empty. `batches` goes through all of them; no more than a batch is in memory."""

    def __init__(self, dataset: Sequence[LabelledRecording], places: Windows) -> None:
        self._dataset, self._length, self._places = dataset, places.length, places.places.tolist()

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int | slice) -> NDArray[np.float32]:
        if isinstance(index, slice):
            return np.stack([self[i] for i in range(*index.indices(len(self)))])
        recording, start = self._places[index]
        return np.array(self._dataset[recording].frames[start : start + self._length])

    def batches(self, count: int) -> Iterator[NDArray[np.float32]]:
        """All, `count` at a time."""
        for start in range(0, len(self), count):
            yield self[start : start + count]


def windows(
    dataset: Sequence[LabelledRecording], length: int, stride: int | None = None, *, short: str = "error"
) -> Windows:
    """All windows of `length` frames, each `stride` (None: length) after the one before in its recording.

    A recording shorter than a window is an error, or, with short="skip", has none. RecordingError.
    """
    step = length if stride is None else stride
    if length < 1 or step < 1:
        raise ValueError(f"length, stride: expected at least 1, found {length}, {step}")
    found = []
    for index, recording in enumerate(dataset):
        if short != "skip":
            expect_length(recording, length)
        found += [(index, start) for start in range(0, len(recording) - length + 1, step)]
    return Windows(length, np.array(found, dtype=np.int64).reshape(-1, 2))


def class_counts(dataset: Sequence[LabelledRecording], classes: int) -> NDArray[np.int64]:
    """Frames of each class."""
    counts = np.zeros(classes, dtype=np.int64)
    for recording in dataset:
        for start in range(0, len(recording), _CHUNK):
            labels = np.asarray(recording.labels[start : start + _CHUNK])
            counts += np.bincount(labels[labels >= 0], minlength=classes)[:classes]
    return counts


def class_weights(counts: NDArray[np.int64], strength: float = 1.0) -> NDArray[np.float32]:
    """What a frame of each class counts so that rare ones are heard: frequency^-strength, its mean over frames 1; a
    class that does not occur counts 0."""
    there = counts > 0
    weights = np.where(there, np.maximum(counts, 1).astype(np.float64) ** -strength, 0.0)
    total = float((weights * counts).sum())
    return (weights * counts.sum() / total).astype(np.float32) if total > 0 else weights.astype(np.float32)
