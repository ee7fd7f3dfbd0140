"""What nodes send, out of datagrams: checked, or refused with the reason."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass

from aether_temporal.recordings import feature_state, raw_frame
from aether_temporal.recordings.drops import Drop
from aether_temporal.recordings.feature_state import FeatureState
from aether_temporal.recordings.raw_frame import RawHeader

from .refusal import Refusal, Refused

CLASSIFICATION_MAGIC = 0xC5110007
CLASSIFICATION_VERSION = 1
CLASSIFICATION_SIZE = 40
_CLASSIFICATION = struct.Struct("<IHHB3sQIB3sffI")
assert _CLASSIFICATION.size == CLASSIFICATION_SIZE
_ZEROS = bytes(3)


@dataclass(frozen=True, slots=True)
class Classification:
    """A node's answer. `ts_us`: the node's microseconds; `sequence` has 32 bits; `margin` to the second class."""

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
    """A raw CSI frame: `values` are its pairs of signed bytes, antenna by antenna."""

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
            raw_frame.HEADER.pack(
                raw_frame.MAGIC,
                h.node_id,
                h.n_antennas,
                h.n_subcarriers,
                h.frequency_mhz,
                h.sequence,
                h.rssi,
                h.noise_floor,
                0,
            )
            + self.values
        )


Packet = Classification | FeatureState | RawFrame


def parse(data: bytes) -> Packet | Refused:
    """The packet that a datagram is, or why it is none. Work is bounded by the datagram's length."""
    if len(data) < 4:
        return Refused(Refusal.SHORT, "at least 4 bytes", len(data))
    magic = int.from_bytes(data[:4], "little")
    if magic == raw_frame.MAGIC:
        return _raw(data)
    if magic == CLASSIFICATION_MAGIC:
        return _classification(data)
    if magic == feature_state.MAGIC:
        return _feature_state(data)
    return Refused(Refusal.MAGIC, "0xC5110001, 0xC5110006 or 0xC5110007", magic)


def _raw(data: bytes) -> RawFrame | Refused:
    """Reserved bytes are left alone: the format does not say that they are 0, and newer nodes use them."""
    if len(data) < raw_frame.HEADER.size:
        return Refused(Refusal.LENGTH, f"at least {raw_frame.HEADER.size} bytes", len(data))
    header = raw_frame.parse_header(data)
    if header is None:
        sizes = f"{data[5]} antennas of {int.from_bytes(data[6:8], 'little')} subcarriers"
        limits = f"1 … {raw_frame.MAX_ANTENNAS} antennas of 1 … {raw_frame.MAX_SUBCARRIERS} subcarriers"
        return Refused(Refusal.HEADER, limits, sizes)
    if header.size != len(data):
        return Refused(Refusal.LENGTH, f"{header.size} bytes, as its header says", len(data))
    return RawFrame(header, data[raw_frame.HEADER.size :])


def _feature_state(data: bytes) -> FeatureState | Refused:
    found = feature_state.parse_feature_state(data)
    if not isinstance(found, Drop):
        return found
    if found is Drop.LENGTH:
        return Refused(Refusal.LENGTH, f"{feature_state.SIZE} bytes", len(data))
    if found is Drop.CRC:
        return _wrong_crc(data)
    return Refused(Refusal.NOT_FINITE, "nine finite features", "NaN or infinity")


def _classification(data: bytes) -> Classification | Refused:
    if len(data) != CLASSIFICATION_SIZE:
        return Refused(Refusal.LENGTH, f"{CLASSIFICATION_SIZE} bytes", len(data))
    _, version, classes, node, zeros, ts_us, sequence, argmax, more, logit, margin, crc = _CLASSIFICATION.unpack(data)
    if version != CLASSIFICATION_VERSION:
        return Refused(Refusal.VERSION, f"version {CLASSIFICATION_VERSION}", version)
    if zlib.crc32(data[:-4]) != crc:
        return _wrong_crc(data)
    if zeros != _ZEROS or more != _ZEROS:
        return Refused(Refusal.RESERVED, "zeros at 0x09 and 0x19", f"{zeros.hex(' ')} and {more.hex(' ')}")
    if classes < 2:
        return Refused(Refusal.CLASSES, "at least 2 classes", classes)
    if argmax >= classes:
        return Refused(Refusal.ARGMAX, f"a class below {classes}", argmax)
    if not (math.isfinite(logit) and math.isfinite(margin)):
        return Refused(Refusal.NOT_FINITE, "a finite logit and margin", f"{logit} and {margin}")
    if margin < 0:
        return Refused(Refusal.MARGIN, "a margin of at least 0", margin)
    return Classification(node, classes, ts_us, sequence, argmax, logit, margin)


def _wrong_crc(data: bytes) -> Refused:
    stored = int.from_bytes(data[-4:], "little")
    return Refused(Refusal.CRC, f"0x{zlib.crc32(data[:-4]):08X}, as the bytes before it have", stored)


def claimed_node(data: bytes) -> int | None:
    """The node id that a datagram claims, sound or not; None where it does not get that far."""
    place = 8 if data[:4] == CLASSIFICATION_MAGIC.to_bytes(4, "little") else 4
    known = data[:4] in (b"\x01\x00\x11\xc5", b"\x06\x00\x11\xc5", b"\x07\x00\x11\xc5")
    return data[place] if known and len(data) > place else None
