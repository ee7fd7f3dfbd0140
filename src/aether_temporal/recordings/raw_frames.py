"""Reads raw CSI frames stored one after the other, as a program that writes each UDP payload to a file leaves them; and
raw CSI frames and feature states from packet captures (pcap, pcapng).

`RawCollector` turns packets of one or several nodes into recordings.
"""

from __future__ import annotations

import ipaddress
import os
import struct
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import MissingExtraError, RecordingFormatError
from aether_temporal.subcarriers import SubcarrierMap

from .csi_buffers import pairs_of, settled_subcarriers
from .node_packets import (
    FEATURE_MAGIC_BYTES,
    FEATURES,
    MAX_RAW_FRAME,
    RAW_HEADER,
    RAW_MAGIC_BYTES,
    FeatureState,
    Interleaving,
    RawHeader,
    Sequence,
    has_words,
    parse_feature_state,
    parse_raw_header,
    subcarriers_of,
)
from .recording import Drop, Drops, Recording, RecordingInfo, describe, rate_of
from .recording_file import Hints, RecordingFile, RecordingFormat, Source

# -- Frames one after the other --------------------------------------------------------------------------------


class _Key(NamedTuple):
    """One recording: a node's packets of one kind. Two addresses with the same node id are two nodes."""

    node: int
    source: str
    features: bool


@dataclass
class _Node:
    sequence: Sequence
    interleaving: Interleaving
    sizes: dict[tuple[int, int, int], tuple[bytearray, array[float]]] = field(default_factory=dict)
    dropped: Drops = field(default_factory=Drops)

    def frames(self) -> int:
        return sum(len(times) for _, times in self.sizes.values())


class RawCollector:
    """Collects packets in the order of arrival and returns the recording of one node."""

    def __init__(self, source: str, format_: str, hints: Hints) -> None:
        self._source, self._format, self._hints = source, format_, hints
        self._nodes: dict[_Key, _Node] = {}
        self.dropped = Drops()  # what belongs to no particular node

    def add(self, header: RawHeader, values: bytes, seconds: float | None, source: str = "") -> None:
        """A raw CSI frame; `source` is the sender's address, where there is one."""
        size = (header.n_antennas, header.n_subcarriers, header.layout)
        self._add(_Key(header.node_id, source, False), header.sequence, size, values, seconds)

    def add_state(self, state: FeatureState, seconds: float | None, source: str = "") -> None:
        """A feature-state packet."""
        values = np.array(state.features, dtype="<f4").tobytes()
        self._add(_Key(state.node_id, source, True), state.sequence, (1, len(FEATURES), 0), values, seconds)

    def _add(self, key: _Key, number: int, size: tuple[int, int, int], values: bytes, seconds: float | None) -> None:
        bits = 16 if key.features else 32
        node = self._nodes.setdefault(key, _Node(Sequence(bits), Interleaving(bits)))
        node.interleaving.take(number)
        newest = node.sequence.newest
        if not node.sequence.take(number).in_order:
            node.dropped[Drop.DUPLICATE if number == newest else Drop.LATE] += 1
            return
        data, times = node.sizes.setdefault(size, (bytearray(), array("d")))
        data += values
        times.append(float("nan") if seconds is None else seconds)

    def _names(self) -> dict[str, _Key]:
        """Recordings by name: "node3", "node3-features"; with "@address" where several addresses have that id."""
        ordered = sorted(self._nodes)
        shared = Counter((key.node, key.features) for key in ordered)
        return {
            f"node{key.node}"
            + (f"@{key.source}" if shared[key.node, key.features] > 1 else "")
            + ("-features" if key.features else ""): key
            for key in ordered
        }

    def file(self) -> RecordingFile:
        """The recordings of the nodes."""
        if not self._nodes:
            raise RecordingFormatError(
                f"{self._source}: expected raw CSI frames (magic 0xC5110001) or feature states (0xC5110006), found "
                f"none that is whole ({describe(self.dropped)})"
            )
        infos = tuple(
            RecordingInfo(i, name, self._nodes[key].frames()) for i, (name, key) in enumerate(self._names().items())
        )
        return RecordingFile(self._source, self._format, infos, self._recording)

    def _recording(self, chosen: RecordingInfo) -> Recording:
        key = self._names()[chosen.name]
        node = self._nodes[key]
        (antennas, subcarriers, layout), (data, times) = max(node.sizes.items(), key=lambda item: len(item[1][1]))
        dropped = Drops(self.dropped)
        dropped.update(node.dropped)
        dropped[Drop.OTHER_SENDER] += sum(
            other.frames() for found, other in self._nodes.items() if found.features == key.features and found != key
        )
        dropped[Drop.OTHER_SHAPE] += chosen.frames - len(times)
        stamps = np.array(times, dtype=np.float64)
        timestamps = None if np.isnan(stamps).any() else stamps - stamps[0]
        notes = [f"{node.sequence.missing} frames that the node numbered are missing"] if node.sequence.missing else []
        if node.interleaving.found:
            notes.append(
                f"two nodes say the id {key.node}: their numbers alternate, and frames of one count as late or as "
                "restarts; give each node an id of its own"
            )
        if node.sequence.restarts:
            notes.append(f"the node started again {node.sequence.restarts} times")
        if antennas > 1:
            notes.append(f"{antennas} antennas of {subcarriers} subcarriers each, one after the other")
        frames: NDArray[np.float32] | None = None
        iq: NDArray[np.int8] | NDArray[np.int16] | None = None
        there: SubcarrierMap | None = None
        if key.features:
            frames = np.frombuffer(bytes(data), dtype="<f4").astype(np.float32).reshape(len(times), subcarriers)
        else:
            values = np.frombuffer(bytes(data), dtype=np.int8).reshape(len(times), -1)
            stated = antennas == 1 and has_words(layout)
            words = values.shape[1] >= 4 and (self._hints.csi_bits or (12 if stated else 8)) == 12
            iq = pairs_of(values, words)
            if antennas == 1:
                said = subcarriers_of(layout, subcarriers) if words == stated else None
                there, about_them = settled_subcarriers(said, self._hints, (), iq.shape[1], twelve_bits=words)
                notes += about_them
        return Recording(
            source=self._source,
            name=chosen.name,
            format=self._format,
            frames=frames,
            iq=iq,
            subcarriers=there,
            timestamps=timestamps,
            frame_rate=rate_of(timestamps),
            dropped={str(reason): count for reason, count in dropped.items() if count},
            notes=tuple(notes),
        )


_CHUNK = 1 << 20


def read_frames(file: BinaryIO, dropped: Drops) -> Iterator[tuple[RawHeader, bytes]]:
    """Every whole frame. After damage, reading resumes at the next magic; `dropped` counts the reason.

    Memory is bounded by the largest frame, whatever sizes the file declares.
    """
    data, at, ended = b"", 0, False

    def fill() -> bool:
        """Reads until another whole frame is in `data`, unless the file has ended."""
        nonlocal data, at, ended
        while not ended and len(data) - at < MAX_RAW_FRAME + len(RAW_MAGIC_BYTES):
            more = file.read(_CHUNK)
            ended = not more
            data, at = data[at:] + more, 0
        return at < len(data)

    in_garbage = False
    while fill():
        header = parse_raw_header(data, at)
        if header is not None:
            end = at + header.size
            follows = data[end : end + len(RAW_MAGIC_BYTES)]
            # Whole: another follows, or the file ends, or no other begins inside it (a byte may be lost).
            stop = end + len(RAW_MAGIC_BYTES) - 1
            inside = -1 if follows == RAW_MAGIC_BYTES else data.find(RAW_MAGIC_BYTES, at + 1, stop)
            if end <= len(data) and (follows == RAW_MAGIC_BYTES or inside < 0):
                yield header, data[at + RAW_HEADER.size : end]
                at, in_garbage = end, False
                continue
            dropped[Drop.CUT] += 1
            if inside < 0:
                return
            at, in_garbage = inside, False
            continue
        if data.startswith(RAW_MAGIC_BYTES, at):
            cut = len(data) - at < RAW_HEADER.size
            dropped[Drop.CUT if cut else Drop.HEADER] += 1
            in_garbage = True  # what follows belongs to this frame
        elif not in_garbage:
            dropped[Drop.GARBAGE] += 1
            in_garbage = True
        found = data.find(RAW_MAGIC_BYTES, at + 1)
        # The last three bytes may be the beginning of a magic that the next read completes.
        at = found if found >= 0 else len(data) if ended else max(at + 1, len(data) - len(RAW_MAGIC_BYTES) + 1)


def read_raw_frames(source: Source, hints: Hints) -> RecordingFile:
    """One recording for each node in the file. There are no timestamps in this format."""
    collector = RawCollector(str(source), FORMAT.name, hints)
    with source.open() as file:
        for header, values in read_frames(file, collector.dropped):
            collector.add(header, values, None)
    return collector.file()


def _find(head: bytes) -> int:
    return head.find(RAW_MAGIC_BYTES)


FORMAT = RecordingFormat("raw-frames", "raw CSI frames (magic 0xC5110001)", _find, read_raw_frames)


# -- Packet captures: UDP datagrams that start with the magic of either, on any port ---------------------------


class _BoundedFile:
    """A file that never hands out, or makes room for, more than it holds, whatever a damaged length field asks for."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self._file, self._size, self.name = file, size, name

    def read(self, n: int = -1) -> bytes:
        left = max(0, self._size - self._file.tell())
        return self._file.read(left if n < 0 else min(n, left))

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _dpkt() -> Any:
    try:
        import dpkt
    except ImportError:
        raise MissingExtraError(
            "packet captures: expected dpkt, found it not installed; run `pip install dpkt`"
        ) from None
    return dpkt


def _udp_payload(
    dpkt: Any, reader: Any, packet: bytes, dropped: Drops, magics: tuple[bytes, ...]
) -> tuple[str, bytes] | None:
    """The sender's address and the UDP payload of a captured packet; None (and counted) where it is none, or not
    whole."""
    frame: Any
    link = reader.datalink()
    if link in (dpkt.pcap.DLT_LINUX_SLL, getattr(dpkt.pcap, "DLT_LINUX_SLL2", 276)):
        frame = (dpkt.sll.SLL if link == dpkt.pcap.DLT_LINUX_SLL else dpkt.sll2.SLL2)(packet)
    elif link in (dpkt.pcap.DLT_NULL, dpkt.pcap.DLT_LOOP):
        frame = dpkt.loopback.Loopback(packet)
    elif link in (12, 14, 101, 228, 229):  # raw IP, under its several numbers
        frame = None
    elif link == dpkt.pcap.DLT_EN10MB:
        frame = dpkt.ethernet.Ethernet(packet)
    else:
        raise RecordingFormatError(f"expected Ethernet, cooked, loopback or raw IP packets, found link type {link}")
    if frame is not None:
        ip = frame.data
    else:
        ip = dpkt.ip6.IP6(packet) if packet[:1] and packet[0] >> 4 == 6 else dpkt.ip.IP(packet)
    if isinstance(ip, dpkt.ip.IP) and (ip.mf or ip.offset) and ip.p == dpkt.ip.IP_PROTO_UDP:
        dropped[Drop.FRAGMENT] += 1
        return None
    udp = getattr(ip, "data", None)
    if not isinstance(udp, dpkt.udp.UDP):
        dropped[Drop.OTHER_PACKET] += 1
        return None
    payload = bytes(udp.data)
    if not payload.startswith(magics):
        dropped[Drop.OTHER_PACKET] += 1
        return None
    if len(payload) < udp.ulen - 8:
        dropped[Drop.CUT] += 1
        return None
    return str(ipaddress.ip_address(bytes(ip.src))), payload


def _packets(dpkt: Any, source: Source, file: BinaryIO, dropped: Drops) -> Iterator[tuple[float, Any, bytes]]:
    broken = (dpkt.Error, struct.error, ValueError, IndexError, KeyError, TypeError, OverflowError, EOFError)
    try:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        reader = dpkt.pcap.UniversalReader(_BoundedFile(file, size, str(source)))
    except broken as error:
        raise RecordingFormatError(
            f"{source}: expected a pcap or pcapng capture, found a damaged header ({error})"
        ) from None
    packets = iter(reader)
    while True:
        try:
            seconds, packet = next(packets)
        except StopIteration:
            return
        except broken:
            dropped[Drop.BAD_CAPTURE] += 1
            return
        yield float(seconds), reader, bytes(packet)


def payloads(source: Source, dropped: Drops, magics: tuple[bytes, ...]) -> Iterator[tuple[float, str, bytes]]:
    """When each was captured, from which address, and the payload of every UDP datagram that starts with one of
    `magics`; the rest is counted. MissingExtraError without dpkt."""
    dpkt = _dpkt()
    unreadable = (dpkt.Error, struct.error, ValueError, IndexError, KeyError, TypeError, AttributeError)
    with source.open_seekable() as file:
        for seconds, reader, packet in _packets(dpkt, source, file, dropped):
            try:
                found = _udp_payload(dpkt, reader, packet, dropped, magics)
            except RecordingFormatError as error:
                raise RecordingFormatError(f"{source}: {error}") from None
            except unreadable:
                dropped[Drop.OTHER_PACKET] += 1
                continue
            if found is not None:
                yield seconds, *found


def read_capture(source: Source, hints: Hints) -> RecordingFile:
    """One recording for each node in the capture, and one for its feature states, with the time at which each packet
    was captured. MissingExtraError without dpkt."""
    collector = RawCollector(str(source), CAPTURE.name, hints)
    for seconds, address, payload in payloads(source, collector.dropped, (RAW_MAGIC_BYTES, FEATURE_MAGIC_BYTES)):
        _add(collector, address, payload, seconds)
    return collector.file()


def _add(collector: RawCollector, source: str, payload: bytes, seconds: float) -> None:
    """One payload, or why it is none, to the collector."""
    if payload.startswith(FEATURE_MAGIC_BYTES):
        state = parse_feature_state(payload)
        if isinstance(state, Drop):
            collector.dropped[state] += 1
        else:
            collector.add_state(state, seconds, source)
        return
    header = parse_raw_header(payload)
    if header is None:
        collector.dropped[Drop.CUT if len(payload) < RAW_HEADER.size else Drop.HEADER] += 1
    elif header.size != len(payload):
        collector.dropped[Drop.LENGTH] += 1
    else:
        collector.add(header, payload[RAW_HEADER.size :], seconds, source)


MAGICS = (
    b"\xa1\xb2\xc3\xd4",
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    b"\x4d\x3c\xb2\xa1",
    b"\x0a\x0d\x0d\x0a",
)


def _find_capture(head: bytes) -> int:
    return 0 if head.startswith(MAGICS) else -1


CAPTURE = RecordingFormat("udp-capture", "a packet capture", _find_capture, read_capture)
