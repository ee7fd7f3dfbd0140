"""Reads CSI text: the lines of a serial console in a file."""

from __future__ import annotations

import codecs
import math
from array import array
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import RecordingFormatError
from aether_temporal.subcarriers import SubcarrierMap

from .csi_buffers import PacketFacts, is_12_bit, pairs_of, settled_subcarriers
from .csi_lines import AMPLIFICATION, bounded_lines, layout_of
from .csi_parser import CsiParser, CsiRecord
from .recording import Drop, Drops, Recording, RecordingInfo, describe, label_indices, rate_of
from .recording_file import Hints, RecordingFile, RecordingFormat, Source

_PERIOD = 1 << 32


class Clock32:
    """Seconds since the first reading of a counter of microseconds with 32 bits.

    A step forward of less than half a period is elapsed time (wraps included). A step back is a restart of the sender:
    that frame takes no time, and counting continues from it.
    """

    def __init__(self) -> None:
        self.restarts = 0
        self.is_read = False
        self._last = self._elapsed = 0

    def seconds(self, microseconds: int) -> float:
        step = (microseconds - self._last) % _PERIOD if self.is_read else 0
        if step < _PERIOD // 2:
            self._elapsed += step
        else:
            self.restarts += 1
        self._last, self.is_read = microseconds, True
        return self._elapsed / 1e6


class Clock:
    """Seconds since the first record, by the sender's counter, else by a recorder's time."""

    def __init__(self) -> None:
        self._counter = Clock32()
        self._first: float | None = None

    @property
    def restarts(self) -> int:
        """How often the sender started again."""
        return self._counter.restarts

    def seconds(self, record: CsiRecord) -> float | None:
        """None where the record has no time, or another kind of it than those before."""
        if record.microseconds is not None and self._first is None:
            return self._counter.seconds(record.microseconds)
        if record.seconds is not None and not self._counter.is_read:
            self._first = record.seconds if self._first is None else self._first
            return record.seconds - self._first
        return None


def are_words(values: NDArray[Any], may_be_12_bit: bool, hints: Hints) -> bool:
    """Whether values [N, L] are the bytes of 12-bit words: as the user says, else by what they look like."""
    if values.dtype != np.int8 or hints.csi_bits == 8:
        return False
    return (hints.csi_bits == 12 and values.shape[1] >= 4) or (may_be_12_bit and is_12_bit(values, "c5"))


_PREFIX = 64
"""Frames by which 12-bit words are told from pairs of bytes."""


@dataclass
class Frames:
    """The frames of one sender and one size, in order."""

    hints: Hints
    values: array[int] = field(default_factory=lambda: array("b"))
    times: array[float] = field(default_factory=lambda: array("d"))
    clock: Clock = field(default_factory=Clock)
    labels: list[str | None] = field(default_factory=list)
    first_words: int = 0
    may_be_12_bit: bool = True
    facts: set[PacketFacts] = field(default_factory=set)
    amplification: dict[str, tuple[int, int]] = field(default_factory=dict)
    chips: tuple[str, ...] = ()
    _words: bool | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def add(self, record: CsiRecord) -> None:
        """One frame."""
        values = record.values
        if values.typecode != self.values.typecode:
            self.values, values = array("h", self.values), array("h", values)
        self.values.extend(values)
        self.labels.append(record.label)
        self.first_words += record.first_word_invalid
        self.may_be_12_bit &= record.may_be_12_bit
        self.facts.add(record.facts)
        self.chips = record.chips
        for name, factor in zip(AMPLIFICATION, record.amplification, strict=False):
            if factor is not None:
                low, high = self.amplification.get(name, (factor, factor))
                self.amplification[name] = min(low, factor), max(high, factor)
        time = self.clock.seconds(record)
        self.times.append(math.nan if time is None else time)

    def pairs(self, start: int = 0) -> tuple[NDArray[Any], SubcarrierMap | None, tuple[str, ...]]:
        """I/Q pairs from a frame on, int8 or int16, their subcarriers, and notes about these."""
        size = len(self.values) // len(self)
        kind = np.dtype(np.int8 if self.values.typecode == "b" else np.int16)
        words = self._words
        if words is None:
            head = np.array(self.values[: _PREFIX * size], dtype=kind).reshape(-1, size)
            words = are_words(head, self.may_be_12_bit, self.hints)
            if words or len(self) >= _PREFIX:
                self._words = words
        pairs = pairs_of(np.array(self.values[start * size :], dtype=kind).reshape(-1, size), words)
        twelve = words or pairs.dtype == np.int16
        return pairs, *settled_subcarriers(None, self.hints, self.chips, pairs.shape[1], self.facts, twelve_bits=twelve)

    def recording(self, source: str, name: str, notes: tuple[str, ...] = (), **others: Any) -> Recording:
        """All frames."""
        times = np.array(self.times, dtype=np.float64)
        timestamps = None if np.isnan(times).any() else times
        labels, names = label_indices(self.labels)
        pairs, subcarriers, about_them = self.pairs()
        return Recording(
            source=source,
            name=name,
            format=FORMAT.name,
            iq=pairs,
            subcarriers=subcarriers,
            timestamps=timestamps,
            labels=labels if names else None,
            label_names=names,
            frame_rate=rate_of(timestamps),
            amplification=self.amplification,
            notes=(*notes, *about_them),
            **others,
        )


class TextReader:
    """What comes out of CSI text, by sender and size of frame; a file and a live stream use the same."""

    def __init__(self, source: str, hints: Hints) -> None:
        self.source, self.parser, self._hints = source, CsiParser(hints), hints
        self._frames: dict[tuple[str, int], Frames] = {}
        self._counts: dict[str, Counter[int]] = {}

    def count(self, record: CsiRecord) -> int:
        """Counts a record; how many of its sender and size there were."""
        sizes = self._counts.setdefault(record.mac, Counter())
        sizes[len(record.values)] += 1
        return sizes[len(record.values)]

    def frames_of(self, record: CsiRecord) -> Frames:
        """The frames of its sender and size."""
        return self._frames.setdefault((record.mac, len(record.values)), Frames(self._hints))

    def forget(self, record: CsiRecord) -> None:
        """Keeps none of the frames of its sender and size; they stay counted."""
        self._frames.pop((record.mac, len(record.values)), None)

    def only_last(self, record: CsiRecord) -> Frames:
        """The frames of its sender and size again, of which this one alone is kept, read as they all were."""
        kept = replace(
            self.frames_of(record),
            values=array("b"),
            times=array("d"),
            clock=Clock(),
            labels=[],
            first_words=0,
            amplification={},
        )
        self._frames[record.mac, len(record.values)] = kept
        kept.add(record)
        return kept

    def infos(self) -> tuple[RecordingInfo, ...]:
        """Senders, the one with most frames first (ties: in order of appearance)."""
        totals = Counter({mac: sizes.total() for mac, sizes in self._counts.items()})
        return tuple(RecordingInfo(i, mac, frames) for i, (mac, frames) in enumerate(totals.most_common()))

    def open(self, chosen: RecordingInfo, size: int | None = None) -> Recording:
        """The frames of one sender and one size (None: the most frequent). The first two pairs of a frame whose
        `first_word` is set are zero."""
        infos, sizes = self.infos(), self._counts[chosen.name]
        size = size or max(sizes, key=lambda one: sizes[one])
        frames = self._frames[chosen.name, size]
        dropped = Drops(self.parser.dropped)
        before = sizes[size] - len(frames)  # in a stream, until this sender was the one that is taken
        dropped[Drop.OTHER_SENDER] += sum(info.frames for info in infos) - sizes.total() + before
        dropped[Drop.OTHER_SHAPE] += sizes.total() - sizes[size]
        return frames.recording(
            self.source,
            chosen.name,
            dropped={str(reason): count for reason, count in dropped.items() if count},
            notes=(*_notes(frames, infos), *self._first_drops()),
        )

    def _first_drops(self) -> tuple[str, ...]:
        """Where the first line of each kind was dropped."""
        first = self.parser.first.values()
        return (f"dropped first: {', '.join(first)}",) if first else ()


def read_csi_text(source: Source, hints: Hints) -> RecordingFile:
    """One recording for each sender (MAC address). Where none is chosen, the sender with most frames is taken.

    RecordingFormatError where no line can be trusted.
    """
    text = TextReader(str(source), hints)
    with source.open() as file:
        for record in text.parser.records(bounded_lines(file)):
            text.count(record)
            text.frames_of(record).add(record)
    if not text.infos():
        raise nothing_trusted(str(source), text.parser)
    return RecordingFile(text.source, FORMAT.name, text.infos(), text.open, default=0)


def nothing_trusted(source: str, parser: CsiParser) -> RecordingFormatError:
    """The error about text of which no line can be trusted."""
    first = next(iter(parser.first.values()), "")
    return RecordingFormatError(
        f"{source}: expected CSI text lines, found none that can be trusted ({describe(parser.dropped)})"
        f"{'; ' if first else ''}{first}"
    )


def _notes(frames: Frames, infos: tuple[RecordingInfo, ...]) -> list[str]:
    notes = ["the I/Q values have 12 bits"] if frames.pairs(len(frames) - 1)[0].dtype == np.int16 else []
    if frames.first_words:
        notes.append(f"{frames.first_words} frames have an invalid first word: their first two I/Q pairs are zero")
    if frames.clock.restarts:
        notes.append(f"the sender's clock started again {frames.clock.restarts} times")
    if len(infos) > 1:
        notes.append("senders: " + ", ".join(f"{info.name or '(no address)'} {info.frames}" for info in infos[:8]))
    return notes


_HEADER_WITHIN = 64
"""Lines in which a header line is looked for."""


def _find(head: bytes) -> int:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        head = head.replace(b"\x00", b"")
    places = [head.find(text) for text in (b"CSI_DATA", b"first_word", b"local_timestamp")]
    place = 0
    for line in head.split(b"\n", _HEADER_WITHIN)[:_HEADER_WITHIN]:
        if layout_of(line.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")) is not None:
            places.append(place)
            break
        place += len(line) + 1
    return min((place for place in places if place >= 0), default=-1)


FORMAT = RecordingFormat("csi-text", "CSI text lines (CSI_DATA,…)", _find, read_csi_text)
