"""The nodes that are known: a table that a flood of made-up ones cannot fill.

- A row costs constant memory, and there are at most `max_nodes`; of one address at most a quarter of them.
- A node of which fewer than three packets came is a stranger. Where there is no room for a newcomer (in the table, or
  among the rows of its address), the stranger that was silent longest gives way; if there is none, the known node that
  was silent longest, provided that it has been for a minute. Otherwise the newcomer is refused.
- At most 1000 rows a second are made.

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
_NEWCOMERS = 1000.0  # a second


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


class NodeTable:
    """Rows by (address, node id). `rate`: packets a second that one node may send, and as many at once."""

    def __init__(self, max_nodes: int = 256, rate: float = 400.0) -> None:
        self.max_nodes, self.max_per_address = max_nodes, max(1, max_nodes // _ADDRESS_SHARE)
        self.rate = rate
        self.evicted = 0
        self._fast_node = Refused(Refusal.TOO_FAST, f"at most {rate:g} packets a second of a node", "more")
        self._fast_newcomer = Refused(Refusal.TOO_FAST, f"at most {_NEWCOMERS:g} new nodes a second", "more")
        self._newcomers: Bucket | None = None
        self._rows: dict[NodeKey, Node] = {}
        self._ranks = _Ranks()
        self._addresses: dict[str, _Ranks] = {}

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
        """The row of a packet's node, made where there is room, provided that the node keeps to its rate. Report the
        packet with `heard` once it is counted."""
        node = self._rows.get(key)
        if node is None:
            newcomer = self._make(key, wall, now)
            if isinstance(newcomer, Refused):
                return newcomer
            node = newcomer
        if not node.bucket.take(now):
            return self._fast_node
        return node

    def heard(self, node: Node) -> None:
        """The node has just been heard."""
        self._ranks.heard(node)
        self._addresses[node.key.address].heard(node)

    def _make(self, key: NodeKey, wall: float, now: float) -> Node | Refused:
        if self._newcomers is None:
            self._newcomers = Bucket(_NEWCOMERS, _NEWCOMERS, now)
        if not self._newcomers.take(now):
            return self._fast_newcomer
        neighbours = self._addresses.get(key.address)
        crowded = neighbours is not None and len(neighbours) >= self.max_per_address
        if crowded or len(self._rows) >= self.max_nodes:
            ranks = neighbours if neighbours is not None and crowded else self._ranks
            victim = ranks.yielding(now)
            if victim is None:
                limit = f"{self.max_per_address} nodes at one address" if crowded else f"{self.max_nodes} nodes"
                return Refused(Refusal.TABLE_FULL, f"at most {limit}", "another one")
            self._evict(victim)
        node = Node(key, Bucket(self.rate, max(1.0, self.rate), now), wall, wall, now)
        self._rows[key] = node
        self._addresses.setdefault(key.address, _Ranks())
        self.heard(node)
        return node

    def _evict(self, node: Node) -> None:
        self.evicted += 1
        del self._rows[node.key]
        self._ranks.remove(node.key)
        neighbours = self._addresses[node.key.address]
        neighbours.remove(node.key)
        if not neighbours:
            del self._addresses[node.key.address]
