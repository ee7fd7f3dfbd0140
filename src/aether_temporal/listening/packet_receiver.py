"""Admission of datagrams: allow-list, checks, rate limits, sequence. Uses no socket and no clock.

UDP does not say who sent a packet: a forger can use a node's address and id. So that forged packets do not silence the
node, each datagram passes these steps, and the first one that fails rejects and counts it:

1. The address is on the allow-list, where there is one.
2. The datagram is a well-formed packet: magic, length, CRC, values. A malformed one uses up no tokens.
3. The packet continues the running sequence of a node that has a row: it takes a token of *that node's* bucket (1000
   packets a second). It needs nothing from its address, so forged packets, whose numbers do not fit, drain no bucket
   that it depends on.
4. Any other packet takes a token of its *address's* bucket (100 a second, 200 at once): a new node, a late packet, a
   repeated one, a number far ahead or far back.
5. A number that would move a running sequence elsewhere is rejected. A sequence is running after three packets in
   sequence, until it was silent for five seconds. So a node that restarts is accepted again five seconds later.
6. A new node needs a place on the list of nodes, where there is one, and a free row (see `node_table`).

A forger who reads the node's packets, or guesses its next numbers, can send packets in sequence; only authentication
prevents that. A new node, or one that restarts, competes with forged packets for the tokens of its address.
Memory is bounded: `max_nodes` rows, 1024 buckets of addresses, 1024 remembered results of the allow-list.
"""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aether_temporal.recordings.node_packets import Order

from .node_table import NodeTable
from .nodes import Kind, Node, NodeKey, TokenBucket, kind_of
from .packets import Packet, Rejected, Rejection, claimed_node, parse

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ADDRESS_RATE, ADDRESS_BURST = 100.0, 200.0
"""Packets a second, and at once, that an address may send beyond those in sequence."""

_REMEMBERED = 1024


class AddressLimits:
    """One token bucket per address, for at most `max_addresses`. The address that was silent longest is forgotten."""

    def __init__(self, rate: float, burst: float, max_addresses: int = 1024) -> None:
        self.rate = rate
        self._burst, self._max_addresses = burst, max_addresses
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: str, now: float) -> bool:
        """Takes a token of that address; False when it has none."""
        bucket = self._buckets.get(address)
        if bucket is None:
            if len(self._buckets) >= self._max_addresses:
                self._buckets.popitem(last=False)
            bucket = self._buckets[address] = TokenBucket(self.rate, self._burst, now)
        else:
            self._buckets.move_to_end(address)
        return bucket.take(now)


@dataclass(frozen=True, slots=True)
class Arrival:
    """An accepted packet. `time`: seconds since 1970; `data`: the whole datagram."""

    node: Node
    packet: Packet
    order: Order
    data: bytes
    port: int
    time: float


class PacketReceiver:
    """Takes datagrams and keeps the table of nodes. `on_arrival` is called with each accepted packet, late ones too."""

    def __init__(
        self,
        table: NodeTable | None = None,
        *,
        allow: Sequence[Network] = (),
        on_arrival: Callable[[Arrival], None] | None = None,
    ) -> None:
        self.table = NodeTable() if table is None else table
        self.addresses = AddressLimits(ADDRESS_RATE, ADDRESS_BURST)
        self.received = 0
        self.accepted: Counter[Kind] = Counter()
        self.rejected: Counter[str] = Counter()
        self.last_rejected: tuple[str, Rejected] | None = None  # address and reason
        self._node_rate = Rejected(
            Rejection.NODE_RATE, f"at most {self.table.rate:g} packets a second of a node", "more"
        )
        self._address_rate = Rejected(
            Rejection.ADDRESS_RATE, f"at most {ADDRESS_RATE:g} packets a second out of sequence of an address", "more"
        )
        self._allow = tuple(allow)
        self._allowed: dict[str, bool] = {}
        self._on_arrival = on_arrival

    def take(self, data: bytes, address: str, port: int, wall: float, now: float) -> Rejected | None:
        """Takes one datagram; None when it was accepted.

        wall: seconds since 1970. now: seconds of a clock that never goes back.
        """
        self.received += 1
        if self._allow and not self._is_allowed(address):
            return self._reject(address, Rejected(Rejection.NOT_ALLOWED, "an address that is allowed", address))
        packet = parse(data)
        if isinstance(packet, Rejected):
            claimed = claimed_node(data)
            node = None if claimed is None else self.table.find(NodeKey(address, claimed))
            return self._reject(address, packet, node)
        key = NodeKey(address, packet.node_id)
        known = self.table.find(key)
        found = self._admit(packet, key, known, wall, now)
        if known is not None:
            known.notice(packet, port)
        if isinstance(found, Rejected):
            return self._reject(address, found, known)
        order = found.take(packet, wall, now)
        self.table.touch(found)
        self.accepted[kind_of(packet)] += 1
        if self._on_arrival is not None:
            self._on_arrival(Arrival(found, packet, order, data, port, wall))
        return None

    def _admit(self, packet: Packet, key: NodeKey, node: Node | None, wall: float, now: float) -> Node | Rejected:
        """Steps 3 to 6 of the module's description."""
        if node is not None and node.in_sequence(packet, now):
            return node if node.bucket.take(now) else self._node_rate
        if not self.table.lists(key):
            return Rejected(Rejection.NOT_LISTED, "a node of the list", f"{key.node_id}@{key.address}")
        if not self.addresses.take(key.address, now):
            return self._address_rate
        if node is None:
            return self.table.add(key, wall, now)
        if not node.allows(packet, now):
            return Rejected(Rejection.OUT_OF_SEQUENCE, "the next number of a running sequence", packet.sequence)
        return node

    def _reject(self, address: str, rejected: Rejected, node: Node | None = None) -> Rejected:
        self.rejected[rejected.reason] += 1
        self.last_rejected = (address, rejected)
        if node is not None:
            node.rejected[rejected.reason] += 1
        return rejected

    def _is_allowed(self, address: str) -> bool:
        found = self._allowed.get(address)
        if found is None:
            parsed = ipaddress.ip_address(address)
            found = any(parsed in network for network in self._allow)
            if len(self._allowed) >= _REMEMBERED:
                self._allowed.clear()
            self._allowed[address] = found
        return found
