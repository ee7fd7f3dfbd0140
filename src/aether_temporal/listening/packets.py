"""Packets of nodes: parsing, checks, and the reasons for which a datagram is rejected (docs/guide/listening.md)."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from enum import StrEnum

from aether_temporal.recordings import node_packets
from aether_temporal.recordings.node_packets import FeatureState, RawHeader
from aether_temporal.recordings.recording import Drop

CLASSIFICATION_MAGIC = 0xC5110007
CLASSIFICATION_VERSION = 1
CLASSIFICATION_SIZE = 40
_CLASSIFICATION = struct.Struct("<IHHB3sQIB3sffI")
assert _CLASSIFICATION.size == CLASSIFICATION_SIZE
_ZEROS = bytes(3)


class Rejection(StrEnum):
    """Why a datagram was rejected. The values are stable: they are keys of the JSON output."""

    SHORT = "short"  # shorter than a magic number
    MAGIC = "magic"  # an unknown magic number
    RUVIEW = "ruview"  # a packet of another kind that RuView's nodes send
    ESPECTRE = "espectre"  # a packet of ESPectre
    LENGTH = "length"  # another length than the packet's kind, or its header, requires
    VERSION = "version"  # an unknown version
    CRC = "crc"
    RESERVED = "reserved"  # reserved bytes that are not 0
    HEADER = "header"  # a raw frame whose header declares impossible sizes
    CLASSES = "classes"  # fewer than 2 classes
    ARGMAX = "argmax"  # a class index outside the number of classes
    NOT_FINITE = "not_finite"  # NaN or infinity
    MARGIN = "margin"  # a negative margin
    NOT_ALLOWED = "not_allowed"  # from an address that is not on the allow-list
    NODE_RATE = "node_rate"  # a node above its rate limit
    ADDRESS_RATE = "address_rate"  # unknown nodes or packets out of sequence, above the rate limit of their address
    OUT_OF_SEQUENCE = "out_of_sequence"  # a number that does not continue a node's running sequence
    NOT_LISTED = "not_listed"  # from a node that is not on the list of nodes
    TABLE_FULL = "table_full"  # from a new node, with no free row


@dataclass(frozen=True, slots=True)
class Rejected:
    """A rejected datagram: the reason, what was expected and what was found."""

    reason: Rejection
    expected: str
    found: object

    def __str__(self) -> str:
        found = f"0x{self.found:08X}" if isinstance(self.found, int) and self.reason in _HEX else self.found
        return f"{self.reason}: expected {self.expected}, found {found}"


_HEX = (Rejection.MAGIC, Rejection.CRC)

_EXPECTED_MAGIC = "0xC5110001, 0xC5110006 or 0xC5110007"
_RUVIEW = {
    0xC5110002: "vital signs",
    0xC5110003: "a feature vector",
    0xC5110004: "fused vital signs",
    0xC5110005: "compressed CSI",
    CLASSIFICATION_MAGIC: "output of a WASM module",
    0xC5118100: "a mesh message",
    0xC511A110: "a time synchronisation",
}
_ESPECTRE = (b"SC", b"CS")  # 0x4353 in either order of bytes


@dataclass(frozen=True, slots=True)
class Classification:
    """A classification packet: a node's own prediction.

    `ts_us`: the node's clock in microseconds; `sequence` has 32 bits; `margin`: the largest logit minus the second
    largest.
    """

    node_id: int
    n_classes: int
    ts_us: int
    sequence: int
    argmax: int
    top_logit: float
    margin: float

    def to_bytes(self) -> bytes:
        """The packet, 40 bytes."""
        data = _CLASSIFICATION.pack(
            CLASSIFICATION_MAGIC,
            CLASSIFICATION_VERSION,
            self.n_classes,
            self.node_id,
            _ZEROS,
            self.ts_us,
            self.sequence,
            self.argmax,
            _ZEROS,
            self.top_logit,
            self.margin,
            0,
        )[:-4]
        return data + zlib.crc32(data).to_bytes(4, "little")


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A raw CSI frame. `values`: I/Q pairs of signed bytes, antenna by antenna."""

    header: RawHeader
    values: bytes

    @property
    def node_id(self) -> int:
        return self.header.node_id

    @property
    def sequence(self) -> int:
        return self.header.sequence

    def to_bytes(self) -> bytes:
        """The packet, 20 bytes and the pairs."""
        h = self.header
        return (
            node_packets.RAW_HEADER.pack(
                node_packets.RAW_MAGIC,
                h.node_id,
                h.n_antennas,
                h.n_subcarriers,
                h.frequency_mhz,
                h.sequence,
                h.rssi,
                h.noise_floor,
                h.layout,
            )
            + self.values
        )


Packet = Classification | FeatureState | RawFrame


def parse(data: bytes) -> Packet | Rejected:
    """The packet in a datagram, or why it is rejected. Work is linear in the datagram's length."""
    if len(data) < 4:
        return Rejected(Rejection.SHORT, "at least 4 bytes", len(data))
    magic = int.from_bytes(data[:4], "little")
    if magic == node_packets.RAW_MAGIC:
        return _raw(data)
    if magic == CLASSIFICATION_MAGIC:
        return _classification(data)
    if magic == node_packets.FEATURE_MAGIC:
        return _feature_state(data)
    if magic in _RUVIEW:
        return _of_ruview(magic)
    if data[:2] in _ESPECTRE:
        return Rejected(Rejection.ESPECTRE, f"magic {_EXPECTED_MAGIC}", "0x4353, a packet of ESPectre")
    return Rejected(Rejection.MAGIC, _EXPECTED_MAGIC, magic)


def _of_ruview(magic: int) -> Rejected:
    return Rejected(Rejection.RUVIEW, f"magic {_EXPECTED_MAGIC}", f"0x{magic:08X}, {_RUVIEW[magic]} of a RuView node")


def _raw(data: bytes) -> RawFrame | Rejected:
    """Ignores reserved bytes: the format does not require them to be 0, and newer nodes use them."""
    if len(data) < node_packets.RAW_HEADER.size:
        return Rejected(Rejection.LENGTH, f"at least {node_packets.RAW_HEADER.size} bytes", len(data))
    header = node_packets.parse_raw_header(data)
    if header is None:
        sizes = f"{data[5]} antennas of {int.from_bytes(data[6:8], 'little')} subcarriers"
        limits = f"1 … {node_packets.MAX_ANTENNAS} antennas of 1 … {node_packets.MAX_SUBCARRIERS} subcarriers"
        return Rejected(Rejection.HEADER, limits, sizes)
    if header.size != len(data):
        return Rejected(Rejection.LENGTH, f"{header.size} bytes, as its header declares", len(data))
    return RawFrame(header, data[node_packets.RAW_HEADER.size :])


def _feature_state(data: bytes) -> FeatureState | Rejected:
    found = node_packets.parse_feature_state(data)
    if not isinstance(found, Drop):
        return found
    if found is Drop.LENGTH:
        return Rejected(Rejection.LENGTH, f"{node_packets.FEATURE_STATE_BYTES} bytes", len(data))
    if found is Drop.CRC:
        return _wrong_crc(data)
    return Rejected(Rejection.NOT_FINITE, "nine finite features", "NaN or infinity")


def _classification(data: bytes) -> Classification | Rejected:
    if len(data) != CLASSIFICATION_SIZE:
        of_ruview = len(data) == 8 + 5 * int.from_bytes(data[6:8], "little")  # a head, and events of five bytes
        if of_ruview:
            return _of_ruview(CLASSIFICATION_MAGIC)
        return Rejected(Rejection.LENGTH, f"{CLASSIFICATION_SIZE} bytes", len(data))
    _, version, classes, node, zeros, ts_us, sequence, argmax, more, logit, margin, crc = _CLASSIFICATION.unpack(data)
    if version != CLASSIFICATION_VERSION:
        return Rejected(Rejection.VERSION, f"version {CLASSIFICATION_VERSION}", version)
    if zlib.crc32(data[:-4]) != crc:
        return _wrong_crc(data)
    if zeros != _ZEROS or more != _ZEROS:
        return Rejected(Rejection.RESERVED, "zeros at 0x09 and 0x19", f"{zeros.hex(' ')} and {more.hex(' ')}")
    if classes < 2:
        return Rejected(Rejection.CLASSES, "at least 2 classes", classes)
    if argmax >= classes:
        return Rejected(Rejection.ARGMAX, f"a class below {classes}", argmax)
    if not (math.isfinite(logit) and math.isfinite(margin)):
        return Rejected(Rejection.NOT_FINITE, "a finite logit and margin", f"{logit} and {margin}")
    if margin < 0:
        return Rejected(Rejection.MARGIN, "a margin of at least 0", margin)
    return Classification(node, classes, ts_us, sequence, argmax, logit, margin)


def _wrong_crc(data: bytes) -> Rejected:
    stored = int.from_bytes(data[-4:], "little")
    return Rejected(Rejection.CRC, f"0x{zlib.crc32(data[:-4]):08X}, computed over the bytes before it", stored)


def claimed_node(data: bytes) -> int | None:
    """The node id in a datagram, valid or not; None where it has none."""
    place = 8 if data[:4] == CLASSIFICATION_MAGIC.to_bytes(4, "little") else 4
    known = data[:4] in (b"\x01\x00\x11\xc5", b"\x06\x00\x11\xc5", b"\x07\x00\x11\xc5")
    return data[place] if known and len(data) > place else None
