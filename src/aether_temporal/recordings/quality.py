"""Describes a recording as `run` and `train` will use it, warns where it would mislead them, and merges the remarks
about many recordings."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.subcarriers import Band, SubcarrierMap

from .recording import Drop, Recording, describe, gaps_between, rate_of

_CHUNK = 4096
"""Frames that are read together: memory stays bounded for a mapped file."""
_NO_FRAMES = (Drop.OTHER_TEXT, Drop.OTHER_PACKET, Drop.OTHER_SENDER)
"""Reasons that do not mean a frame of this recording was lost."""
_MUCH_DROPPED = 0.1
_BURST = 2.0
"""Frames that arrive together, in the mean, from which on they come in bursts."""
_REPEATED = 0.01
_SATURATED = 0.01
_MANY_DEAD = 0.25
"""Share of columns. Of 64 pairs of a 20 MHz channel 12 carry nothing, which is a fifth."""
_LIMITS = {np.dtype(np.int8): 127, np.dtype(np.int16): 2047}
_REACH = {
    Band.ANY: (1, 26),
    Band.LLTF: (1, 26),
    Band.HTLTF: (1, 28),
    Band.STBC: (1, 28),
    Band.HTLTF40: (2, 58),
    Band.STBC40: (2, 58),
    Band.HELTF: (2, 122),
}
"""The innermost and the outermost subcarrier of a packet, by number without sign."""
_FIRST_WORD = 2
"""I/Q pairs that the first word of a buffer covers."""
_ENOUGH = 20
"""Frames from which on a value that never changes is told from chance."""


@dataclass(frozen=True)
class Gap:
    """A hole in time: where it starts, in seconds since the first frame, and how long it is."""

    start: float
    seconds: float


@dataclass(frozen=True)
class Timing:
    """When frames come. Times in seconds, rates per second.

    rate: outside gaps. median, low, high, longest: of the intervals between frames (low and high: 5th and 95th
    percentile). together: frames that arrive in one go, in the mean; arrivals: how often that happens in a second.
    """

    intervals: int
    rate: float
    median: float
    low: float
    high: float
    longest: float
    together: float
    arrivals: float
    backward: int
    gaps: tuple[Gap, ...]

    @property
    def bursts(self) -> bool:
        """Whether frames come in bursts, so that the rate says little of how often the channel is seen."""
        return self.together >= _BURST and self.intervals >= _ENOUGH


@dataclass(frozen=True)
class RecordingQuality:
    """What a recording holds.

    subcarriers: what the columns are, where the recording knows it. dead: columns that are always zero; frozen: columns
    that are always the same and not zero, while others change; saturated: columns with I or Q at its limit in at least
    1 % of the frames (raw frames only). repeated:
    frames equal to an earlier one; longest_repeat: the most frames in a row that are the same. first_word: the first
    two I/Q pairs hold something of the driver's instead of the channel. level_db: by how much the mean amplitude of
    frames varies (5th to 95th percentile). amplification: the least and the most that the device says it amplified.
    """

    title: str
    source: str
    name: str
    format: str
    subject: str | None
    session: str | None
    frames: int
    raw: bool
    width: int
    bits: int | None
    subcarriers: SubcarrierMap | None
    duration: float | None
    frame_rate: float | None
    timing: Timing | None
    classes: dict[str, int]
    unlabelled: int
    dead: tuple[int, ...]
    frozen: tuple[int, ...]
    saturated: tuple[int, ...]
    repeated: int
    longest_repeat: int
    first_word: bool
    level_db: float | None
    amplification: dict[str, tuple[int, int]]
    dropped: dict[str, int]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def dropped_share(self) -> float:
        """Dropped frames as a share of all frames."""
        return _lost(self.dropped) / max(1, self.frames + _lost(self.dropped))

    @property
    def layout(self) -> str | None:
        """The subcarriers as `--layout` takes them."""
        return None if self.subcarriers is None else str(self.subcarriers)

    def named(self, columns: Sequence[int]) -> str:
        """Columns by the numbers of their subcarriers where these are known, else by index."""
        return _named(self.subcarriers, columns)

    def document(self) -> dict[str, Any]:
        """Ready for JSON (docs/recordings.md has the keys); columns are indices."""
        found = asdict(replace(self, subcarriers=None))
        del found["title"], found["subcarriers"]
        found["source"], found["layout"] = self.source, self.layout
        found["kind"] = "I/Q pairs" if found.pop("raw") else "features"
        found["dropped_share"] = self.dropped_share
        if self.timing is not None:
            found["timing"]["bursts"] = self.timing.bursts
        return found


def quality_of(recording: Recording, select: Sequence[int] | None = None) -> RecordingQuality:
    """Reads all frames once. select: the columns that will be used, of which warnings speak (None: all)."""
    frames = _scan(recording)
    timing = timing_of_frames(recording)
    labels = recording.labels
    counts = (
        np.zeros(0, np.int64)
        if labels is None
        else np.bincount(labels[labels >= 0], minlength=len(recording.label_names))
    )
    dropped = {str(reason): count for reason, count in recording.dropped.items() if count}
    dead = tuple(int(index) for index in np.flatnonzero(~frames.alive)) if len(recording) else ()
    frozen = _frozen(frames, len(recording))
    saturated = tuple(np.flatnonzero(frames.saturated >= max(1, _SATURATED * len(recording))).tolist())
    warned = [
        *_drop_warnings(len(recording), dropped),
        *_time_warnings(timing),
        *_frame_warnings(recording, frames, select),
        *_dead_warnings(recording, dead, select),
        *_frozen_warnings(recording, frozen, select),
        *_saturation_warnings(recording, saturated),
    ]
    return RecordingQuality(
        title=recording.title,
        source=recording.source,
        name=recording.name,
        format=recording.format,
        subject=recording.subject,
        session=recording.session,
        frames=len(recording),
        raw=recording.is_raw,
        width=recording.width,
        bits=None if recording.iq is None else 8 if recording.iq.dtype == np.int8 else 12,
        subcarriers=recording.subcarriers,
        duration=recording.duration,
        frame_rate=recording.frame_rate,
        timing=timing,
        classes={name: int(count) for name, count in zip(recording.label_names, counts, strict=False) if count},
        unlabelled=len(recording) - int(counts.sum()),
        dead=dead,
        frozen=frozen,
        saturated=saturated,
        repeated=frames.repeated,
        longest_repeat=frames.longest,
        first_word=frames.first_word,
        level_db=frames.level_db,
        amplification=dict(recording.amplification),
        dropped=dropped,
        notes=tuple(recording.notes),
        warnings=tuple(warned),
    )


def _named(there: SubcarrierMap | None, columns: Sequence[int]) -> str:
    """'lltf:-26..-20,3', as `--subcarriers` takes them; indices where the numbers are not known."""
    if there is None:
        return _ranges(columns)
    by_band = itertools.groupby(columns, key=lambda column: there.bands[column])
    return ",".join(f"{band}:{_ranges([there.numbers[column] for column in found])}" for band, found in by_band)


def _carries_nothing(there: SubcarrierMap | None, chosen: bool) -> frozenset[int]:
    """The columns that hold no subcarrier of a packet: the centre, and those beyond the outermost. Of either band,
    those of HT-LTF alone count where they are chosen."""
    if there is None:
        return frozenset()
    reach = {**_REACH, Band.ANY: _REACH[Band.HTLTF]} if chosen else _REACH
    return frozenset(
        column
        for column, (band, number) in enumerate(zip(there.bands, there.numbers, strict=True))
        if not reach[band][0] <= abs(number) <= reach[band][1]
    )


def _ranges(columns: Sequence[int]) -> str:
    """'0,27..37'"""
    parts: list[list[int]] = []
    for column in columns:
        if parts and parts[-1][-1] + 1 == column:
            parts[-1].append(column)
        else:
            parts.append([column])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}..{part[-1]}" for part in parts)


# -- time --


def timing_of_frames(recording: Recording) -> Timing | None:
    """When frames come; None where the recording has no times, or time does not pass."""
    stamps = recording.timestamps
    rate = rate_of(stamps)
    if stamps is None or rate is None:
        return None
    steps = np.diff(stamps)
    forward = steps[steps >= 0]
    holes = gaps_between(stamps)
    within = np.delete(steps, holes)
    within = within[within >= 0]
    groups = int((within > 0.5 / rate).sum()) + 1 + len(holes)
    low, median, high = np.quantile(forward, [0.05, 0.5, 0.95])
    return Timing(
        intervals=len(steps),
        rate=rate,
        median=float(median),
        low=float(low),
        high=float(high),
        longest=float(forward.max()),
        together=len(stamps) / groups,
        arrivals=rate * groups / len(stamps),
        backward=int((steps < 0).sum()),
        gaps=tuple(Gap(float(stamps[index] - stamps[0]), float(steps[index])) for index in holes),
    )


def _time_warnings(timing: Timing | None) -> Iterator[str]:
    if timing is None:
        return
    if timing.backward:
        times = "once" if timing.backward == 1 else f"{timing.backward} times"
        yield f"the timestamps go back {times}; frames are taken in the file's order"
    if timing.bursts:
        yield (
            f"frames come in bursts: {timing.together:.3g} at a time, {timing.arrivals:.3g} times a second, although "
            f"the mean rate is {timing.rate:.3g} a second"
        )
    if timing.gaps:
        longest = max(gap.seconds for gap in timing.gaps)
        what = "a gap of" if len(timing.gaps) == 1 else f"{len(timing.gaps)} gaps of up to"
        yield f"{what} {longest:.3g} s: without a grid, the frames on both sides count as neighbours"


# -- frames --


@dataclass
class _Frames:
    """What one pass over the frames found."""

    alive: NDArray[np.bool_]
    changing: NDArray[np.bool_]
    saturated: NDArray[np.int64]
    repeated: int = 0
    longest: int = 0
    first_word: bool = False
    level_db: float | None = None


def _scan(recording: Recording) -> _Frames:
    values: NDArray[Any] | None = recording.iq if recording.iq is not None else recording.frames
    assert values is not None
    none = np.zeros(recording.width, np.bool_)
    found = _Frames(none, none.copy(), np.zeros(recording.width, np.int64))
    limit = _LIMITS.get(values.dtype)
    seen: set[int] = set()
    before, run = b"", 0
    means: list[NDArray[np.float64]] = []
    for start in range(0, len(values), _CHUNK):
        part: NDArray[Any] = np.ascontiguousarray(values[start : start + _CHUNK])
        pairs = part.reshape(len(part), recording.width, -1)
        found.alive |= pairs.any(axis=(0, 2))
        found.changing |= (pairs != np.asarray(values[0]).reshape(recording.width, -1)).any(axis=(0, 2))
        if limit is not None:
            found.saturated += ((pairs >= limit) | (pairs <= -limit)).any(axis=2).sum(axis=0)
        means.append(np.sqrt((pairs.astype(np.float64) ** 2).sum(axis=2)).mean(axis=1))
        for row in part:
            data = row.tobytes()
            run = run + 1 if data == before else 1
            found.longest, before = max(found.longest, run), data
            key = hash(data)
            found.repeated += key in seen
            seen.add(key)
    found.first_word = recording.iq is not None and _has_first_word(recording.iq)
    found.level_db = _level(np.concatenate(means)) if means else None
    return found


def _level(means: NDArray[np.float64]) -> float | None:
    means = means[means > 0]
    if not len(means):
        return None
    low, high = np.quantile(means, [0.05, 0.95])
    return float(20 * np.log10(high / low))


def _has_first_word(iq: NDArray[Any]) -> bool:
    """Whether the first four bytes hold a number of the driver's, such as the packet's length: all of them but the
    lowest stay as they are while the next pairs change."""
    if len(iq) < _ENOUGH or iq.shape[1] <= 2 * _FIRST_WORD:
        return False
    word = iq[:, :_FIRST_WORD].reshape(len(iq), -1)
    after = iq[:, _FIRST_WORD : 2 * _FIRST_WORD].reshape(len(iq), -1)
    steady = [len(np.unique(column)) <= 2 for column in word.T]
    changing = [len(np.unique(column)) > 2 for column in after.T]
    return all(steady[1:]) and any(changing) and bool(word[:, 1:].any())


def _frame_warnings(recording: Recording, frames: _Frames, select: Sequence[int] | None) -> Iterator[str]:
    count = len(recording)
    if frames.repeated >= 3 and frames.repeated > _REPEATED * count:
        row = f", {frames.longest} in a row" if frames.longest > 1 else ""
        yield f"{frames.repeated} of {count} frames repeat an earlier one exactly{row}: the sender's buffer froze"
    covered = [column for column in range(_FIRST_WORD) if select is None or column in select]
    if frames.first_word and covered:
        there = recording.subcarriers
        names = "" if there is None else f" ({_named(there, covered)})"
        yield (
            f"the driver's first word stands in place of I/Q pairs {_ranges(covered)}{names}: select others with "
            "--subcarriers"
        )


def _saturation_warnings(recording: Recording, saturated: Sequence[int]) -> Iterator[str]:
    if saturated:
        yield (
            "subcarriers that are saturated, I or Q at its limit in at least 1 % of the frames: "
            f"{_named(recording.subcarriers, saturated)}"
        )


def _dead_warnings(recording: Recording, dead: Sequence[int], select: Sequence[int] | None) -> Iterator[str]:
    used = set(range(recording.width) if select is None else select) - _carries_nothing(
        recording.subcarriers, select is not None
    )
    found = [index for index in dead if index in used]
    known = select is not None or recording.subcarriers is not None
    # Without a layout, guard subcarriers are dead as they should be.
    if found and (known or len(found) > _MANY_DEAD * recording.width):
        what = "subcarriers" if recording.is_raw else "features"
        yield f"{what} that should carry something but are always zero: {_named(recording.subcarriers, found)}"


def _frozen(frames: _Frames, count: int) -> tuple[int, ...]:
    """Columns that keep one value while others change; the driver's first word is no column of the channel."""
    if count < _ENOUGH or not frames.changing.any():
        return ()
    found = np.flatnonzero(frames.alive & ~frames.changing).tolist()
    return tuple(column for column in found if not (frames.first_word and column < _FIRST_WORD))


def _frozen_warnings(recording: Recording, frozen: Sequence[int], select: Sequence[int] | None) -> Iterator[str]:
    found = [column for column in frozen if select is None or column in select]
    if found:
        what = "subcarriers" if recording.is_raw else "features"
        names = _named(recording.subcarriers, found)
        yield f"{what} that never change, although they are not zero: {names}: leave them out (--subcarriers)"


def _lost(dropped: dict[str, int]) -> int:
    return sum(count for reason, count in dropped.items() if reason not in _NO_FRAMES)


def _drop_warnings(frames: int, dropped: dict[str, int]) -> Iterator[str]:
    lost = _lost(dropped)
    if lost > _MUCH_DROPPED * (frames + lost):
        counted = {reason: count for reason, count in dropped.items() if reason not in _NO_FRAMES}
        yield f"{lost} of {frames + lost} frames are dropped ({lost / (frames + lost):.0%}): {describe(counted)}"


class Remarks:
    """Counts what was dropped from many recordings, and merges notes that differ only in their numbers."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self._recordings = 0
        self._notes: dict[str, list[tuple[str, str]]] = {}

    def add(self, recording: Recording, notes: Iterable[str]) -> None:
        """Adds a recording and the notes about it."""
        self._recordings += 1
        self.dropped.update(recording.dropped)
        for note in dict.fromkeys(notes):
            self._notes.setdefault(re.sub(r"\d+(\.\d+)?", "0", note), []).append((recording.title, note))

    def notes(self) -> tuple[str, ...]:
        """The notes in order of appearance; each names the recordings it applies to unless it applies to all."""
        return tuple(self._attributed(found) for found in self._notes.values())

    def _attributed(self, found: list[tuple[str, str]]) -> str:
        title, note = found[0]
        if len(found) == self._recordings and all(other == note for _, other in found):
            return note
        if len(found) == 1:
            return f"{title}: {note}"
        return f"{len(found)} of {self._recordings} recordings, such as {title}: {note}"
