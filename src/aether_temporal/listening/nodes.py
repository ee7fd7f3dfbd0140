"""What is known of one node."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from aether_temporal.recordings.feature_state import FeatureState
from aether_temporal.recordings.sequence import Order, Sequence

from .packets import Classification, Packet, RawFrame
from .rate import Bucket, Rate

_CLOCK_JUMP = 5.0  # seconds by which a node's clock may differ from the time that has passed here


class Kind(StrEnum):
    """Of packets."""

    RAW = "raw"
    FEATURES = "features"
    CLASSIFICATION = "classification"


def kind_of(packet: Packet) -> Kind:
    if isinstance(packet, RawFrame):
        return Kind.RAW
    return Kind.FEATURES if isinstance(packet, FeatureState) else Kind.CLASSIFICATION


class NodeKey(NamedTuple):
    """Who a node is: the address it sends from, and the id it gives itself. Its port may change, as it does when it
    starts again."""

    address: str
    node_id: int


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, by the node itself or by the model here."""

    best: int
    logit: float
    margin: float
    n_classes: int
    here: bool
    time: float  # seconds since 1970


@dataclass(eq=False)
class Node:
    """Counts and the newest of everything. Constant memory, whatever the node sends."""

    key: NodeKey
    bucket: Bucket
    first_seen: float  # seconds since 1970
    last_seen: float
    heard: float  # seconds of a clock that never goes back
    rate: Rate = field(default_factory=Rate)
    accepted: Counter[Kind] = field(default_factory=Counter)
    packets: int = 0  # accepted, of all kinds
    refused: Counter[str] = field(default_factory=Counter)
    sequences: dict[Kind, Sequence] = field(default_factory=dict)  # of the kinds that came
    clock_jumps: int = 0
    rssi: int | None = None
    said: Said | None = None
    _clock: tuple[int, float] | None = None

    def take(self, packet: Packet, wall: float, now: float) -> Order:
        """Counts an accepted packet; one that is out of order changes nothing else."""
        kind = kind_of(packet)
        self.accepted[kind] += 1
        self.packets += 1
        self.rate.count(now)
        self.last_seen, self.heard = wall, now
        sequence = self.sequences.get(kind)
        if sequence is None:
            sequence = self.sequences[kind] = Sequence(16 if kind is Kind.FEATURES else 32)
        order = sequence.take(packet.sequence)
        if not order.in_order:
            return order
        if isinstance(packet, RawFrame):
            self.rssi = packet.header.rssi
            return order
        self._watch_clock(packet.ts_us, now)
        if isinstance(packet, Classification) and (self.said is None or not self.said.here):
            self.said = Said(packet.argmax, packet.top_logit, packet.margin, packet.n_classes, False, wall)
        return order

    def _watch_clock(self, ts_us: int, now: float) -> None:
        """Counts jumps and believes none: nothing here goes by a node's clock."""
        if self._clock is not None:
            passed = (ts_us - self._clock[0]) / 1e6
            self.clock_jumps += abs(passed - (now - self._clock[1])) > _CLOCK_JUMP
        self._clock = (ts_us, now)

    def total(self, what: str) -> int:
        """ "missing", "late", "duplicates" or "restarts", over all kinds of packets."""
        return sum(getattr(sequence, what) for sequence in self.sequences.values())
