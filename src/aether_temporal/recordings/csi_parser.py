"""Parses Espressif's CSI text: bounded lines, column layouts, and the records in them.

A line that cannot be trusted is dropped and counted.
"""

from __future__ import annotations

import codecs
import io
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from .drops import Drop, Drops

MAX_LINE = 65536
"""Bytes. The longest line that Espressif's examples write is below 4 KiB."""

Line = bytes | None
"""A line without its end, or None for one that was longer than MAX_LINE (its bytes are not kept)."""


def bounded_lines(file: BinaryIO, limit: int = MAX_LINE) -> Iterator[Line]:
    """The lines of `file`, in memory bounded by `limit` whatever the file holds.

    A byte order mark is dropped; UTF-16 (what a Windows shell redirects to) is read as such.
    """
    head = file.read(2)
    if head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        encoding = "utf-16-le" if head == codecs.BOM_UTF16_LE else "utf-16-be"
        text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="\n")
        try:
            yield from _lines(lambda n: text.readline(n).encode("latin-1", "replace"), b"", limit)
        finally:
            text.detach()
    else:
        yield from _lines(file.readline, head, limit)


def _lines(readline: Callable[[int], bytes], head: bytes, limit: int) -> Iterator[Line]:
    first = True
    while True:
        if b"\n" in head:  # the two bytes looked at were a whole line
            piece, head = head.split(b"\n", 1)
            piece += b"\n"
        else:
            piece, head = head + readline(limit), b""
        if not piece:
            return
        whole = piece
        too_long = len(piece) >= limit and not piece.endswith(b"\n")
        while len(piece) >= limit and not piece.endswith(b"\n"):
            piece = readline(limit)
            if not piece:
                break
        if first:
            whole, first = whole.removeprefix(codecs.BOM_UTF8), False
        yield None if too_long else whole.rstrip(b"\r\n")


_PERIOD = 1 << 32


class Clock:
    """Seconds since the first reading.

    A step forward of less than half a period is elapsed time (wraps included). A step back is a restart of the sender:
    that frame takes no time, and counting continues from it.
    """

    def __init__(self) -> None:
        self.restarts = 0
        self._last: int | None = None
        self._elapsed = 0

    def seconds(self, microseconds: int) -> float:
        if self._last is not None:
            step = (microseconds - self._last) % _PERIOD
            if step < _PERIOD // 2:
                self._elapsed += step
            else:
                self.restarts += 1
        self._last = microseconds
        return self._elapsed / 1e6


_CLASSIC = (
    "type,id,mac,rssi,rate,sig_mode,mcs,bandwidth,smoothing,not_sounding,aggregation,stbc,fec_coding,sgi,noise_floor,"
    "ampdu_cnt,channel,secondary_channel,local_timestamp,ant,sig_len,rx_state,len,first_word,data"
)
_C5_C6 = (
    "type,id,mac,rssi,rate,noise_floor,fft_gain,agc_gain,channel,local_timestamp,sig_len,rx_state,len,first_word,data"
)

_DATA = ("data", "csidata", "csi")
_FIRST_WORD = ("firstword", "firstwordinvalid")
_SECONDS = ("realtimestamp", "timestamp", "time", "datetime", "hosttimestamp", "hosttime", "pctime", "unixtime")
_LABEL = ("target", "taget", "label", "activity", "class")


@dataclass(frozen=True)
class Layout:
    """Positions are counted from `type` (negative: before it); None: this layout has no such column."""

    columns: int  # in all
    start: int  # where `type` stands; columns before it are a recorder's
    typed: bool  # whether there is a `type` column, so that a record can be found inside a line
    data: int
    length: int
    first_word: int | None
    mac: int | None
    local_timestamp: int | None
    seconds: int | None  # a column with a time of day or seconds
    label: int | None


def _plain(name: str) -> str:
    """'Local_Timestamp' and 'localtimestamp' are one name."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def layout_of(header: str) -> Layout | None:
    """The layout a header line names; None when a column a reader cannot do without (`len`, `data`) is not there."""
    names = [_plain(name) for name in header.strip().strip(",").split(",")]
    data = next((i for i in reversed(range(len(names))) if names[i] in _DATA), None)
    if data is None or "len" not in names or names.index("len") > data:
        return None
    start = names.index("type") if "type" in names else 0

    def column(*wanted: str) -> int | None:
        return next((names.index(name) - start for name in wanted if name in names), None)

    length = column("len")
    assert length is not None
    return Layout(
        columns=len(names),
        start=start,
        typed="type" in names,
        data=data - start,
        length=length,
        first_word=column(*_FIRST_WORD),
        mac=column("mac"),
        local_timestamp=column("localtimestamp"),
        seconds=column(*_SECONDS),
        label=column(*_LABEL),
    )


def _known(header: str) -> Layout:
    layout = layout_of(header)
    assert layout is not None
    return layout


CLASSIC = _known(_CLASSIC)  # ESP32, S2, S3, C3
C5_C6 = _known(_C5_C6)

BY_FIELDS_BEFORE_DATA = {layout.data: layout for layout in (CLASSIC, C5_C6)}


def looks_like_header(line: str) -> bool:
    """Whether a line names columns rather than holding a record."""
    if len(line) > 4096 or "[" in line:
        return False
    names = [_plain(name) for name in line.split(",")]
    return len(names) >= 3 and "len" in names and any(name in _DATA for name in names)


MAX_VALUES = 4096
"""More I/Q bytes than any of these chips reports for one frame (612)."""

_TYPE = b"CSI_DATA"
_RECORD = re.compile(rb'"?CSI_DATA"?[ \t]*,')
_INTEGER = re.compile(rb"[+-]?[0-9]{1,20}")
_LIST = re.compile(rb"[0-9+\-, \t]*")
_INVALID_VALUES = 4  # by `first_word`


@dataclass(frozen=True)
class CsiRecord:
    """A record that passed all checks."""

    values: bytes  # signed 8-bit, imaginary first, subcarrier by subcarrier
    mac: str  # "" where the layout has none
    microseconds: int | None  # 32 bits, wraps
    seconds: float | None  # a recorder's or the sender's time
    label: str | None
    first_word_invalid: bool


class _Drop(Exception):
    def __init__(self, reason: Drop) -> None:
        self.reason = reason


class CsiParser:
    """Turns lines into records; `dropped` counts the rest.

    Every line is a record, a header, blank, or counted at least once.
    """

    def __init__(self) -> None:
        self.dropped = Drops()
        self.layout: Layout | None = None  # by a header line
        self.columns_seen = Drops()  # numbers of fields that no layout has

    def records(self, lines: Iterator[Line]) -> Iterator[CsiRecord]:
        for line in lines:
            yield from self.feed(line)

    def feed(self, line: Line) -> list[CsiRecord]:
        """The records of one line: usually one, none when nothing can be trusted."""
        if line is None:
            self.dropped[Drop.LINE_TOO_LONG] += 1
            return []
        if not line.strip():
            return []
        if self._take_header(line):
            return []
        if self.layout is not None and not self.layout.typed:
            if b"[" not in line:
                self.dropped[Drop.OTHER_TEXT] += 1
                return []
            starts, ends = [0], [len(line)]
        else:
            # A record that was cut may be followed by a whole one on the same line.
            starts = [match.start() for match in _RECORD.finditer(line)]
            ends = [*starts[1:], len(line)]
            if not starts:
                self.dropped[Drop.OTHER_TEXT if _TYPE not in line else Drop.CUT] += 1
                return []
        found = []
        for start, end in zip(starts, ends, strict=True):
            try:
                found.append(self._record(line[start:end], line[:start]))
            except _Drop as drop:
                self.dropped[drop.reason] += 1
        return found

    def _take_header(self, line: bytes) -> bool:
        if b"len" not in line.lower():
            return False
        text = line.decode("utf-8", "replace")
        if not looks_like_header(text):
            return False
        layout = layout_of(text)
        if layout is None:
            return False
        self.layout = layout
        return True

    def _record(self, record: bytes, before: bytes) -> CsiRecord:
        opening = record.find(b"[")
        if opening < 0:
            raise _Drop(Drop.CUT)
        head = record[:opening].rstrip(b'" \t')
        if not head.endswith(b","):
            raise _Drop(Drop.COLUMNS)
        fields = [field.strip(b'" \t') for field in head[:-1].split(b",")]
        layout = self.layout
        if layout is None:
            layout = BY_FIELDS_BEFORE_DATA.get(len(fields))
        if layout is None or layout.data != len(fields):
            self.columns_seen[str(len(fields) + 1)] += 1
            raise _Drop(Drop.COLUMNS)
        closing = record.find(b"]", opening)
        if closing < 0:
            raise _Drop(Drop.CUT)
        values = _values(record[opening + 1 : closing])
        if _integer(fields[layout.length], 0, MAX_VALUES) != len(values) or not values or len(values) % 2:
            raise _Drop(Drop.LENGTH)
        first_word = layout.first_word is not None and _integer(fields[layout.first_word], 0, 1) == 1
        if first_word:
            values = bytes(min(_INVALID_VALUES, len(values))) + values[_INVALID_VALUES:]
        around = _Around(layout, fields, before, record[closing + 1 :])
        stamp = layout.local_timestamp
        return CsiRecord(
            values=values,
            mac="" if layout.mac is None else around.text(layout.mac).lower(),
            microseconds=None if stamp is None else _microseconds(around.field(stamp)),
            seconds=None if layout.seconds is None else _seconds(around.text(layout.seconds)),
            label=None if layout.label is None else around.text(layout.label),
            first_word_invalid=first_word,
        )


class _Around:
    """The fields around the data. Those outside the record belong to a recorder, and are empty where they are lost."""

    def __init__(self, layout: Layout, fields: list[bytes], before: bytes, after: bytes) -> None:
        self._layout, self._fields, self._before, self._after = layout, fields, before, after

    def field(self, position: int) -> bytes:
        layout = self._layout
        if 0 <= position < layout.data:
            return self._fields[position]
        if position < 0:
            # Only a recorder's columns may stand before the record: log output there is not a label.
            columns = self._before.rstrip(b", \t").split(b",")
            return columns[layout.start + position].strip(b'" \t') if len(columns) == layout.start else b""
        rest = self._after.lstrip(b'" \t')
        columns = rest[1:].split(b",") if rest.startswith(b",") else []
        expected = layout.columns - layout.start - layout.data - 1
        return columns[position - layout.data - 1].strip(b'" \t') if len(columns) == expected else b""

    def text(self, position: int) -> str:
        return self.field(position).decode("utf-8", "replace")


def _integer(field: bytes, low: int, high: int) -> int:
    if not _INTEGER.fullmatch(field):
        raise _Drop(Drop.NOT_INTEGER)
    value = int(field)
    if not low <= value <= high:
        raise _Drop(Drop.OUT_OF_RANGE)
    return value


def _values(body: bytes) -> bytes:
    if not _LIST.fullmatch(body):
        raise _Drop(Drop.NOT_INTEGER)
    try:
        numbers = list(map(int, body.split(b",") if b"," in body else body.split()))
    except ValueError:
        raise _Drop(Drop.NOT_INTEGER) from None
    try:
        return array("b", numbers).tobytes()
    except OverflowError:
        raise _Drop(Drop.OUT_OF_RANGE) from None


def _microseconds(field: bytes) -> int:
    # Printed as signed by some versions: the same 32 bits.
    return _integer(field, -(1 << 31), (1 << 32) - 1) % (1 << 32)


def _seconds(text: str) -> float | None:
    """Seconds (or milliseconds or microseconds since 1970), or an ISO 8601 time; None for anything else."""
    try:
        value = float(text)
    except ValueError:
        try:
            return datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError, OSError):
            return None
    if not abs(value) < 1e18:
        return None
    return value / 1e6 if abs(value) > 1e14 else value / 1e3 if abs(value) > 1e11 else value
