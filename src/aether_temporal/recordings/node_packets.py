"""The packets of sensing nodes: raw CSI frames (magic 0xC5110001) and feature states (magic 0xC5110006), and their
sequence numbers."""

from __future__ import annotations

import math
import struct
import zlib
from array import array
from dataclasses import dataclass
from enum import Enum
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


# -- Sequence numbers: which are missing, late or repeated, and where the sender restarted ---------------------

_LATE = 1024
_SEEN = (1 << _LATE) - 1
_JUMP = 100_000
_AGAIN = 4
_AHEAD = 16  # numbers that one sender may skip at once
_BEHIND = 16  # numbers by which packets may swap places on their way
_RETURNS = 6
_PERIOD = 32


class Order(Enum):
    """Where a packet stands in its sender's sequence."""

    NEW = "new"  # newer than all before
    LATE = "late"  # older than the newest, and not seen yet
    DUPLICATE = "duplicate"  # seen already
    RESTART = "restart"  # the sender counts from another number: it has restarted

    @property
    def in_order(self) -> bool:
        """Whether the packet comes after all before it."""
        return self in (Order.NEW, Order.RESTART)


class Sequence:
    """The numbers of one sender, `bits` wide; they wrap. Constant memory.

    A number up to 1024 back is late or a duplicate. One farther back is a restart, and so is one that is more than
    100 000 ahead or more than half of the number's range. Four old numbers that follow each other are a restart too,
    counted at the fourth.
    """

    __slots__ = ("_again", "_mask", "_old", "_seen", "_span", "duplicates", "late", "missing", "newest", "restarts")

    def __init__(self, bits: int) -> None:
        self._mask = (1 << bits) - 1
        self.newest: int | None = None
        self._seen = 0  # bit i: newest - i has been seen
        self._span = 0  # numbers from the first one to the newest
        self._old, self._again = -1, 0
        self.missing = self.late = self.duplicates = self.restarts = 0

    def order_of(self, number: int) -> Order:
        """What `take` would say of this number. Changes nothing."""
        if self.newest is None:
            return Order.NEW
        step = (number - self.newest) & self._mask
        if 0 < step <= min(self._mask >> 1, _JUMP):
            return Order.NEW
        back = -step & self._mask
        if back >= _LATE or self._old_run(number) == _AGAIN:
            return Order.RESTART
        return Order.DUPLICATE if self._seen >> back & 1 else Order.LATE

    def take(self, number: int) -> Order:
        """Counts one packet."""
        order = self.order_of(number)
        if self.newest is None:
            self._begin(number)
        elif order is Order.RESTART:
            self.restarts += 1
            self._begin(number)
        elif order is Order.NEW:
            step = (number - self.newest) & self._mask
            self.missing += step - 1
            self._seen = (self._seen << step | 1) & _SEEN if step < _LATE else 1
            self._span += step
            self.newest, self._again = number, 0
        else:
            self._again, self._old = self._old_run(number), number
            back = (self.newest - number) & self._mask
            self.duplicates += order is Order.DUPLICATE
            if order is Order.LATE:
                self._seen |= 1 << back
                self.late += 1
                self.missing -= back < self._span  # it was counted as missing before
        return order

    def _old_run(self, number: int) -> int:
        """How many old numbers, with this one, have followed each other."""
        return self._again + 1 if number == (self._old + 1) & self._mask else 1

    def _begin(self, number: int) -> None:
        self.newest, self._seen, self._span = number, 1, 0
        self._old, self._again = -1, 0


class Interleaving:
    """Notices two senders behind one name: numbers of two ranges that alternate, while each range counts on. Constant
    memory.

    `found` is set by six returns to a range that was left, among 32 numbers. Where `port`, the sender's, differs as
    well, six returns of any time suffice. Packets that swap places, that come twice, or that one sender sends from two
    ports under one count, are no returns.
    """

    __slots__ = ("_count", "_mask", "_ranges", "_returns", "_returns_to_port", "found")

    def __init__(self, bits: int) -> None:
        self._mask = (1 << bits) - 1
        self._ranges: list[tuple[int, int]] = []  # newest number and port of two ranges, the current one last
        self._count = self._returns = self._returns_to_port = 0
        self.found = False

    def take(self, number: int, port: int = 0) -> None:
        """Counts one packet."""
        self._count = self._count % _PERIOD + 1
        self._returns *= self._count > 1
        old, current = self._ranges[:-1], self._ranges[-1:]
        place = self._range_of(number, port)
        if place is None:
            self._ranges = [*current, (number, port)]
        elif place == len(old):
            self._ranges = [*old, (number, port)]
        else:
            self._ranges = [*current, (number, port)]
            self._note_return(number, port, *current[0])

    def _range_of(self, number: int, port: int) -> int | None:
        """The range that the number continues: best the one whose next number it is."""
        best, nearest = None, _AHEAD + 1
        for place, (newest, its_port) in enumerate(self._ranges):
            ahead = (number - newest) & self._mask
            if port == its_port and 0 < ahead < nearest:
                best, nearest = place, ahead
        return best

    def _note_return(self, number: int, port: int, newest: int, other_port: int) -> None:
        """A return from the range that has reached `newest`."""
        ahead = (number - newest) & self._mask
        elsewhere = _AHEAD < ahead < self._mask + 1 - _BEHIND
        if port != other_port:
            self._returns_to_port += not 0 < ahead <= _AHEAD
        else:
            self._returns += elsewhere
        self.found = self.found or self._returns >= _RETURNS or self._returns_to_port >= _RETURNS
