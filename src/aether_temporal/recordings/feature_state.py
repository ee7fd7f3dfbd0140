"""The feature-state packet of sensing nodes (magic 0xC5110006): nine features, what a head on a node sees."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass

from .drops import Drop

MAGIC = 0xC5110006
MAGIC_BYTES = MAGIC.to_bytes(4, "little")
SIZE = 60
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
_LAYOUT = struct.Struct("<IBBHQ9fHHI")
assert _LAYOUT.size == SIZE


@dataclass(frozen=True, slots=True)
class FeatureState:
    """A packet that is whole. `sequence` has 16 bits, `ts_us` are the node's microseconds, `features` in the order of
    FEATURES; `reserved` is for what a later version puts there."""

    node_id: int
    mode: int
    sequence: int
    ts_us: int
    features: tuple[float, ...]
    quality_flags: int = 0
    reserved: int = 0

    def to_bytes(self) -> bytes:
        """The packet, 60 bytes."""
        data = _LAYOUT.pack(
            MAGIC,
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
    """The packet, or why it is none: LENGTH (not 60 bytes), CRC, NOT_FINITE. The magic is the caller's to look at."""
    if len(data) != SIZE:
        return Drop.LENGTH
    _, node, mode, sequence, ts_us, *features, flags, reserved, crc = _LAYOUT.unpack(data)
    if zlib.crc32(data[:-4]) != crc:
        return Drop.CRC
    if not all(map(math.isfinite, features)):
        return Drop.NOT_FINITE
    return FeatureState(node, mode, sequence, ts_us, tuple(features), flags, reserved)
