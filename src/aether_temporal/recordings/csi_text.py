"""Reads Espressif's CSI text: the lines of a serial console in a file."""

from __future__ import annotations

import codecs
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import RecordingFormatError

from .csi_parser import Clock, CsiParser, CsiRecord, bounded_lines
from .drops import Drop, Drops, describe
from .recording import Recording, RecordingFormat, RecordingInfo, choose, rate_of


@dataclass
class _Frames:
    """The frames of one sender and one size, in order."""

    values: bytearray = field(default_factory=bytearray)
    microseconds: array[int] = field(default_factory=lambda: array("Q"))
    seconds: array[float] = field(default_factory=lambda: array("d"))
    labels: list[str | None] = field(default_factory=list)
    first_words: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def add(self, record: CsiRecord) -> None:
        self.values += record.values
        self.labels.append(record.label)
        self.first_words += record.first_word_invalid
        if record.microseconds is not None:
            self.microseconds.append(record.microseconds)
        if record.seconds is not None:
            self.seconds.append(record.seconds)

    def timestamps(self) -> tuple[NDArray[np.float64] | None, int]:
        """Seconds since the first frame, and how often the sender's clock started again."""
        if len(self.microseconds) == len(self):
            clock = Clock()
            return np.array([clock.seconds(us) for us in self.microseconds], dtype=np.float64), clock.restarts
        if len(self.seconds) == len(self):
            times = np.array(self.seconds, dtype=np.float64)
            return times - times[0], 0
        return None, 0


def _read(path: Path) -> tuple[dict[str, dict[int, _Frames]], CsiParser]:
    senders: dict[str, dict[int, _Frames]] = {}
    parser = CsiParser()
    with path.open("rb") as file:
        for record in parser.records(bounded_lines(file)):
            senders.setdefault(record.mac, {}).setdefault(len(record.values), _Frames()).add(record)
    if not senders:
        hint = ""
        if parser.columns_seen:
            columns, _ = parser.columns_seen.most_common(1)[0]
            wanted = (
                "25 or 15, or a header line" if parser.layout is None else f"{parser.layout.columns} as in the header"
            )
            hint = f"; columns: expected {wanted}, found {columns}"
        raise RecordingFormatError(
            f"{path}: expected CSI text lines, found none that can be trusted ({describe(parser.dropped)}){hint}"
        )
    return senders, parser


def _total(sizes: dict[int, _Frames]) -> int:
    return sum(map(len, sizes.values()))


def _infos(senders: dict[str, dict[int, _Frames]]) -> list[RecordingInfo]:
    """Senders, the one with most frames first (ties: in order of appearance)."""
    ordered = sorted(senders.items(), key=lambda item: -_total(item[1]))
    return [RecordingInfo(index, mac, _total(sizes)) for index, (mac, sizes) in enumerate(ordered)]


def list_csi_text(path: Path) -> list[RecordingInfo]:
    """One entry for each sender (MAC address) in the file."""
    return _infos(_read(path)[0])


def open_csi_text(path: Path, recording: int | str | None = None) -> Recording:
    """The frames of one sender: the one chosen, else the one with most; of several frame sizes the most frequent.

    The first two subcarriers of a frame whose `first_word` is set are zero. RecordingFormatError where no line can be
    trusted.
    """
    senders, parser = _read(path)
    infos = _infos(senders)
    chosen = infos[0] if recording is None else choose(str(path), infos, recording)
    sizes = senders[chosen.name]
    size, frames = max(sizes.items(), key=lambda item: len(item[1]))
    dropped = Drops(parser.dropped)
    dropped[Drop.OTHER_SENDER] += sum(info.frames for info in infos) - chosen.frames
    dropped[Drop.OTHER_SHAPE] += chosen.frames - len(frames)
    timestamps, restarts = frames.timestamps()
    labels, names = _labels(frames.labels)
    return Recording(
        source=str(path),
        name=chosen.name,
        format=FORMAT.name,
        iq=np.frombuffer(bytes(frames.values), dtype=np.int8).reshape(len(frames), size // 2, 2),
        timestamps=timestamps,
        labels=labels,
        label_names=names,
        frame_rate=rate_of(timestamps),
        dropped={str(reason): count for reason, count in dropped.items() if count},
        notes=tuple(_notes(frames, restarts, infos)),
    )


def _labels(texts: list[str | None]) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Labels in the order in which they first appear; "", "unknown" and the like are no label."""
    known = [None if text is None or text.lower() in {"", "unknown", "none", "nan"} else text for text in texts]
    names = tuple(dict.fromkeys(text for text in known if text is not None))
    if not names:
        return None, ()
    index = {name: i for i, name in enumerate(names)}
    return np.array([-1 if text is None else index[text] for text in known], dtype=np.int64), names


def _notes(frames: _Frames, restarts: int, infos: list[RecordingInfo]) -> list[str]:
    notes = []
    if frames.first_words:
        notes.append(f"{frames.first_words} frames have an invalid first word: their first two I/Q pairs are zero")
    if restarts:
        notes.append(f"the sender's clock started again {restarts} times")
    if len(infos) > 1:
        senders = Counter({info.name or "(no address)": info.frames for info in infos})
        notes.append("senders: " + ", ".join(f"{mac} {count}" for mac, count in senders.most_common(8)))
    return notes


def _find(head: bytes) -> int:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        head = head.replace(b"\x00", b"")
    places = [head.find(text) for text in (b"CSI_DATA", b"first_word", b"local_timestamp")]
    return min((place for place in places if place >= 0), default=-1)


FORMAT = RecordingFormat("csi-text", "CSI text lines (CSI_DATA,…)", _find, list_csi_text, open_csi_text)
