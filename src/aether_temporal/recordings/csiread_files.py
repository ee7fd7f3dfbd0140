"""Reads what the CSI tools of other chips write, with csiread: logs of Intel 5300 and Atheros, captures of Nexmon.

csiread trusts the lengths in what it is given, so packets are taken apart and checked here, and handed to it one by
one. Frames are magnitudes, antenna by antenna.
"""

from __future__ import annotations

import struct
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import MissingExtraError, RecordingFormatError

from . import raw_frames
from .csi_buffers import subcarriers_by
from .csi_text import Clock32
from .recording import Drop, Drops, Recording, RecordingInfo, describe, rate_of
from .recording_file import Hints, RecordingFile, RecordingFormat, Source

_ANTENNAS = 3
_INTEL = struct.Struct("<BIHHBBBBBbBBHH")
_INTEL_FRAME, _INTEL_SUBCARRIERS = 0xBB, 30
_ATHEROS = struct.Struct("<QHHBBBBBBBBBBBH")
_ATHEROS_BIG = struct.Struct(">QHHBBBBBBBBBBBH")
_TONES = (56, 114)
_NEXMON = struct.Struct("<HbB6sHHHH")
_NEXMON_MAGIC = b"\x11\x11"
_NEXMON_WIDTHS = {64: 20, 128: 40, 256: 80}
"""Subcarriers of a channel of so many MHz."""
_CHIPS = {0x0001: "4339", 0x0003: "4358", 0x0065: "43455c0", 0x006A: "4366c0"}
"""By chip version; 4358 and 4366c0 write floating-point numbers, the others integers."""


def _csiread(what: str) -> Any:
    try:
        import csiread
    except ImportError:
        raise MissingExtraError(
            f"{what}: expected csiread, found it not installed; run `pip install csiread`"
        ) from None
    return csiread


@dataclass
class _Group:
    """Frames of one source and one size."""

    rows: list[NDArray[np.float32]] = field(default_factory=list)
    times: array[float] = field(default_factory=lambda: array("d"))


class _Collector:
    """Frames by the name of their source, and by size."""

    def __init__(self, source: Source, format_: str, hints: Hints) -> None:
        self._source, self._format, self._hints = str(source), format_, hints
        self._groups: dict[str, dict[int, _Group]] = {}
        self.dropped = Drops()
        self.notes: dict[str, None] = {}

    def add(self, name: str, values: NDArray[Any], seconds: float) -> None:
        """A frame: complex values [subcarriers, antennas …]."""
        row = np.abs(np.moveaxis(values, 0, -1)).reshape(-1).astype(np.float32)
        group = self._groups.setdefault(name, {}).setdefault(len(row), _Group())
        group.rows.append(row)
        group.times.append(seconds)

    def file(self, expected: str) -> RecordingFile:
        """The recordings."""
        counts = {name: sum(len(g.rows) for g in sizes.values()) for name, sizes in self._groups.items()}
        if not counts:
            raise RecordingFormatError(
                f"{self._source}: expected {expected}, found none that is whole ({describe(self.dropped)}); "
                "record again"
            )
        infos = tuple(RecordingInfo(i, name, frames) for i, (name, frames) in enumerate(sorted(counts.items())))
        return RecordingFile(self._source, self._format, infos, self._open)

    def _open(self, chosen: RecordingInfo) -> Recording:
        width, group = max(self._groups[chosen.name].items(), key=lambda item: len(item[1].rows))
        dropped = self.dropped + Counter({str(Drop.OTHER_SHAPE): chosen.frames - len(group.rows)})
        times = np.array(group.times, dtype=np.float64)
        times -= times[0]
        return Recording(
            source=self._source,
            name=chosen.name,
            format=self._format,
            frames=np.stack(group.rows),
            subcarriers=subcarriers_by(self._hints, (), width),
            timestamps=times,
            frame_rate=rate_of(times),
            dropped={str(reason): count for reason, count in dropped.items() if count},
            notes=tuple(self.notes),
        )


def _records(source: Source, order: str, dropped: Drops) -> Iterator[bytes]:
    """Records of a log, each behind its length in 16 bits."""
    length = struct.Struct(f"{order}H")
    with source.open() as file:
        while head := file.read(length.size):
            size = length.unpack(head)[0] if len(head) == length.size else 1
            record = file.read(size)
            if len(record) < max(1, size):
                dropped[Drop.CUT] += 1
                return
            yield record


def _intel_bytes(receivers: int, transmitters: int) -> int:
    return (_INTEL_SUBCARRIERS * (receivers * transmitters * 16 + 3) + 6) // 8


def _is_intel(record: bytes) -> bool:
    """Whether a record holds as many bytes of CSI as its numbers of antennas ask for."""
    if len(record) < _INTEL.size or record[0] != _INTEL_FRAME:
        return False
    fields = _INTEL.unpack_from(record)
    receivers, transmitters, size = fields[4], fields[5], fields[12]
    known = 1 <= receivers <= _ANTENNAS and 1 <= transmitters <= _ANTENNAS
    return bool(known and size == _intel_bytes(receivers, transmitters) == len(record) - _INTEL.size)


def read_intel(source: Source, hints: Hints) -> RecordingFile:
    """The frames of a log of the Linux 802.11n CSI Tool. MissingExtraError without csiread."""
    decoder = _csiread("logs of Intel 5300").Intel(None, nrxnum=_ANTENNAS, ntxnum=_ANTENNAS, if_report=False)
    found, clock = _Collector(source, INTEL.name, hints), Clock32()
    for record in _records(source, ">", found.dropped):
        if record[0] != _INTEL_FRAME:
            found.dropped[Drop.OTHER_PACKET] += 1
        elif not _is_intel(record):
            found.dropped[Drop.LENGTH] += 1
        else:
            fields = _INTEL.unpack_from(record)
            decoder.pmsg(record)
            found.add(source.stem, decoder.csi[0, :, : fields[4], : fields[5]], clock.seconds(fields[1]))
    return found.file("frames of Intel 5300 (code 0xBB)")


def _atheros_fields(record: bytes, layout: struct.Struct) -> tuple[int, ...] | None:
    """The fields of a record that holds as many bytes of CSI as it declares antennas and tones."""
    if len(record) < layout.size:
        return None
    fields = layout.unpack_from(record)
    size, tones, receivers, transmitters, payload = fields[1], fields[7], fields[8], fields[9], fields[14]
    known = tones in _TONES and 1 <= receivers <= _ANTENNAS and 1 <= transmitters <= _ANTENNAS
    whole = size == -(-tones * receivers * transmitters * 20 // 8) and layout.size + size + payload <= len(record)
    return fields if known and whole else None


def read_atheros(source: Source, hints: Hints) -> RecordingFile:
    """The frames of a log of the Atheros CSI Tool, of either byte order. MissingExtraError without csiread."""
    order = _atheros_order(source.head()) or "<"
    layout = _ATHEROS if order == "<" else _ATHEROS_BIG
    csiread = _csiread("logs of Atheros")
    decoder = csiread.Atheros(None, nrxnum=_ANTENNAS, ntxnum=_ANTENNAS, tones=max(_TONES), if_report=False)
    found = _Collector(source, ATHEROS.name, hints)
    first: int | None = None
    for record in _records(source, order, found.dropped):
        fields = _atheros_fields(record, layout)
        if fields is None:
            without = len(record) >= layout.size and layout.unpack_from(record)[1] == 0
            found.dropped[Drop.OTHER_PACKET if without else Drop.LENGTH] += 1
            continue
        first = fields[0] if first is None else first
        decoder.pmsg(record + bytes(16), "little" if order == "<" else "big")
        found.add(source.stem, decoder.csi[0, : fields[7], : fields[8], : fields[9]], (fields[0] - first) / 1e6)
    return found.file("frames of Atheros")


def read_nexmon(source: Source, hints: Hints) -> RecordingFile:
    """The frames in a capture of Nexmon's UDP packets; one recording for each core and stream. MissingExtraError
    without csiread or dpkt."""
    csiread = _csiread("captures of Nexmon")
    found = _Collector(source, NEXMON.name, hints)
    decoders: dict[tuple[str, int], Any] = {}
    for seconds, _, payload in raw_frames.payloads(source, found.dropped, (_NEXMON_MAGIC,)):
        width = (len(payload) - _NEXMON.size) // 4
        if width not in _NEXMON_WIDTHS or len(payload) != _NEXMON.size + 4 * width:
            found.dropped[Drop.LENGTH] += 1
            continue
        *_, place, _, version = _NEXMON.unpack_from(payload)
        chip = _CHIPS.get(version, "43455c0")
        unknown = "" if version in _CHIPS else ", which is a guess: this version is not known; compare them with a room"
        found.notes[f"values of chip version 0x{version:04X} were read as those of {chip}{unknown}"] = None
        key = chip, _NEXMON_WIDTHS[width]
        if key not in decoders:
            decoders[key] = csiread.NexmonPull46(None, chip=chip, bw=key[1], if_report=False)
        decoders[key].pmsg(payload)
        found.add(f"core{place & 7}-stream{place >> 3 & 7}", decoders[key].csi[0], seconds)
    return found.file("packets of Nexmon (magic 0x1111)")


def _find_intel(head: bytes) -> int:
    size = int.from_bytes(head[:2], "big")
    return 0 if _is_intel(head[2 : 2 + size]) else -1


def _atheros_order(head: bytes) -> str | None:
    for order, layout in (("<", _ATHEROS), (">", _ATHEROS_BIG)):
        size = struct.unpack_from(f"{order}H", head)[0] if len(head) >= 2 else 0
        fields = _atheros_fields(head[2 : 2 + size], layout)
        if fields is not None and layout.size + fields[1] + fields[14] <= size:
            return order
    return None


_UDP_PORT = struct.pack(">H", 5500)


def _find_nexmon(head: bytes) -> int:
    """A capture in whose first packets a UDP datagram to port 5500 starts with Nexmon's magic."""
    if not head.startswith(raw_frames.MAGICS):
        return -1
    at = head.find(_NEXMON_MAGIC)
    while at >= 0:
        if head[at - 6 : at - 4] == _UDP_PORT and int.from_bytes(head[at - 4 : at - 2], "big") >= 8 + _NEXMON.size:
            return 0
        at = head.find(_NEXMON_MAGIC, at + 1)
    return -1


INTEL = RecordingFormat("intel-5300", "a log of Intel 5300", _find_intel, read_intel)
ATHEROS = RecordingFormat(
    "atheros", "a log of Atheros", lambda head: -1 if _atheros_order(head) is None else 0, read_atheros
)
NEXMON = RecordingFormat("nexmon", "a capture of Nexmon", _find_nexmon, read_nexmon)
