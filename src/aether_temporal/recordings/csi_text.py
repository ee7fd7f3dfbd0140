"""Reads CSI text: the lines of a serial console in a file."""

from __future__ import annotations

import codecs
import math
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import RecordingFormatError

from .containers import Source
from .csi_layouts import COLUMNS, layout_of
from .csi_lines import bounded_lines
from .csi_parser import CsiParser, CsiRecord
from .csi_words import is_12_bit, words_of
from .drops import Drop, Drops, describe
from .hints import Hints
from .recording import Recording, RecordingInfo, label_indices, rate_of
from .recording_file import RecordingFile, RecordingFormat

_PERIOD = 1 << 32


class Clock:
    """Seconds since the first record, by the sender's counter, else by a recorder's time.

    A step forward of the counter of less than half a period is elapsed time (wraps included). A step back is a restart
    of the sender: that frame takes no time, and counting continues from it.
    """

    def __init__(self) -> None:
        self.restarts = 0
        self._last: int | None = None
        self._first: float | None = None
        self._elapsed = 0

    def seconds(self, record: CsiRecord) -> float | None:
        """None where the record has no time, or another kind of it than those before."""
        if record.microseconds is not None and self._first is None:
            if self._last is not None:
                step = (record.microseconds - self._last) % _PERIOD
                if step < _PERIOD // 2:
                    self._elapsed += step
                else:
                    self.restarts += 1
            self._last = record.microseconds
            return self._elapsed / 1e6
        if record.seconds is not None and self._last is None:
            self._first = record.seconds if self._first is None else self._first
            return record.seconds - self._first
        return None


def pairs_of(values: NDArray[Any], words: bool) -> NDArray[Any]:
    """I/Q pairs [N, pairs, 2] of values [N, L], one each, or (`words`) the bytes of 12-bit words."""
    return words_of(values) if words else values.reshape(len(values), -1, 2)


def are_words(values: NDArray[Any], may_be_12_bit: bool, hints: Hints) -> bool:
    """Whether values [N, L] are the bytes of 12-bit words: as the user says, else by what they look like."""
    if values.dtype != np.int8 or hints.csi_bits == 8:
        return False
    return (hints.csi_bits == 12 and values.shape[1] >= 4) or (may_be_12_bit and is_12_bit(values, "c5"))


@dataclass
class _Frames:
    """The frames of one sender and one size, in order."""

    values: array[int] = field(default_factory=lambda: array("b"))
    times: array[float] = field(default_factory=lambda: array("d"))
    clock: Clock = field(default_factory=Clock)
    labels: list[str | None] = field(default_factory=list)
    first_words: int = 0
    may_be_12_bit: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    def add(self, record: CsiRecord) -> None:
        values = record.values
        if values.typecode != self.values.typecode:
            self.values, values = array("h", self.values), array("h", values)
        self.values.extend(values)
        self.labels.append(record.label)
        self.first_words += record.first_word_invalid
        self.may_be_12_bit &= record.may_be_12_bit
        time = self.clock.seconds(record)
        self.times.append(math.nan if time is None else time)

    def pairs(self, hints: Hints) -> NDArray[Any]:
        """I/Q pairs, int8 or int16."""
        values = np.array(self.values, dtype=np.int8 if self.values.typecode == "b" else np.int16)
        values = values.reshape(len(self), -1)
        return pairs_of(values, are_words(values, self.may_be_12_bit, hints))

    def timestamps(self) -> NDArray[np.float64] | None:
        """Seconds since the first frame; None where one has no time."""
        times = np.array(self.times, dtype=np.float64)
        return None if np.isnan(times).any() else times


@dataclass(eq=False)
class _Text:
    """What a file of CSI text holds, by sender and size of frame."""

    source: str
    hints: Hints
    senders: dict[str, dict[int, _Frames]]
    parser: CsiParser

    def infos(self) -> tuple[RecordingInfo, ...]:
        """Senders, the one with most frames first (ties: in order of appearance)."""
        counts = Counter({mac: sum(map(len, sizes.values())) for mac, sizes in self.senders.items()})
        return tuple(RecordingInfo(i, mac, frames) for i, (mac, frames) in enumerate(counts.most_common()))

    def open(self, chosen: RecordingInfo) -> Recording:
        """The frames of one sender, of several sizes the most frequent. The first two pairs of a frame whose
        `first_word` is set are zero."""
        infos, frames = self.infos(), max(self.senders[chosen.name].values(), key=len)
        dropped = Drops(self.parser.dropped)
        dropped[Drop.OTHER_SENDER] += sum(info.frames for info in infos) - chosen.frames
        dropped[Drop.OTHER_SHAPE] += chosen.frames - len(frames)
        timestamps = frames.timestamps()
        labels, names = label_indices(frames.labels)
        return Recording(
            source=self.source,
            name=chosen.name,
            format=FORMAT.name,
            iq=frames.pairs(self.hints),
            timestamps=timestamps,
            labels=labels if names else None,
            label_names=names,
            frame_rate=rate_of(timestamps),
            dropped={str(reason): count for reason, count in dropped.items() if count},
            notes=tuple(_notes(frames, infos)),
        )


def read_csi_text(source: Source, hints: Hints) -> RecordingFile:
    """One recording for each sender (MAC address). Where none is chosen, the sender with most frames is taken.

    RecordingFormatError where no line can be trusted.
    """
    senders: dict[str, dict[int, _Frames]] = {}
    parser = CsiParser(hints)
    with source.open() as file:
        for record in parser.records(bounded_lines(file)):
            senders.setdefault(record.mac, {}).setdefault(len(record.values), _Frames()).add(record)
    if not senders:
        raise nothing_trusted(str(source), parser)
    text = _Text(str(source), hints, senders, parser)
    return RecordingFile(text.source, FORMAT.name, text.infos(), text.open, default=0)


def nothing_trusted(source: str, parser: CsiParser) -> RecordingFormatError:
    """The error about text of which no line can be trusted."""
    hint = ""
    if parser.columns_seen:
        columns, _ = parser.columns_seen.most_common(1)[0]
        wanted = (
            f"{COLUMNS}, or a header line" if parser.layout is None else f"{parser.layout.columns} as in the header"
        )
        hint = f"; columns: expected {wanted}, found {columns}"
    return RecordingFormatError(
        f"{source}: expected CSI text lines, found none that can be trusted ({describe(parser.dropped)}){hint}"
    )


def _notes(frames: _Frames, infos: tuple[RecordingInfo, ...]) -> list[str]:
    notes = []
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
