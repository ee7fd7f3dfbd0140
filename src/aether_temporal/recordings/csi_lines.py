"""The lines of CSI text: taken in bounded memory, and which of their columns is what, by a header line or else by their
number."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

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


_ESPRESSIF = (
    "type,id,mac,rssi,rate,sig_mode,mcs,bandwidth,smoothing,not_sounding,aggregation,stbc,fec_coding,sgi,noise_floor,"
    "ampdu_cnt,channel,secondary_channel,local_timestamp,ant,sig_len,rx_state,len,first_word,data"
)
_C5_C6 = (
    "type,id,mac,rssi,rate,noise_floor,fft_gain,agc_gain,channel,local_timestamp,sig_len,rx_state,len,first_word,data"
)
_CSI_TOOL = (
    "type,role,mac,rssi,rate,sig_mode,mcs,bandwidth,smoothing,not_sounding,aggregation,stbc,fec_coding,sgi,noise_floor,"
    "ampdu_cnt,channel,secondary_channel,local_timestamp,ant,sig_len,rx_state,real_time_set,real_timestamp,len,CSI_DATA"
)
_RADAR = (
    "type,sequence,timestamp,taget_seq,taget,mac,rssi,rate,sig_mode,mcs,bandwidth,smoothing,not_sounding,aggregation,"
    "stbc,fec_coding,sgi,noise_floor,ampdu_cnt,channel,secondary_channel,local_timestamp,ant,sig_len,rx_state,agc_gain,"
    "fft_gain,len,first_word,data"
)

_DATA = ("data", "csidata", "csi", "rawcsi", "csiraw")
_FIRST_WORD = ("firstword", "firstwordinvalid")
_NUMBER = ("id", "seq", "sequence")
_SECONDS = ("realtimestamp", "timestamp", "time", "datetime", "hosttimestamp", "hosttime", "pctime", "unixtime")
_LABEL = ("target", "taget", "label", "activity", "class")
AMPLIFICATION = ("fft_gain", "agc_gain")
"""By how much the device amplified a frame, as far as it says so."""
_DELIMITERS = (",", ";", "\t")
_MAX_HEADER = 16384
_MIN_VALUES = 8
"""Columns of single values from which on they are taken for a frame's."""


@dataclass(frozen=True)
class Layout:
    """Positions are counted from `type` (negative: before it); None: this layout has no such column."""

    columns: int  # in all
    start: int  # where `type` stands; columns before it are a recorder's
    typed: bool  # whether there is a `type` column, so that a record can be found inside a line
    delimiter: str
    data: int  # of several columns the first
    values: int  # how many columns of one value each hold the data; 0: one column holds all of them
    length: int | None
    role: int | None
    number: int | None
    first_word: int | None
    mac: int | None
    local_timestamp: int | None
    seconds: int | None  # a column with a time of day or seconds
    label: int | None
    packet: tuple[int | None, ...]  # columns of what older chips say of a packet (csi_buffers.HT_COLUMNS)
    amplification: tuple[int | None, int | None]  # columns of AMPLIFICATION
    chips: tuple[str, ...]  # of one of which such columns come; () for any
    lltf_alone: bool  # `len` may be of a longer buffer, of which the L-LTF alone is printed
    may_be_12_bit: bool  # no chip with the columns of an older buffer writes 12-bit words


def _plain(name: str) -> str:
    """'Local_Timestamp' and 'localtimestamp' are one name."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def layout_of(header: str) -> Layout | None:
    """The layout that a header line names; None where it is none: it names no `len` and `data`, and no columns of
    single values (v0, v1, … or I0, Q0, I1, Q1, …)."""
    if len(header) > _MAX_HEADER or "[" in header:
        return None
    for delimiter in _DELIMITERS:
        found = _layout([_plain(name) for name in header.strip().strip(delimiter).split(delimiter)], delimiter)
        if found is not None:
            return found
    return None


def _layout(names: list[str], delimiter: str) -> Layout | None:
    data = next((i for i in reversed(range(len(names))) if names[i] in _DATA), None)
    values = 0
    if data is None:
        data, values = _numbered(names)
    if len(names) < 3 or data < 0 or "len" in names[data:] or ("len" not in names and not values):
        return None
    start = names.index("type") if "type" in names else 0

    def column(*wanted: str) -> int | None:
        return next((names.index(name) - start for name in wanted if name in names), None)

    return Layout(
        columns=len(names),
        start=start,
        typed="type" in names,
        delimiter=delimiter,
        data=data - start,
        values=values,
        length=column("len"),
        role=column("role"),
        number=column(*_NUMBER),
        first_word=column(*_FIRST_WORD),
        mac=column("mac"),
        local_timestamp=column("localtimestamp"),
        seconds=column(*_SECONDS),
        label=column(*_LABEL),
        packet=tuple(map(column, ("sigmode", "bandwidth", "stbc", "secondarychannel"))),
        amplification=(column("fftgain"), column("agcgain")),
        chips=("esp32",) if "sigmode" in names else ("esp32c5", "esp32c6") if "fftgain" in names else (),
        lltf_alone="realtimeset" in names,
        may_be_12_bit="sigmode" not in names,
    )


def _numbered(names: Sequence[str]) -> tuple[int, int]:
    """Where the longest run of numbered columns starts (-1: there is none), and how many they are."""
    parts = [re.fullmatch(r"([a-z]*?)([0-9]{1,4})", name) for name in names]
    for step in (1, 2):  # v0, v1, … or I0, Q0, I1, Q1, …
        for first in range(len(names) - _MIN_VALUES + 1):
            count = 0
            while first + count < len(names):
                begin, part = parts[first + count % step], parts[first + count]
                if begin is None or part is None or part[1] != begin[1]:
                    break
                if int(part[2]) - int(begin[2]) != count // step:
                    break
                count += 1
            if count >= _MIN_VALUES:
                return first, count
    return -1, 0


def _known(header: str) -> Layout:
    layout = layout_of(header)
    assert layout is not None
    return layout


KNOWN = tuple(map(_known, (_ESPRESSIF, _C5_C6, _CSI_TOOL, _RADAR)))
"""ESP32, S2, S3 and C3; C5, C6 and C61; ESP32-CSI-Tool; the console of esp-radar."""

COLUMNS = ", ".join(str(layout.columns) for layout in KNOWN[:-1]) + f" or {KNOWN[-1].columns}"
"""Their numbers of columns, for errors."""
