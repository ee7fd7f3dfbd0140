"""The packets of sensing nodes: raw CSI frames (magic 0xC5110001) and feature states (magic 0xC5110006)."""

from __future__ import annotations

import math
import struct
import zlib
from array import array
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from aether_temporal.subcarriers import SubcarrierMap, layout_of

from .csi_buffers import words_of
from .recording import Drop

RAW_MAGIC = 0xC5110001
RAW_MAGIC_BYTES = RAW_MAGIC.to_bytes(4, "little")
RAW_HEADER = struct.Struct("<IBBHIIbbH")
MAX_ANTENNAS = 16
MAX_SUBCARRIERS = 4096
MAX_RAW_FRAME = RAW_HEADER.size + 2 * MAX_ANTENNAS * MAX_SUBCARRIERS


@dataclass(frozen=True)
class RawHeader:
    node_id: int
    n_antennas: int
    n_subcarriers: int
    frequency_mhz: int
    sequence: int  # one more for each frame, 32 bits
    rssi: int
    noise_floor: int
    layout: int = 0  # what the node says about its frame (docs/guide/node.md); 0: nothing

    @property
    def subcarriers(self) -> SubcarrierMap | None:
        """Which subcarrier each pair is; None where the node does not say, or with several antennas."""
        return None if self.n_antennas > 1 else subcarriers_of(self.layout, self.n_subcarriers)

    @property
    def words(self) -> bool:
        """Whether the bytes are 12-bit words, two pairs of bytes a subcarrier."""
        return self.n_antennas == 1 and has_words(self.layout)

    def values(self, data: bytes) -> bytes | array[int]:
        """The values of a frame: signed bytes as they are, or words of 12 bits."""
        return array("h", words_of(np.frombuffer(data, np.int8)[None]).tobytes()) if self.words else data

    @property
    def pairs(self) -> int:
        """I/Q pairs: antenna by antenna, subcarrier by subcarrier."""
        return self.n_antennas * self.n_subcarriers

    @property
    def size(self) -> int:
        """Bytes of the whole frame."""
        return RAW_HEADER.size + 2 * self.pairs


def parse_raw_header(data: bytes | memoryview, offset: int = 0) -> RawHeader | None:
    """The header at `offset`; None where magic, length or sizes are not those of a raw CSI frame."""
    if len(data) - offset < RAW_HEADER.size:
        return None
    magic, node, antennas, subcarriers, frequency, sequence, rssi, noise, layout = RAW_HEADER.unpack_from(data, offset)
    if magic != RAW_MAGIC or not 1 <= antennas <= MAX_ANTENNAS or not 1 <= subcarriers <= MAX_SUBCARRIERS:
        return None
    return RawHeader(node, antennas, subcarriers, frequency, sequence, rssi, noise, layout)


def has_words(layout: int) -> bool:
    """Whether a layout says that two pairs of bytes are one of 12-bit words."""
    return bool(layout & 1 << 10)


@lru_cache(maxsize=256)
def subcarriers_of(layout: int, pairs: int) -> SubcarrierMap | None:
    """Bits: 0 to 3 the chip's family plus 1, 4 and 5 the format (3: not known), 6 40 MHz, 7 STBC, 8 and 9 the secondary
    channel, 10 12-bit words. pairs: of bytes."""
    chip = {1: "esp32", 2: "esp32c5", 3: "esp32c6"}.get(layout & 15)
    if chip is None or layout >> 11:
        return None
    if has_words(layout):
        return layout_of(chip, pairs // 2, twelve_bits=True)
    sig_mode = {0: 0, 1: 1, 2: 4, 3: None}[layout >> 4 & 3]
    if chip != "esp32":
        return layout_of(chip, pairs, sig_mode=sig_mode if chip == "esp32c6" else None)
    return layout_of(
        chip,
        pairs,
        sig_mode=sig_mode,
        bandwidth=layout >> 6 & 1,
        stbc=layout >> 7 & 1,
        secondary=layout >> 8 & 3,
    )


FEATURE_MAGIC = 0xC5110006
FEATURE_MAGIC_BYTES = FEATURE_MAGIC.to_bytes(4, "little")
FEATURE_STATE_BYTES = 60
FEATURES = (
    "motion_score",
    "presence_score",
    "respiration_bpm",
    "respiration_conf",
    "heartbeat_bpm",
    "heartbeat_conf",
    "anomaly_score",
    "env_shift_score",
    "node_coherence",
)
_FEATURE_LAYOUT = struct.Struct("<IBBHQ9fHHI")
assert _FEATURE_LAYOUT.size == FEATURE_STATE_BYTES


@dataclass(frozen=True, slots=True)
class FeatureState:
    """A valid feature-state packet. `sequence` has 16 bits, `ts_us` is the node's clock in microseconds, `features` are
    in the order of FEATURES; `reserved` is for later versions."""

    node_id: int
    mode: int
    sequence: int
    ts_us: int
    features: tuple[float, ...]
    quality_flags: int = 0
    reserved: int = 0

    def to_bytes(self) -> bytes:
        """The packet, 60 bytes."""
        data = _FEATURE_LAYOUT.pack(
            FEATURE_MAGIC,
            self.node_id,
            self.mode,
            self.sequence,
            self.ts_us,
            *self.features,
            self.quality_flags,
            self.reserved,
            0,
        )[:-4]
        return data + zlib.crc32(data).to_bytes(4, "little")


def parse_feature_state(data: bytes) -> FeatureState | Drop:
    """The packet, or the reason to reject it: LENGTH (not 60 bytes), CRC, NOT_FINITE. The caller checks the magic."""
    if len(data) != FEATURE_STATE_BYTES:
        return Drop.LENGTH
    _, node, mode, sequence, ts_us, *features, flags, reserved, crc = _FEATURE_LAYOUT.unpack(data)
    if zlib.crc32(data[:-4]) != crc:
        return Drop.CRC
    if not all(map(math.isfinite, features)):
        return Drop.NOT_FINITE
    return FeatureState(node, mode, sequence, ts_us, tuple(features), flags, reserved)
