"""What is known of each node, and the bounded table of nodes.

Admission rules of the table:

- A row takes constant memory. There are at most `max_nodes` rows, and at most a quarter of them for one address.
- A node is known once three of its packets were accepted. For a new node without a free row (in the table, or among
  the rows of its address), the unknown node that was silent longest is removed; if there is none, the known node that
  was silent longest, provided that it was silent for a minute. Otherwise the new node is rejected.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from aether_temporal.recordings.node_packets import FeatureState
from aether_temporal.recordings.sequence import Order, Sequence

from .packets import Classification, Packet, RawFrame, Rejected, Rejection
from .rate_limits import RateMeter, TokenBucket

KNOWN_AFTER = 3
"""Accepted packets after which a node is known."""

IDLE = 60.0
"""Seconds of silence after which a known node may be removed for a new one."""

NODE_RATE = 1000.0
"""Packets a second that a node may send by default, and as many at once."""

_RUNNING_AFTER = 3  # packets in sequence
_QUIET = 5.0  # seconds without a packet in sequence, after which a sequence may start from another number
_SLACK = 16  # numbers that may be skipped at once
_PACKET_RATE = 50.0  # classifications, or feature states, a second: at most
_CLOCK_JUMP = 5.0  # seconds
_ADDRESS_SHARE = 4


class Kind(StrEnum):
    """Kinds of packets."""

    RAW = "raw"
    FEATURES = "features"
    CLASSIFICATION = "classification"


def kind_of(packet: Packet) -> Kind:
    """The kind of a packet."""
    if isinstance(packet, RawFrame):
        return Kind.RAW
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


class _NumberedStream:
    """The sequence numbers of one kind of packets of one node.

    A number is in sequence when it is ahead of the newest one by no more than the time since then allows at `rate`
    packets a second. After three numbers in sequence, and until five seconds have passed without another one, the
    stream is running: numbers that would restart it are then rejected, so that forged packets cannot displace it.
    """

    __slots__ = ("_at", "_mask", "_rate", "_run", "counts")

    def __init__(self, bits: int, rate: float) -> None:
        self.counts = Sequence(bits)
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
    _streams: dict[Kind, _NumberedStream] = field(default_factory=dict)
    _clock: tuple[int, float] | None = None

    def __post_init__(self) -> None:
        self.bucket = TokenBucket(self.rate_limit, max(1.0, self.rate_limit), self.heard)

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


class _LeastRecent:
    """Nodes by the time of their last packet, unknown and known ones apart."""

    def __init__(self) -> None:
        self._unknown: OrderedDict[NodeKey, Node] = OrderedDict()
        self._known: OrderedDict[NodeKey, Node] = OrderedDict()

    def __len__(self) -> int:
        return len(self._unknown) + len(self._known)

    def touch(self, node: Node) -> None:
        """Adds the node, or moves it to the end."""
        if node.packets < KNOWN_AFTER:
            self._unknown[node.key] = node
            self._unknown.move_to_end(node.key)
        else:
            self._unknown.pop(node.key, None)
            self._known[node.key] = node
            self._known.move_to_end(node.key)

    def remove(self, key: NodeKey) -> None:
        self._unknown.pop(key, None)
        self._known.pop(key, None)

    def removable(self, now: float) -> Node | None:
        """The node that a new one may replace."""
        if self._unknown:
            return next(iter(self._unknown.values()))
        oldest = next(iter(self._known.values()), None)
        return oldest if oldest is not None and now - oldest.heard >= IDLE else None


class NodeTable:
    """Nodes by address and id. `rate`: packets a second that one node may send, and as many at once."""

    def __init__(self, max_nodes: int = 256, rate: float = NODE_RATE) -> None:
        self.max_nodes, self.max_per_address = max_nodes, max(1, max_nodes // _ADDRESS_SHARE)
        self.rate = rate
        self.evicted = 0
        self._rows: dict[NodeKey, Node] = {}
        self._order = _LeastRecent()
        self._addresses: dict[str, _LeastRecent] = {}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def addresses(self) -> int:
        """How many addresses have rows."""
        return len(self._addresses)

    def find(self, key: NodeKey) -> Node | None:
        """The node's row, if it has one."""
        return self._rows.get(key)

    def nodes(self) -> list[Node]:
        """All nodes, sorted by id and address."""
        return sorted(self._rows.values(), key=lambda node: (node.key.node_id, node.key.address))

    def add(self, key: NodeKey, wall: float, now: float) -> Node | Rejected:
        """A row for a new node. Rejected where there is no room."""
        same_address = self._addresses.get(key.address)
        crowded = same_address is not None and len(same_address) >= self.max_per_address
        if crowded or len(self._rows) >= self.max_nodes:
            candidates = same_address if same_address is not None and crowded else self._order
            removable = candidates.removable(now)
            if removable is None:
                limit = f"{self.max_per_address} nodes at one address" if crowded else f"{self.max_nodes} nodes"
                return Rejected(Rejection.TABLE_FULL, f"at most {limit}", "another one")
            self._evict(removable)
        node = Node(key, self.rate, wall, wall, now)
        self._rows[key] = node
        self._addresses.setdefault(key.address, _LeastRecent())
        self.touch(node)
        return node

    def touch(self, node: Node) -> None:
        """Notes that a packet of the node was accepted."""
        self._order.touch(node)
        self._addresses[node.key.address].touch(node)

    def _evict(self, node: Node) -> None:
        self.evicted += 1
        del self._rows[node.key]
        self._order.remove(node.key)
        same_address = self._addresses[node.key.address]
        same_address.remove(node.key)
        if not same_address:
            del self._addresses[node.key.address]
