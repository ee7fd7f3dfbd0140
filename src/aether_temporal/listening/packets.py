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
RECEIPT_MAGIC = 0xC5110017
RECEIPT_VERSION = 1
MAX_ENTRIES = 160
_RECEIPT = struct.Struct("<IBBHIIIIIIQQQII")
assert _RECEIPT.size == 64
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
    ENTRIES = "entries"  # a receipt of no entries, or of more than 160
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

_EXPECTED_MAGIC = "0xC51100xx (01, 06, 07 or 17)"
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


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a node has computed since the receipt before (docs/spec/receipts.md).

    blob: the CRC-32 and the bytes of the blob. `grid`: None where there is none. `entries`: (number, time) of a frame,
    in microseconds of the node's frame clock, or (number, -1 - steps) of a classification that was sent `steps` frames
    of the grid after the last frame.
    """

    node_id: int
    sequence: int
    blob: tuple[int, int]
    context: int
    binary16: bool
    base: int
    position: int
    grid: int | None
    before: int
    after: int
    entries: tuple[tuple[int, int], ...]

    def to_bytes(self) -> bytes:
        """The packet, 68 bytes and 8 for each entry."""
        data = _RECEIPT.pack(
            RECEIPT_MAGIC,
            RECEIPT_VERSION,
            self.node_id,
            len(self.entries),
            self.sequence,
            *self.blob,
            self.context,
            self.binary16,
            0,
            self.base,
            self.position,
            _NO_GRID if self.grid is None else self.grid,
            self.before,
            self.after,
        )
        for number, place in self.entries:
            data += struct.pack("<II", number, _SENT - 1 - place if place < 0 else place - self.base)
        return data + zlib.crc32(data).to_bytes(4, "little")


_NO_GRID, _SENT = (1 << 64) - 1, 1 << 31

Packet = Classification | FeatureState | RawFrame | Receipt


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
    if magic == RECEIPT_MAGIC:
        return _receipt(data)
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


def _receipt(data: bytes) -> Receipt | Rejected:
    if len(data) < _RECEIPT.size:
        return Rejected(Rejection.LENGTH, f"at least {_RECEIPT.size} bytes", len(data))
    _, version, node, count, sequence, crc, size, context, flags, reserved, base, position, grid, before, after = (
        _RECEIPT.unpack_from(data)
    )
    if version != RECEIPT_VERSION:
        return Rejected(Rejection.VERSION, f"version {RECEIPT_VERSION}", version)
    if not 1 <= count <= MAX_ENTRIES:
        return Rejected(Rejection.ENTRIES, f"1 … {MAX_ENTRIES} entries", count)
    length = _RECEIPT.size + 8 * count + 4
    if len(data) != length:
        return Rejected(Rejection.LENGTH, f"{length} bytes, as its number of entries declares", len(data))
    if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return _wrong_crc(data)
    if flags > 1 or reserved:
        return Rejected(Rejection.RESERVED, "flags 0 or 1 and zeros at 0x1C", f"{flags:#x} and {reserved:#x}")
    entries = tuple(
        (number, base + place if place < _SENT else _SENT - 1 - place)
        for number, place in struct.iter_unpack("<II", data[_RECEIPT.size : -4])
    )
    return Receipt(
        node_id=node,
        sequence=sequence,
        blob=(crc, size),
        context=context,
        binary16=bool(flags),
        base=base,
        position=position,
        grid=None if grid == _NO_GRID else grid,
        before=before,
        after=after,
        entries=entries,
    )


def _wrong_crc(data: bytes) -> Rejected:
    stored = int.from_bytes(data[-4:], "little")
    return Rejected(Rejection.CRC, f"0x{zlib.crc32(data[:-4]):08X}, computed over the bytes before it", stored)


def claimed_node(data: bytes) -> int | None:
    """The node id in a datagram, valid or not; None where it has none."""
    place = _NODE_AT.get(data[:4])
    return data[place] if place is not None and len(data) > place else None


_NODE_AT = {b"\x01\x00\x11\xc5": 4, b"\x06\x00\x11\xc5": 4, b"\x07\x00\x11\xc5": 8, b"\x17\x00\x11\xc5": 5}
