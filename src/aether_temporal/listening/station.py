"""One datagram after the other: allowed, checked, admitted, counted, handed on. Knows no socket and no clock."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aether_temporal.recordings.sequence import Order

from .gate import Gate
from .nodes import Kind, Node, NodeKey, kind_of
from .packets import Packet, claimed_node, parse
from .refusal import Refusal, Refused
from .table import NodeTable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_REMEMBERED = 1024
_ADDRESS_RATE = 10


@dataclass(frozen=True, slots=True)
class Arrival:
    """An accepted packet. `time`: seconds since 1970; `data`: the whole datagram."""

    node: Node
    packet: Packet
    order: Order
    data: bytes
    port: int
    time: float


class Station:
    """Takes datagrams; `on_arrival` is told of those that are accepted (out of order ones included).

    An address may send ten times what the table allows a node.
    """

    def __init__(
        self,
        table: NodeTable | None = None,
        *,
        allow: Sequence[Network] = (),
        on_arrival: Callable[[Arrival], None] | None = None,
    ) -> None:
        self.table = NodeTable() if table is None else table
        self.gate = Gate(_ADDRESS_RATE * self.table.rate)
        self.received = 0
        self.accepted: Counter[Kind] = Counter()
        self.refused: Counter[str] = Counter()
        self.last_refused: tuple[str, Refused] | None = None  # address and why
        self._too_fast = Refused(Refusal.TOO_FAST, f"at most {self.gate.rate:g} packets a second of an address", "more")
        self._allow = tuple(allow)
        self._allowed: dict[str, bool] = {}
        self._on_arrival = on_arrival

    def take(self, data: bytes, address: str, port: int, wall: float, now: float) -> Refused | None:
        """One datagram from there; None: accepted. `wall`: seconds since 1970, `now`: of a clock that never goes
        back."""
        self.received += 1
        if not self.gate.admit(address, now):
            return self._refuse(address, self._too_fast)
        if self._allow and not self._is_allowed(address):
            return self._refuse(address, Refused(Refusal.NOT_ALLOWED, "an address that is allowed", address))
        packet = parse(data)
        if isinstance(packet, Refused):
            claimed = claimed_node(data)
            node = None if claimed is None else self.table.find(NodeKey(address, claimed))
            return self._refuse(address, packet, node)
        # Parsing costs no more than this and comes first: what is damaged must not use up a node's rate.
        key = NodeKey(address, packet.node_id)
        admitted = self.table.admit(key, wall, now)
        if isinstance(admitted, Refused):
            return self._refuse(address, admitted, self.table.find(key))
        order = admitted.take(packet, wall, now)
        self.table.heard(admitted)
        self.accepted[kind_of(packet)] += 1
        if self._on_arrival is not None:
            self._on_arrival(Arrival(admitted, packet, order, data, port, wall))
        return None

    def _refuse(self, address: str, refused: Refused, node: Node | None = None) -> Refused:
        self.refused[refused.reason] += 1
        self.last_refused = (address, refused)
        if node is not None:
            node.refused[refused.reason] += 1
        return refused

    def _is_allowed(self, address: str) -> bool:
        found = self._allowed.get(address)
        if found is None:
            parsed = ipaddress.ip_address(address)
            found = any(parsed in network for network in self._allow)
            if len(self._allowed) >= _REMEMBERED:
                self._allowed.clear()
            self._allowed[address] = found
        return found
