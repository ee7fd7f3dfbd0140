"""Reads raw CSI frames and feature states from packet captures (pcap, pcapng): UDP datagrams that start with the magic
of either, on any port."""

from __future__ import annotations

import ipaddress
import os
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from aether_temporal.errors import MissingExtraError, RecordingFormatError

from .containers import Source
from .node_packets import FEATURE_MAGIC_BYTES, RAW_HEADER, RAW_MAGIC_BYTES, parse_feature_state, parse_raw_header
from .raw_frames import RawCollector
from .recording import Drop, Drops
from .recording_file import Hints, RecordingFile, RecordingFormat


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
    collector = RawCollector(str(source), FORMAT.name, hints)
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


def _find(head: bytes) -> int:
    return 0 if head.startswith(MAGICS) else -1


FORMAT = RecordingFormat("udp-capture", "a packet capture", _find, read_capture)
