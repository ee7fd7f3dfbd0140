"""From recordings to what training sees: checked, put on a grid, cut into segments, labelled. Rejects what no model can
be trained on. And how every training runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import numpy as np

from aether_temporal import crc32
from aether_temporal._internal.toml_settings import Within, check_ranges
from aether_temporal.errors import InvalidArgumentError, InvalidConfigError
from aether_temporal.recordings import Drop, Hints, Recording, RecordingError, RecordingShapeError, resample
from aether_temporal.recordings.quality import Remarks, quality_of
from aether_temporal.recordings.recording_file import parse_axes
from aether_temporal.settings import MAX_DUE, MAX_GAP
from aether_temporal.subcarriers import SubcarrierMap, chip_name, parse_layout, parse_subcarriers

from .dataset import Features, LabelledRecording
from .splits import fingerprint

LONGEST = 1 << 16
"""Frames of the longest window, and samples of the largest batch."""
MAX_GAP_US = 1_000_000
"""The longest gap a grid bridges by default."""
LONGEST_GAP = 15.0
"""Seconds without a packet from which on two frames are no neighbours."""
LARGEST = 2.0**100
"""The largest value a feature may have: sums over all frames of a training then stay within binary32."""
_WRAP = 2**32 / 1e6


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """How a training runs. threads: of torch; shards: parts of a batch, which processes share (`shards`); 0: as many as
    the run was begun with, in a new one 4 under torchrun and else 1. The weights depend on both.

    workers: processes that make batches. checkpoint_every: steps between checkpoints. The weights depend on neither.
    """

    threads: Annotated[int, Within(1, 256)] = 1
    shards: Annotated[int, Within(0, LONGEST)] = 0
    workers: Annotated[int, Within(0, 64)] = 0
    checkpoint_every: Annotated[int, Within(1, 10**9)] = 100

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclasses.dataclass(frozen=True)
class Reading:
    """How recordings become frames.

    label_from: where labels are that no manifest states (`recordings.Sources`). subcarriers: which of them make a
    frame, such as "-26..26"; or select: which columns. chip, layout: which subcarriers recordings hold that do not say.
    axes: of arrays, such as "features,time".
    period_us, max_gap_us: put frames on a grid (`recordings.resample`); a gap begins a new segment. Without a grid,
    frames are taken as they come, and a gap of more than `longest_gap` seconds is an error. agc: removed before the
    grid. leave_out_damaged: leave out frames that are not finite instead of rejecting the recording. shortest: leave
    out recordings, and segments on a grid, of fewer frames. InvalidConfigError names a field out of its range.
    """

    subcarriers: str | None = None
    chip: str | None = None
    layout: str | None = None
    axes: str | None = None
    select: tuple[int, ...] | None = None
    period_us: int | None = None
    max_gap_us: int | None = None
    agc: Literal["none", "mean"] = "mean"
    longest_gap: Annotated[float, Within(1e-6, 1e12)] = LONGEST_GAP
    leave_out_damaged: bool = False
    shortest: Annotated[int, Within(0, LONGEST)] = 0
    label_from: str = ""

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.subcarriers is not None and self.select is not None:
            raise InvalidConfigError.of("select", "none beside subcarriers", self.select)
        try:
            _ = self.wanted, self.hints
        except InvalidArgumentError as error:
            raise InvalidConfigError(str(error)) from None
        if self.period_us is None:
            if self.max_gap_us is not None:
                raise InvalidConfigError.of("max_gap_us", "none without period_us", self.max_gap_us)
            return
        if not 1 <= self.period_us <= MAX_GAP:
            raise InvalidConfigError.of("period_us", f"an integer from 1 to {MAX_GAP}", self.period_us)
        most = min(MAX_GAP, MAX_DUE * self.period_us)
        if self.max_gap_us is not None and not self.period_us <= self.max_gap_us <= most:
            expected = f"an integer from period_us ({self.period_us}) to {most}"
            raise InvalidConfigError.of("max_gap_us", expected, self.max_gap_us)

    @property
    def wanted(self) -> SubcarrierMap | None:
        """The subcarriers that make a frame, where they are named by number."""
        return None if self.subcarriers is None else parse_subcarriers(self.subcarriers)

    @property
    def hints(self) -> Hints:
        """What recordings may not say themselves."""
        return Hints(
            chip=None if self.chip is None else chip_name(self.chip),
            layout=None if self.layout is None else parse_layout(self.layout),
            axes=None if self.axes is None else parse_axes(self.axes),
        )

    @property
    def grid_gap_us(self) -> int:
        """The longest gap that the grid bridges: max_gap_us, else a second as far as the period allows it."""
        assert self.period_us is not None
        default = min(max(self.period_us, MAX_GAP_US), MAX_GAP, MAX_DUE * self.period_us)
        return default if self.max_gap_us is None else self.max_gap_us


class Reporter:
    """Makes features of recordings, one after the other, and takes down what they are: the same subcarriers in the same
    order in all of them. RecordingShapeError: a recording lacks one, or does not say which it has."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._rates: list[float] = []
        self._first: Recording | None = None
        self._wanted = reading.wanted
        self._short: list[str] = []
        self._remarks = Remarks()

    @property
    def notes(self) -> tuple[str, ...]:
        """What would mislead a training, what readers decided, what was left out, and how the blob will name its
        subcarriers, for people."""
        notes = (*self._remarks.notes(), *self.features().notes())
        if not self._short:
            return notes
        shown = ", ".join(self._short[:3]) + (", …" if len(self._short) > 3 else "")
        count = len(self._short)
        return (*notes, f"left out, for they have fewer than {self._reading.shortest} frames: {count} ({shown})")

    def segments(self, recording: Recording) -> Iterator[tuple[Recording, str]]:
        """What is read of the recording (`segments`), without what is too short."""
        made = self._alike(recording)
        columns = recording.columns(self._reading.select if self._wanted is None else self._wanted)
        self._remarks.add(recording, (*recording.notes, *quality_of(recording, columns).warnings))
        for part, recording_id in segments(made, self._reading):
            if len(part) >= self._reading.shortest:
                yield part, recording_id
            else:
                self._short.append(part.title)

    def _alike(self, recording: Recording) -> Recording:
        """The recording's features, those asked for."""
        first, select = self._first, self._reading.select
        if first is None:
            first = self._first = recording
            if self._wanted is None and first.subcarriers is not None:
                columns = first.columns(select)
                self._wanted = first.subcarriers if columns is None else first.subcarriers.select(columns)
        elif self._wanted is None and (first.is_raw, first.width if first.is_raw else 0) != (
            recording.is_raw,
            recording.width if first.is_raw else 0,
        ):
            what = [f"{r.width} I/Q pairs" if r.is_raw else "features" for r in (first, recording)]
            raise RecordingShapeError(
                f"{recording.title}: frames: expected {what[0]} a frame as {first.title} has them, found {what[1]}"
            )
        if recording.frame_rate:
            self._rates.append(recording.frame_rate)
        return recording.selected(select if self._wanted is None else self._wanted)

    def features(self) -> Features:
        """What was found."""
        r, first = self._reading, self._first
        rate = float(np.median(self._rates)) if self._rates else None
        by_index = first is not None and first.is_raw and self._wanted is None
        return Features(
            frame_rate=rate if r.period_us is None else 1e6 / r.period_us,
            period_us=r.period_us,
            max_gap_us=None if r.period_us is None else r.grid_gap_us,
            pairs=first.width if first is not None and by_index else None,
            select=r.select if by_index else None,
            subcarriers=None if self._wanted is None else str(self._wanted),
        )


def segments(recording: Recording, reading: Reading) -> Iterator[tuple[Recording, str]]:
    """The recording (of features, from `Reporter.of`), checked, with its recording_id; on a grid, each segment between
    gaps."""
    _reject_damage(recording, reading)
    _reject_huge(recording)
    recording_id = recording.title
    if reading.period_us is not None:
        made = resample(
            recording,
            reading.period_us,
            reading.grid_gap_us,
            agc=reading.agc,
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
                recording_id,
            )
        return
    _reject_gaps(recording, reading.longest_gap)
    yield recording, recording_id


def _reject_damage(recording: Recording, reading: Reading) -> None:
    bad = recording.dropped.get(str(Drop.NOT_FINITE), 0)
    if bad and not reading.leave_out_damaged:
        raise RecordingError(
            f"{recording.title}: frames: expected finite numbers, found {bad} of {len(recording) + bad} frames with "
            "NaN or "
            "infinity; repair the recording, or leave those frames out (leave_out_damaged)"
        )


def _reject_huge(recording: Recording) -> None:
    if recording.frames is None or not recording.frames.size:
        return
    most = np.maximum(recording.frames.max(axis=1), -recording.frames.min(axis=1))
    worst = int(most.argmax())
    if most[worst] > LARGEST:
        raise RecordingError(
            f"{recording.title}: frames: expected values of at most {LARGEST:.3g}, found {most[worst]:.3g} in frame "
            f"{worst}: sums of such overflow; scale the recording, or leave it out"
        )


def _reject_gaps(recording: Recording, longest: float) -> None:
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
            f"{worst}: {why}; unwrap them, or put the frames on a grid (period_us in [reading] of --config)"
        )
    worst = int(steps.argmax())
    if steps[worst] > longest:
        raise RecordingError(
            f"{recording.title}: timestamps: expected gaps of at most {longest:g} s, found {steps[worst]:.6g} s after "
            f"frame {worst}; split the recording there, or put the frames on a grid "
            "(period_us in [reading] of --config)"
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


def label_recording(
    recording: Recording, recording_id: str, classes: Sequence[str], rename: Callable[[str], str] | None
) -> LabelledRecording:
    assert recording.frames is not None
    labels = np.full(len(recording), -1, dtype=np.int64)
    if recording.labels is not None:
        names = [rename(name) if rename else name for name in recording.label_names]
        table = np.array([classes.index(name) if name in classes else -1 for name in names] + [-1], dtype=np.int64)
        labels = table[recording.labels]
    return LabelledRecording(
        name=recording.name,
        session=recording.session or "",
        frames=recording.frames,
        labels=labels,
        subject=recording.subject,
        source=recording.source,
        day="" if recording.start is None else f"{datetime.fromtimestamp(recording.start, UTC):%Y-%m-%d}",
        recording_name=recording_id,
        digest=crc32(np.ascontiguousarray(recording.frames).data),
        fingerprints=fingerprint(recording.frames),
    )


SIDES = ("_RX", "_TX")


def without_side(name: str) -> str:
    """The activity in a label that also says on which side of the room it was."""
    return next((name.removesuffix(side) for side in SIDES if name.endswith(side)), name)
