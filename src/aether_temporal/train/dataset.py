"""The recordings of a training: what they hold, what their frames are, what of them is refused."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from aether_temporal import crc32
from aether_temporal.recordings import (
    Drop,
    Recording,
    RecordingError,
    RecordingShapeError,
    resample,
)
from aether_temporal.recordings.manifest import open_all
from aether_temporal.settings import SubcarrierSettings, TimingSettings

from .marks import Marks, marks

MAX_GAP_US = 1_000_000
"""The longest gap a grid bridges where nothing else is said."""
LONGEST_GAP = 15.0
"""Seconds without a packet from which on two frames are no neighbours."""
WIDEST = 0xFFFF
"""Features of a frame: as many as a blob can state."""
LARGEST = 2.0**100
"""The largest value a feature may have: sums over all frames of a training then stay within binary32."""
_WRAP = 2**32 / 1e6


@dataclasses.dataclass(frozen=True, eq=False)
class Track:
    """One recording as training sees it: frames float32 [T, F] (perhaps mapped: do not write), labels int64 [T] into
    the dataset's classes, -1 where there is none.

    `recording` tells recordings apart: the stretches of one, where a grid began anew, have it in common. `digest` is
    the CRC of the frames, so that a copy under another name is found out; `marks` find out one that is not the same to
    the last bit.
    """

    name: str
    session: str
    frames: NDArray[np.float32]
    labels: NDArray[np.int64]
    person: str | None = None
    source: str = ""
    recording: str = ""
    digest: int | None = None
    marks: Marks | None = None

    @property
    def title(self) -> str:
        """The file and the recording in it."""
        return f"{self.source}:{self.name}" if self.source else self.name

    @property
    def identity(self) -> str:
        """What is the same for all stretches of one recording."""
        return self.recording or self.title

    def __len__(self) -> int:
        return int(self.frames.shape[0])


@dataclasses.dataclass(frozen=True)
class Reading:
    """How recordings become frames.

    select: which features or I/Q pairs. period_us, max_gap_us: put frames on a grid (`recordings.resample`), a gap begins
    a new stretch; without, frames are taken as they come and a gap of more than `longest_gap` seconds is an error.
    gain: before the grid. damaged: leave out frames that are not finite instead of refusing the recording.
    """

    select: tuple[int, ...] | None = None
    period_us: int | None = None
    max_gap_us: int | None = None
    gain: str = "mean"
    longest_gap: float = LONGEST_GAP
    damaged: bool = False


@dataclasses.dataclass(frozen=True)
class Features:
    """What the frames of a dataset are: what a blob trained on it must say, so that others make them alike.

    frame_rate: frames a second, None where nobody knows. period_us, max_gap_us: of the grid they were put on. pairs:
    I/Q pairs of a raw frame, None where recordings hold features; select: which of them, None: all.
    """

    frame_rate: float | None = None
    period_us: int | None = None
    max_gap_us: int | None = None
    pairs: int | None = None
    select: tuple[int, ...] | None = None

    def timing(self, delay: int) -> TimingSettings:
        """The blob's timing section for answers that are `delay` frames late."""
        return TimingSettings(delay, self.period_us, self.max_gap_us)

    def subcarriers(self) -> SubcarrierSettings | None:
        """The blob's subcarriers section; None where recordings hold features."""
        if self.pairs is None:
            return None
        return SubcarrierSettings(self.pairs, np.array(self.select if self.select is not None else range(self.pairs)))


class Dataset(Sequence[Track]):
    """Tracks of one width, the classes their labels index, and what their frames are."""

    def __init__(self, tracks: Sequence[Track], classes: Sequence[str], features: Features | None = None) -> None:
        self._tracks = list(tracks)
        self.classes = tuple(classes)
        self.features = features or Features()
        widths = {track.frames.shape[1]: track for track in self._tracks}
        if len(widths) > 1:
            (a, first), (b, second) = list(widths.items())[:2]
            raise RecordingShapeError(
                f"{second.title}: frame width: expected {a} features as {first.title} has them, found {b}; "
                "train on recordings of one width, or choose columns that all have (select)"
            )
        if widths and not 1 <= self.width <= WIDEST:
            raise RecordingShapeError(
                f"{self._tracks[0].title}: frame width: expected 1 to {WIDEST} features, found {self.width}; choose "
                "some of them (--select)"
            )

    @overload
    def __getitem__(self, index: int) -> Track: ...

    @overload
    def __getitem__(self, index: slice) -> list[Track]: ...

    def __getitem__(self, index: int | slice) -> Track | list[Track]:
        return self._tracks[index]

    def __len__(self) -> int:
        return len(self._tracks)

    @property
    def width(self) -> int:
        """Features a frame."""
        return int(self._tracks[0].frames.shape[1])

    @property
    def frames(self) -> int:
        """Frames of all tracks."""
        return sum(map(len, self._tracks))

    def subset(self, indices: Iterable[int]) -> Dataset:
        """These tracks, in this order."""
        return Dataset([self._tracks[index] for index in indices], self.classes, self.features)

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        rename: Callable[[str], str] | None = None,
        classes: Sequence[str] | None = None,
        reading: Reading | None = None,
    ) -> Dataset:
        """Recordings of a file (or of those a manifest lists) into memory, or of a prepared folder, mapped.

        rename: from a recording's label to a class (such as `without_side`). classes: all there may be (None: those
        that occur, in alphabetical order). RecordingError and its kinds, each naming the file and recording.
        """
        place = Path(path)
        if place.is_dir():
            if rename is not None or reading not in (None, Reading()):
                raise RecordingError(f"{place}: is prepared already: rename and reading were settled then")
            from .prepared import open_prepared  # which knows this file

            return open_prepared(place, classes)
        how = reading or Reading()
        about = Reporter(how)
        found = [part for recording in open_all(place) for part in stretches(about.of(recording), how)]
        if not found:
            raise RecordingError(f"{place}: expected recordings with frames, found none")
        names = classes_of(found, rename, classes)
        tracks = [track_of(recording, identity, names, rename) for recording, identity in found]
        return cls(tracks, names, about.features())


class Reporter:
    """Takes down, recording by recording, what the frames are. RecordingShapeError: raw frames of another size."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._rates: list[float] = []
        self._first: Recording | None = None

    def of(self, recording: Recording) -> Recording:
        """The recording itself."""
        first = self._first = self._first or recording
        if (first.is_raw, first.width if first.is_raw else 0) != (
            recording.is_raw,
            recording.width if first.is_raw else 0,
        ):
            what = [f"{r.width} I/Q pairs" if r.is_raw else "features" for r in (first, recording)]
            raise RecordingShapeError(
                f"{recording.title}: frames: expected {what[0]} a frame as {first.title} has them, found {what[1]}"
            )
        if recording.frame_rate:
            self._rates.append(recording.frame_rate)
        return recording

    def features(self) -> Features:
        """What was found."""
        r = self._reading
        rate = float(np.median(self._rates)) if self._rates else None
        raw = self._first is not None and self._first.is_raw
        return Features(
            frame_rate=rate if r.period_us is None else 1e6 / r.period_us,
            period_us=r.period_us,
            max_gap_us=None if r.period_us is None else r.max_gap_us or MAX_GAP_US,
            pairs=self._first.width if self._first is not None and raw else None,
            select=r.select if raw else None,
        )


def stretches(recording: Recording, reading: Reading) -> Iterator[tuple[Recording, str]]:
    """The recording, checked, with its identity; on a grid, each stretch between gaps."""
    _refuse_damage(recording, reading)
    _refuse_huge(recording)
    identity = recording.title
    if reading.period_us is not None:
        made = resample(
            recording,
            reading.period_us,
            reading.max_gap_us or MAX_GAP_US,
            agc=reading.gain,
            select=reading.select,
        )
        parts = made.segments()
        for number, part in enumerate(parts):
            whole = made.recording
            assert whole.frames is not None
            name = f"{whole.name}+{number}" if len(parts) > 1 else whole.name
            yield (
                dataclasses.replace(
                    whole,
                    name=name,
                    frames=whole.frames[part],
                    timestamps=None,
                    labels=None if whole.labels is None else whole.labels[part],
                ),
                identity,
            )
        return
    _refuse_gaps(recording, reading.longest_gap)
    yield dataclasses.replace(recording, frames=recording.features(reading.select), iq=None), identity


def _refuse_damage(recording: Recording, reading: Reading) -> None:
    bad = recording.dropped.get(str(Drop.NOT_FINITE), 0)
    if bad and not reading.damaged:
        raise RecordingError(
            f"{recording.title}: frames: expected finite numbers, found {bad} of {len(recording) + bad} frames with "
            "NaN or "
            "infinity; repair the recording, or leave those frames out (--leave-out-damaged)"
        )


def _refuse_huge(recording: Recording) -> None:
    if recording.frames is None or not recording.frames.size:
        return
    most = np.maximum(recording.frames.max(axis=1), -recording.frames.min(axis=1))
    worst = int(most.argmax())
    if most[worst] > LARGEST:
        raise RecordingError(
            f"{recording.title}: frames: expected values of at most {LARGEST:.3g}, found {most[worst]:.3g} in frame "
            f"{worst}: sums of such overflow; scale the recording, or leave it out"
        )


def _refuse_gaps(recording: Recording, longest: float) -> None:
    stamps = recording.timestamps
    if stamps is None or len(stamps) < 2:
        return
    steps = np.diff(stamps)
    worst = int(steps.argmin())
    if steps[worst] < 0:
        why = (
            "a 32-bit clock of microseconds wrapped"
            if abs(steps[worst] + _WRAP) < _WRAP / 2
            else "the sender restarted"
        )
        raise RecordingError(
            f"{recording.title}: timestamps: expected ones that never go back, found {steps[worst]:.6g} s after frame "
            f"{worst}: {why}; unwrap them, or put the frames on a grid (--grid), where a step back begins anew"
        )
    worst = int(steps.argmax())
    if steps[worst] > longest:
        raise RecordingError(
            f"{recording.title}: timestamps: expected gaps of at most {longest:g} s, found {steps[worst]:.6g} s after "
            "frame "
            f"{worst}; split the recording there, or put the frames on a grid (--grid), where a gap begins anew"
        )


def classes_of(
    found: Sequence[tuple[Recording, str]], rename: Callable[[str], str] | None, classes: Sequence[str] | None
) -> tuple[str, ...]:
    """All classes; RecordingError for a label that occurs and is none of the given ones."""
    occurring: dict[str, Recording] = {}
    for recording, _ in found:
        if recording.labels is not None:
            for label in np.unique(recording.labels[recording.labels >= 0]).tolist():
                name = recording.label_names[label]
                occurring.setdefault(rename(name) if rename else name, recording)
    if classes is None:
        return tuple(sorted(occurring))
    for name, recording in occurring.items():
        if name not in classes:
            raise RecordingError(
                f"{recording.title}: labels: expected {', '.join(classes)}; found {name!r}: rename it, or leave this "
                "recording out"
            )
    return tuple(classes)


def track_of(recording: Recording, identity: str, classes: Sequence[str], rename: Callable[[str], str] | None) -> Track:
    assert recording.frames is not None
    labels = np.full(len(recording), -1, dtype=np.int64)
    if recording.labels is not None:
        names = [rename(name) if rename else name for name in recording.label_names]
        table = np.array([classes.index(name) if name in classes else -1 for name in names] + [-1], dtype=np.int64)
        labels = table[recording.labels]
    return Track(
        name=recording.name,
        session=recording.session or "",
        frames=recording.frames,
        labels=labels,
        person=recording.subject,
        source=recording.source,
        recording=identity,
        digest=crc32(np.ascontiguousarray(recording.frames)),
        marks=marks(recording.frames),
    )
