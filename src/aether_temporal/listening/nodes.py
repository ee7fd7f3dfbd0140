"""What is known of each node: counters, newest values, the sequences of its packets. Constant memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from aether_temporal.recordings.node_packets import FeatureState, Interleaving, Order, Sequence

from .packets import Classification, Packet, RawFrame, Receipt

KNOWN_AFTER = 3
"""Accepted packets after which a node is known."""

NODE_RATE = 1000.0
"""Packets a second that a node may send by default, and as many at once."""

_RUNNING_AFTER = 3  # packets in sequence
_QUIET = 5.0  # seconds without a packet in sequence, after which a sequence may start from another number
_SLACK = 16  # numbers that may be skipped at once
_PACKET_RATE = 50.0  # classifications, or feature states, a second: at most
_CLOCK_JUMP = 5.0  # seconds


class TokenBucket:
    """Tokens that fill up at `rate` a second, to at most `burst`. Each packet takes one."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, now

    def take(self, now: float) -> bool:
        """Takes a token; False when there is none. A clock that goes back adds no tokens."""
        elapsed = max(0.0, now - self._at)
        self._at = now
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class RateMeter:
    """Packets a second, averaged over the last few seconds with exponential weights. Constant memory."""

    __slots__ = ("_at", "_begin", "_sum")

    _SPAN = 3.0  # seconds

    def __init__(self) -> None:
        self._sum = 0.0
        self._begin: float | None = None
        self._at = 0.0

    def count(self, now: float) -> None:
        """Counts one packet that arrived now."""
        if self._begin is None:  # the first packet begins the time in which the others are counted
            self._begin = self._at = now
            return
        self._sum = self._decayed(now) + 1
        self._at = now

    def value(self, now: float) -> float:
        """Packets a second; 0 during the first 50 ms."""
        if self._begin is None or now - self._begin < 0.05:
            return 0.0
        weight = self._SPAN * -math.expm1((self._begin - now) / self._SPAN)
        return self._decayed(now) / weight

    def _decayed(self, now: float) -> float:
        return self._sum * math.exp(min(0.0, self._at - now) / self._SPAN)


class Kind(StrEnum):
    """Kinds of packets."""

    RAW = "raw"
    FEATURES = "features"
    CLASSIFICATION = "classification"
    RECEIPT = "receipt"


def kind_of(packet: Packet) -> Kind:
    """The kind of a packet."""
    if isinstance(packet, RawFrame):
        return Kind.RAW
    if isinstance(packet, Receipt):
        return Kind.RECEIPT
    return Kind.FEATURES if isinstance(packet, FeatureState) else Kind.CLASSIFICATION


class NodeKey(NamedTuple):
    """Identifies a node: its address and the id in its packets. Its port may change, as it does after a restart."""

    address: str
    node_id: int


@dataclass(frozen=True, slots=True)
class NodePrediction:
    """The newest prediction for a node: its own, or (`local`) that of a model on this computer."""

    class_index: int
    logit: float
    margin: float
    n_classes: int
    local: bool
    time: float  # seconds since 1970
    probability: float | None = None  # of the class; None where no calibrated model on this computer predicted it


@dataclass(frozen=True, slots=True)
class NodeCheck:
    """What the receipts of a node say, where they are verified: the newest verdict, why, frames until it can be checked
    again (None: not before its stream restarts), when it was given, and counts of all verdicts. `different`: when the
    newest difference was found, and what differs."""

    verdict: str
    why: str
    behind: int | None
    time: float  # seconds since 1970
    counts: Mapping[str, int]
    different: tuple[float, str] | None

    def document(self) -> dict[str, object]:
        """As a JSON document."""
        return {
            "verdict": self.verdict,
            "why": self.why or None,
            "frames_behind": self.behind,
            "time": self.time,
            "counts": dict(self.counts),
            "different_at": None if self.different is None else self.different[0],
            "difference": None if self.different is None else self.different[1],
        }


class _NumberedStream:
    """The sequence numbers of one kind of packets of one node.

    A number is in sequence when it is ahead of the newest one by no more than the time since then allows at `rate`
    packets a second. After three numbers in sequence, and until five seconds have passed without another one, the
    stream is running: numbers that would restart it are then rejected, so that forged packets cannot displace it.
    """

    __slots__ = ("_at", "_mask", "_rate", "_run", "counts", "interleaving")

    def __init__(self, bits: int, rate: float) -> None:
        self.counts, self.interleaving = Sequence(bits), Interleaving(bits)
        self._mask, self._rate = (1 << bits) - 1, rate
        self._run, self._at = 0, 0.0

    def in_sequence(self, number: int, now: float) -> bool:
        newest = self.counts.newest
        if newest is None:
            return False
        return 0 < (number - newest) & self._mask <= _SLACK + max(0.0, now - self._at) * self._rate

    def allows(self, number: int, now: float) -> bool:
        """Whether a number that is not in sequence may be taken."""
        running = self._run >= _RUNNING_AFTER and now - self._at < _QUIET
        return not running or not self.counts.order_of(number).in_order

    def take(self, number: int, now: float) -> Order:
        """Counts the number of an accepted packet."""
        continues = self.in_sequence(number, now)
        order = self.counts.take(number)
        if order.in_order:
            self._run = self._run + 1 if continues else 1
            self._at = now
        return order


@dataclass(eq=False)
class Node:
    """Counters and newest values of one node. Constant memory, whatever the node sends."""

    key: NodeKey
    rate_limit: float
    first_seen: float  # seconds since 1970
    last_seen: float
    heard: float  # seconds of a clock that never goes back
    bucket: TokenBucket = field(init=False)
    rate: RateMeter = field(default_factory=RateMeter)
    accepted: Counter[Kind] = field(default_factory=Counter)
    packets: int = 0  # accepted, of all kinds
    rejected: Counter[str] = field(default_factory=Counter)
    clock_jumps: int = 0
    rssi: int | None = None
    prediction: NodePrediction | None = None
    check: NodeCheck | None = None  # of its receipts; None where there is none, or nobody verifies
    trouble: str | None = None  # why its frames are not classified, by the model on this computer
    _streams: dict[Kind, _NumberedStream] = field(default_factory=dict)
    _clock: tuple[int, float] | None = None

    def __post_init__(self) -> None:
        self.bucket = TokenBucket(self.rate_limit, max(1.0, self.rate_limit), self.heard)

    def notice(self, packet: Packet, port: int) -> None:
        """Sees each valid packet in the node's name, accepted or not, and the port that it came from."""
        self._stream(kind_of(packet)).interleaving.take(packet.sequence, port)

    @property
    def shared(self) -> bool:
        """Whether two senders use the node's name at once: packets of two ranges of numbers alternate."""
        return any(stream.interleaving.found for stream in self._streams.values())

    def in_sequence(self, packet: Packet, now: float) -> bool:
        """Whether the packet's number continues the sequence of its kind."""
        return self._stream(kind_of(packet)).in_sequence(packet.sequence, now)

    def allows(self, packet: Packet, now: float) -> bool:
        """Whether a packet that is not in sequence may be taken: it is late, or no sequence is running."""
        return self._stream(kind_of(packet)).allows(packet.sequence, now)

    def take(self, packet: Packet, wall: float, now: float) -> Order:
        """Counts an accepted packet. One that is out of order changes nothing but counters."""
        kind = kind_of(packet)
        self.accepted[kind] += 1
        self.packets += 1
        self.rate.count(now)
        self.last_seen, self.heard = wall, now
        order = self._stream(kind).take(packet.sequence, now)
        if not order.in_order:
            return order
        if isinstance(packet, RawFrame):
            self.rssi = packet.header.rssi
            return order
        if isinstance(packet, Receipt):
            return order  # its times are of another clock
        self._check_clock(packet.ts_us, now)
        if isinstance(packet, Classification) and (self.prediction is None or not self.prediction.local):
            self.prediction = NodePrediction(
                packet.argmax, packet.top_logit, packet.margin, packet.n_classes, False, wall
            )
        return order

    def total(self, what: str) -> int:
        """ "missing", "late", "duplicates" or "restarts", over all kinds of packets."""
        return sum(getattr(stream.counts, what) for stream in self._streams.values())

    def _stream(self, kind: Kind) -> _NumberedStream:
        found = self._streams.get(kind)
        if found is None:
            bits = 16 if kind is Kind.FEATURES else 32
            rate = self.rate_limit if kind is Kind.RAW else min(self.rate_limit, _PACKET_RATE)
            found = self._streams[kind] = _NumberedStream(bits, rate)
        return found

    def _check_clock(self, ts_us: int, now: float) -> None:
        """Counts the jumps of the node's clock, which is used for nothing else."""
        if self._clock is not None:
            elapsed = (ts_us - self._clock[0]) / 1e6
            self.clock_jumps += abs(elapsed - (now - self._clock[1])) > _CLOCK_JUMP
        self._clock = (ts_us, now)
