"""The raw CSI frame of sensing nodes (magic 0xC5110001): 20 header bytes, then pairs of signed bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = 0xC5110001
MAGIC_BYTES = MAGIC.to_bytes(4, "little")
HEADER = struct.Struct("<IBBHIIbbH")
MAX_ANTENNAS = 16
MAX_SUBCARRIERS = 4096
MAX_FRAME = HEADER.size + 2 * MAX_ANTENNAS * MAX_SUBCARRIERS


@dataclass(frozen=True)
class RawHeader:
    node_id: int
    n_antennas: int
    n_subcarriers: int
    frequency_mhz: int
    sequence: int  # one more for each frame, 32 bits
    rssi: int
    noise_floor: int

    @property
    def pairs(self) -> int:
        """I/Q pairs: antenna by antenna, subcarrier by subcarrier."""
        return self.n_antennas * self.n_subcarriers

    @property
    def size(self) -> int:
        """Bytes of the whole frame."""
        return HEADER.size + 2 * self.pairs


def parse_header(data: bytes | memoryview, offset: int = 0) -> RawHeader | None:
    """The header at `offset`, or None where magic, length or sizes make it none."""
    if len(data) - offset < HEADER.size:
        return None
    magic, node, antennas, subcarriers, frequency, sequence, rssi, noise, _ = HEADER.unpack_from(data, offset)
    if magic != MAGIC or not 1 <= antennas <= MAX_ANTENNAS or not 1 <= subcarriers <= MAX_SUBCARRIERS:
        return None
    return RawHeader(node, antennas, subcarriers, frequency, sequence, rssi, noise)
