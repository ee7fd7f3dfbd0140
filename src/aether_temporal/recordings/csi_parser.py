"""Parses lines of CSI text into records, whatever they come from.

Those that cannot be trusted are dropped and counted."""

from __future__ import annotations

import binascii
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from .csi_buffers import HIGH, LOW, NO_FACTS, PacketFacts
from .csi_lines import COLUMNS, KNOWN, Layout, Line, layout_of
from .recording import Drop, Drops
from .recording_file import NOTHING, Hints

MAX_VALUES = 4096
"""More I/Q bytes than any of these chips reports for one frame (612)."""

_TYPE = b"CSI_DATA"
_RECORD = re.compile(rb'"?CSI_DATA"?[ \t]*[,;\t]')
_INTEGER = re.compile(rb"[+-]?[0-9]{1,20}")
_LIST = re.compile(rb"[0-9+\-,; \t]*")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{4,}={0,2}")
_SINGLE = re.compile(rb"([+-]?[0-9]{1,5})(?:\.0*)?")
_SMALL = re.compile(rb"[0-9]{1,2}")
_INVALID_BYTES = 4
"""By `first_word`."""
_LLTF_VALUES = 128
_WORDS_OF_BUFFER = 52
"""Values of an L-LTF in 12-bit words: 26 pairs."""
_RECENT = 1024
"""Records of which a repetition is noticed."""


@dataclass(frozen=True)
class CsiRecord:
    """A record that passed all checks."""

    values: array[int]  # signed, imaginary first, subcarrier by subcarrier; "b", or "h" where one has more than 8 bits
    mac: str  # "" where the layout has none
    microseconds: int | None  # 32 bits, wraps
    seconds: float | None  # a recorder's or the sender's time
    label: str | None
    first_word_invalid: bool
    facts: PacketFacts = NO_FACTS  # what the device says of the packet
    chips: tuple[str, ...] = ()  # the columns are those of one of these; () for any
    amplification: tuple[int | None, ...] = ()  # by csi_lines.AMPLIFICATION; () where the layout has none
    may_be_12_bit: bool = False  # the chip is one whose buffer may hold words of 12 bits


class _Drop(Exception):
    def __init__(self, reason: Drop, why: str = "") -> None:
        self.reason, self.why = reason, why


class CsiParser:
    """Turns lines into records; `dropped` counts the rest.

    Every line is a record, a header, blank, or counted at least once. `layout` is what the last header line states.
    """

    def __init__(self, hints: Hints = NOTHING) -> None:
        self.dropped = Drops()
        self.layout: Layout | None = None
        self.first: dict[Drop, str] = {}  # the first line that was dropped for each reason, and why
        self._number = 0  # of the line
        self._accepted: Layout | None = None  # of the last record
        self._bits = hints.csi_bits
        self._recent: dict[tuple[object, ...], None] = {}

    def records(self, lines: Iterator[Line]) -> Iterator[CsiRecord]:
        for line in lines:
            yield from self.feed(line)

    def feed(self, line: Line) -> list[CsiRecord]:
        """The records of one line: usually one, none when nothing can be trusted."""
        self._number += 1
        if line is None:
            self._drop(Drop.LINE_TOO_LONG)
            return []
        if not line.strip():
            return []
        if self._take_header(line):
            return []
        if self.layout is not None and not self.layout.typed:
            if line.count(self.layout.delimiter.encode()) < self.layout.data:
                self._drop(Drop.OTHER_TEXT)
                return []
            starts, ends = [0], [len(line)]
        else:
            # A record that was cut may be followed by a whole one on the same line.
            starts = [match.start() for match in _RECORD.finditer(line)]
            ends = [*starts[1:], len(line)]
            if not starts:
                self._drop(Drop.OTHER_TEXT if _TYPE not in line else Drop.CUT)
                return []
        found = []
        for start, end in zip(starts, ends, strict=True):
            try:
                found.append(self._record(line[start:end], line[:start]))
            except _Drop as drop:
                self._drop(drop.reason, drop.why)
        return found

    def _drop(self, reason: Drop, why: str = "") -> None:
        self.dropped[reason] += 1
        if reason not in self.first and reason is not Drop.OTHER_TEXT:
            self.first[reason] = f"line {self._number} ({reason}{': ' if why else ''}{why})"

    def _take_header(self, line: bytes) -> bool:
        if b"[" in line or (b"len" not in line.lower() and (self.layout is not None or _RECORD.search(line))):
            return False
        layout = layout_of(line.decode("utf-8", "replace"))
        if layout is None:
            return False
        self.layout = layout
        return True

    def _record(self, record: bytes, before: bytes) -> CsiRecord:
        cells = _listed(record, self.layout) if b"[" in record else _separate(record, self.layout)
        layout = cells.layout
        if layout is None:
            raise _Drop(Drop.COLUMNS, f"expected {self._expected()}, found {len(cells.fields) + 1 + len(cells.after)}")
        values = self._checked(cells, layout)
        self._accepted = layout
        first_word = layout.first_word is not None and _integer(cells.field(layout.first_word), 0, 1) == 1
        if first_word:
            invalid = min(_INVALID_BYTES // values.itemsize, len(values))
            values[:invalid] = array(values.typecode, bytes(invalid * values.itemsize))
        cells = replace(cells, before=before)
        stamp, number = layout.local_timestamp, layout.number
        mac = "" if layout.mac is None else cells.text(layout.mac).lower()
        microseconds = None if stamp is None else _microseconds(cells.field(stamp))
        if microseconds is not None or number is not None:
            self._reject_repeated(mac, microseconds, None if number is None else cells.field(number), values)
        return CsiRecord(
            values=values,
            mac=mac,
            microseconds=microseconds,
            seconds=None if layout.seconds is None else _seconds(cells.text(layout.seconds), layout.delimiter),
            label=None if layout.label is None else cells.text(layout.label),
            first_word_invalid=first_word,
            facts=_facts(cells, layout),
            amplification=tuple(
                None if column is None else _amplification(cells.field(column)) for column in layout.amplification
            ),
            chips=layout.chips,
            may_be_12_bit=layout.may_be_12_bit,
        )

    def _expected(self) -> str:
        """How many columns a record should have."""
        if self.layout is not None:
            return f"{self.layout.columns - self.layout.start} as in the header"
        return f"{COLUMNS}, or a header line" if self._accepted is None else f"{self._accepted.columns} as before"

    def _checked(self, cells: _Cells, layout: Layout) -> array[int]:
        """The values, if they are as many as declared and within 8 bits, or 12 where the layout and their number allow
        it."""
        values, declared = cells.values, len(cells.values)
        if layout.length is not None:
            declared = _integer(cells.field(layout.length), 0, MAX_VALUES)
        count = len(values)
        words = declared in (2 * count, 2 * count + 2) and count == _WORDS_OF_BUFFER and layout.may_be_12_bit
        lltf = layout.lltf_alone and count == _LLTF_VALUES < declared
        if (count != declared and not words and not lltf) or not count or count % 2:
            stated = f"{declared} values as the line states" if count != declared else "an even number of values"
            raise _Drop(Drop.LENGTH, f"expected {stated}, found {count}")
        if values.typecode == "h":
            allowed = layout.may_be_12_bit and count == _WORDS_OF_BUFFER if self._bits is None else self._bits == 12
            if not allowed or min(values) < LOW or max(values) > HIGH:
                raise _Drop(Drop.OUT_OF_RANGE)
        return values

    def _reject_repeated(self, mac: str, microseconds: int | None, number: bytes | None, values: array[int]) -> None:
        key = (mac, microseconds, number, values.tobytes())
        if key in self._recent:
            raise _Drop(Drop.DUPLICATE)
        self._recent[key] = None
        if len(self._recent) > _RECENT:
            del self._recent[next(iter(self._recent))]


@dataclass(frozen=True)
class _Cells:
    """The cells of a record. Those outside it belong to a recorder, and are empty where they are lost.

    layout: None where the number of fields fits none.
    """

    layout: Layout | None
    fields: Sequence[bytes]  # from `type` to the last before the data
    values: array[int]
    after: Sequence[bytes] = ()
    before: bytes = b""

    def field(self, position: int) -> bytes:
        layout = self.layout
        assert layout is not None
        if 0 <= position < layout.data:
            return self.fields[position]
        if position < 0:
            columns = self.before.split(layout.delimiter.encode())
            return _stripped(columns[position - 1]) if len(columns) == layout.start + 1 else b""
        end = layout.data + max(layout.values, 1)
        expected = layout.columns - layout.start - end
        return _stripped(self.after[position - end]) if len(self.after) == expected else b""

    def text(self, position: int) -> str:
        return self.field(position).decode("utf-8", "replace")


def _stripped(field: bytes) -> bytes:
    return field.strip(b'" \t')


_NO_VALUES: array[int] = array("b")


def _listed(record: bytes, layout: Layout | None) -> _Cells:
    """A record with its data in brackets."""
    opening = record.find(b"[")
    head = record[:opening].rstrip(b'" ')
    delimiter = (layout.delimiter.encode() if layout is not None else head[-1:]) or b","
    if not head.endswith(delimiter):
        raise _Drop(Drop.COLUMNS)
    fields = [_stripped(field) for field in head[:-1].split(delimiter)]
    if layout is None:
        layout = _by_fields(fields, delimiter.decode("latin-1"))
    if layout is None or layout.data != len(fields) or layout.values:
        _, _, rest = record.partition(b"]")
        return _Cells(None, fields, _NO_VALUES, rest.split(delimiter)[1:])
    closing = record.find(b"]", opening)
    if closing < 0:
        raise _Drop(Drop.CUT)
    body = record[opening + 1 : closing]
    if not _LIST.fullmatch(body):
        raise _Drop(Drop.NOT_INTEGER)
    values = _array(body.split(b",") if b"," in body else body.split(b";") if b";" in body else body.split())
    rest = record[closing + 1 :].lstrip(b'" ')
    return _Cells(layout, fields, values, rest[1:].split(delimiter) if rest.startswith(delimiter) else ())


def _by_fields(fields: Sequence[bytes], delimiter: str) -> Layout | None:
    """The layout without a header line that has as many fields before the data. A role is a word, never a number."""
    for layout in KNOWN:
        if layout.data == len(fields) and (layout.role is None or not _INTEGER.fullmatch(fields[layout.role])):
            return replace(layout, delimiter=delimiter)
    return None


def _separate(record: bytes, layout: Layout | None) -> _Cells:
    """A record with its data in base64, or in a column for each value."""
    match = _RECORD.match(record)
    delimiter = layout.delimiter.encode() if layout is not None else match[0][-1:] if match else b","
    cells = [_stripped(cell) for cell in record.split(delimiter)]
    if layout is None:
        layout = _by_cells(cells, delimiter.decode("latin-1"))
    if layout is None or len(cells) <= layout.data:
        raise _Drop(Drop.CUT)
    fields, data = cells[: layout.data], cells[layout.data : layout.data + max(layout.values, 1)]
    after = cells[layout.data + max(layout.values, 1) :]
    if layout.values:
        if len(data) < layout.values:
            raise _Drop(Drop.CUT)
        return _Cells(layout, fields, _single_values(data), after)
    if not _BASE64.fullmatch(data[0]) or len(data[0]) % 4:
        raise _Drop(Drop.CUT)
    try:
        return _Cells(layout, fields, array("b", binascii.a2b_base64(data[0], strict_mode=True)), after)
    except binascii.Error:
        raise _Drop(Drop.CUT) from None


def _by_cells(cells: Sequence[bytes], delimiter: str) -> Layout | None:
    """The layout without a header line of this many columns, or of this many and as many values as `len` says."""
    for layout in KNOWN:
        assert layout.length is not None
        count = len(cells) - layout.data
        if count == 1 and layout is not KNOWN[2]:
            return replace(layout, delimiter=delimiter)
        if count > 1 and cells[layout.length] == str(count).encode():
            return replace(layout, delimiter=delimiter, values=count, columns=len(cells))
    return None


def _single_values(cells: Sequence[bytes]) -> array[int]:
    """Values of a column each; columns after the last may be empty, as of a frame that is shorter than others."""
    count = next((i for i in reversed(range(len(cells))) if cells[i]), -1) + 1
    matches = [_SINGLE.fullmatch(cell) for cell in cells[:count]]
    if not all(matches):
        raise _Drop(Drop.NOT_INTEGER)
    return _array([match[1] for match in matches if match is not None])


def _array(numbers: Sequence[bytes]) -> array[int]:
    """Integers of 8 bits, or of 16 where one has more."""
    try:
        return array("b", map(int, numbers))
    except ValueError:
        raise _Drop(Drop.NOT_INTEGER) from None
    except OverflowError:
        pass
    try:
        return array("h", map(int, numbers))
    except ValueError:
        raise _Drop(Drop.NOT_INTEGER) from None
    except OverflowError:
        raise _Drop(Drop.OUT_OF_RANGE) from None


def _integer(field: bytes, low: int, high: int) -> int:
    if not _INTEGER.fullmatch(field):
        raise _Drop(Drop.NOT_INTEGER)
    value = int(field)
    if not low <= value <= high:
        raise _Drop(Drop.OUT_OF_RANGE)
    return value


def _microseconds(field: bytes) -> int:
    # Printed as signed by some versions: the same 32 bits.
    return _integer(field, -(1 << 31), (1 << 32) - 1) % (1 << 32)


def _facts(cells: _Cells, layout: Layout) -> PacketFacts:
    """What the device says of the packet; where but the L-LTF of it is printed, as if it had nothing else."""
    fields = [b"" if column is None else cells.field(column) for column in layout.packet]
    mode, bandwidth, stbc, secondary = (int(field) if _SMALL.fullmatch(field) else None for field in fields)
    if layout.lltf_alone and len(cells.values) == _LLTF_VALUES:
        assert layout.length is not None
        if cells.field(layout.length) != str(_LLTF_VALUES).encode():
            mode, bandwidth, stbc = 0, None, None
    return mode, bandwidth, stbc, secondary


def _amplification(field: bytes) -> int | None:
    """None for what is no byte, signed or not."""
    value = int(field) if re.fullmatch(rb"-?[0-9]{1,3}", field) else 256
    return value if -128 <= value <= 255 else None


def _seconds(text: str, delimiter: str) -> float | None:
    """Seconds (or milliseconds or microseconds since 1970), or an ISO 8601 time; None for anything else."""
    if delimiter != ",":
        text = text.replace(",", ".")  # a decimal comma
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
