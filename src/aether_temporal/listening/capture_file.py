"""Datagrams as a packet capture: classic pcap of raw IP packets, which Wireshark and `aether run` open."""

from __future__ import annotations

import ipaddress
import struct

_LINK_RAW = 101
_SNAP = 1 << 18
_UDP = 17

FILE_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _SNAP, _LINK_RAW)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def packet_record(payload: bytes, source: tuple[str, int], destination: tuple[str, int], seconds: float) -> bytes:
    """One packet of the capture: a datagram, with headers made for it from its addresses and ports.

    seconds: since 1970. A destination of the other address family is written as the unspecified address.
    """
    sender, receiver = _address(source[0]), _address(destination[0])
    if receiver.version != sender.version:
        receiver = _address("0.0.0.0" if sender.version == 4 else "::")
    length = 8 + len(payload)
    udp = struct.pack(">HHHH", source[1], destination[1], length, 0)
    pseudo = sender.packed + receiver.packed + struct.pack(">II", length, _UDP)
    check = _checksum(pseudo + udp + payload) or 0xFFFF
    body = udp[:6] + check.to_bytes(2, "big") + payload
    if sender.version == 4:
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, _UDP, 0) + sender.packed + receiver.packed
        head = head[:10] + _checksum(head).to_bytes(2, "big") + head[12:]
    else:
        head = struct.pack(">IHBB", 6 << 28, length, _UDP, 64) + sender.packed + receiver.packed
    whole, part = divmod(max(0, round(seconds * 1e6)), 1_000_000)
    size = len(head) + len(body)
    return struct.pack("<IIII", whole & 0xFFFFFFFF, part, size, size) + head + body


def _address(text: str) -> _Address:
    return ipaddress.ip_address(text.partition("%")[0])


def _checksum(data: bytes) -> int:
    """Of IP and UDP: the sum of 16-bit words modulo 65535, inverted."""
    words = int.from_bytes(data + bytes(len(data) % 2), "big")
    rest = words % 0xFFFF
    return 0xFFFF ^ (0xFFFF if rest == 0 and words else rest)
