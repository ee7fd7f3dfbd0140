"""The nodes that are known: a table that a flood of made-up ones cannot fill.

- A row costs constant memory, and there are at most `max_nodes`; of one address at most a quarter of them.
- A node of which fewer than three packets came is a stranger. Where there is no room for a newcomer (in the table, or
  among the rows of its address), the stranger that was silent longest gives way; if there is none, the known node that
  was silent longest, provided that it has been for a minute. Otherwise the newcomer is refused.

So nodes that are alive keep their rows, whoever makes up how many others.
"""

from __future__ import annotations

from collections import OrderedDict

from .nodes import Node, NodeKey
from .rate import Bucket
from .refusal import Refusal, Refused

KNOWN_AFTER = 3
"""Packets after which a node is no stranger any more."""

IDLE = 60.0
"""Seconds of silence after which a known node may have to give way."""

_ADDRESS_SHARE = 4
_ADDRESS_RATE = 10


class _Ranks:
    """Nodes by how long they have been silent, strangers apart."""

    def __init__(self) -> None:
        self._strangers: OrderedDict[NodeKey, Node] = OrderedDict()
        self._known: OrderedDict[NodeKey, Node] = OrderedDict()

    def __len__(self) -> int:
        return len(self._strangers) + len(self._known)

    def heard(self, node: Node) -> None:
        """Moves a node to the end; a new one comes in here."""
        if node.packets < KNOWN_AFTER:
            self._strangers[node.key] = node
            self._strangers.move_to_end(node.key)
        else:
            self._strangers.pop(node.key, None)
            self._known[node.key] = node
            self._known.move_to_end(node.key)

    def remove(self, key: NodeKey) -> None:
        self._strangers.pop(key, None)
        self._known.pop(key, None)

    def yielding(self, now: float) -> Node | None:
        """Who gives way to a newcomer."""
        if self._strangers:
            return next(iter(self._strangers.values()))
        oldest = next(iter(self._known.values()), None)
        return oldest if oldest is not None and now - oldest.heard >= IDLE else None


class _Address:
    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.ranks = _Ranks()


class NodeTable:
    """Rows by (address, node id). `rate`: packets a second that one node may send; an address may send ten times as
    many. Either may send what it may in a second at once."""

    def __init__(self, max_nodes: int = 256, rate: float = 400.0) -> None:
        self.max_nodes, self.max_per_address = max_nodes, max(1, max_nodes // _ADDRESS_SHARE)
        self.rate = rate
        self.evicted = 0
        self._fast_node = Refused(Refusal.TOO_FAST, f"at most {rate:g} packets a second of a node", "more")
        self._fast_address = Refused(
            Refusal.TOO_FAST, f"at most {rate * _ADDRESS_RATE:g} packets a second of an address", "more"
        )
        self._rows: dict[NodeKey, Node] = {}
        self._ranks = _Ranks()
        self._addresses: dict[str, _Address] = {}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def addresses(self) -> int:
        """How many addresses have rows."""
        return len(self._addresses)

    def find(self, key: NodeKey) -> Node | None:
        return self._rows.get(key)

    def nodes(self) -> list[Node]:
        """All, by address and node id."""
        return sorted(self._rows.values(), key=lambda node: (node.key.node_id, node.key.address))

    def admit(self, key: NodeKey, wall: float, now: float) -> Node | Refused:
        """The row of a packet's node, made where there is room, provided that node and address keep to their rates.
        Report the packet with `heard` once it is counted."""
        node = self._rows.get(key)
        if node is None:
            newcomer = self._make(key, wall, now)
            if isinstance(newcomer, Refused):
                return newcomer
            node = newcomer
        if not node.bucket.take(now):
            return self._fast_node
        if not self._addresses[key.address].bucket.take(now):
            return self._fast_address
        return node

    def heard(self, node: Node) -> None:
        """The node has just been heard."""
        self._ranks.heard(node)
        self._addresses[node.key.address].ranks.heard(node)

    def _make(self, key: NodeKey, wall: float, now: float) -> Node | Refused:
        address = self._addresses.get(key.address)
        crowded = address is not None and len(address.ranks) >= self.max_per_address
        if crowded or len(self._rows) >= self.max_nodes:
            ranks = address.ranks if address is not None and crowded else self._ranks
            victim = ranks.yielding(now)
            if victim is None:
                limit = f"{self.max_per_address} nodes at one address" if crowded else f"{self.max_nodes} nodes"
                return Refused(Refusal.TABLE_FULL, f"at most {limit}", "another one")
            self._evict(victim)
        if key.address not in self._addresses:
            limit_ = self.rate * _ADDRESS_RATE
            self._addresses[key.address] = _Address(Bucket(limit_, limit_, now))
        node = Node(key, Bucket(self.rate, max(1.0, self.rate), now), wall, wall, now)
        self._rows[key] = node
        self.heard(node)
        return node

    def _evict(self, node: Node) -> None:
        self.evicted += 1
        del self._rows[node.key]
        self._ranks.remove(node.key)
        address = self._addresses[node.key.address]
        address.ranks.remove(node.key)
        if not address.ranks:
            del self._addresses[node.key.address]
