"""Which field of a CSI text line means what: by the header line where there is one, else by the number of fields."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
