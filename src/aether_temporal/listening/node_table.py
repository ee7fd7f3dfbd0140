"""The bounded table of nodes, and which nodes may have a row.

- A row takes constant memory. There are at most `max_nodes` rows, and at most a quarter of them for one address.
- A node is known once three of its packets were accepted. When there is no row for a new node, the node is removed that
  was silent longest among

  1. the nodes of its address, where that has its share already: unknown ones, then known ones that were silent for a
     minute;
  2. all unknown nodes, as long as they have more than an eighth of the rows;
  3. all known nodes that were silent for a minute;
  4. the nodes of the address with the most rows, where that has more than a 32nd: beyond these, an address has rows
     only while no other address needs them;
  5. all unknown nodes.

  If there is none, the new node is rejected. So a few addresses cannot keep new nodes out, a flood cannot remove
  the nodes of an address that has no more than eight, and new nodes cannot displace each other before they are known.
- With a list of nodes, no others are accepted, and each entry has a row of its own. An entry without an address takes
  the first address that says its id, until that was silent for a minute.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from .nodes import KNOWN_AFTER, NODE_RATE, Node, NodeKey
from .packets import Rejected, Rejection

IDLE = 60.0
"""Seconds of silence after which a known node may be removed for a new one."""


_ADDRESS_SHARE, _UNKNOWN_SHARE, _KEPT_SHARE = 4, 8, 32


class ListedNode(NamedTuple):
    """An entry of a list of nodes. address None: any, one at a time."""

    node_id: int
    address: str | None = None


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

    def unknown(self, more_than: int = 0) -> Node | None:
        """The unknown node that was silent longest, where there are more than so many."""
        return next(iter(self._unknown.values())) if len(self._unknown) > more_than else None

    def known(self, now: float, silent: float = IDLE) -> Node | None:
        """The known node that was silent longest, where that is so many seconds."""
        oldest = next(iter(self._known.values()), None)
        return oldest if oldest is not None and now - oldest.heard >= silent else None


class NodeTable:
    """Nodes by address and id. `rate`: packets a second that one node may send, and as many at once; `listed`: the only
    nodes to accept (none: all)."""

    def __init__(self, max_nodes: int = 256, rate: float = NODE_RATE, listed: Iterable[ListedNode] = ()) -> None:
        self.max_nodes, self.max_per_address = max_nodes, max(1, max_nodes // _ADDRESS_SHARE)
        self.kept_per_address = max(1, max_nodes // _KEPT_SHARE)
        self.rate = rate
        self.listed = frozenset(listed)
        self.evicted = 0
        self._ids = {entry.node_id for entry in self.listed if entry.address is None}
        self._holders: dict[int, Node] = {}  # which node has the row of an entry without an address
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

    def lists(self, key: NodeKey) -> bool:
        """Whether the node may have a row at all."""
        return not self.listed or key.node_id in self._ids or ListedNode(key.node_id, key.address) in self.listed

    def add(self, key: NodeKey, wall: float, now: float) -> Node | Rejected:
        """A row for a new node. Rejected where there is no room."""
        rejected = self._free_listed_row(key, now) if self.listed else self._free_row(key.address, now)
        if rejected is not None:
            return rejected
        node = Node(key, self.rate, wall, wall, now)
        self._rows[key] = node
        self._addresses.setdefault(key.address, _LeastRecent())
        if self._shares_entry(key):
            self._holders[key.node_id] = node
        self.touch(node)
        return node

    def touch(self, node: Node) -> None:
        """Notes that a packet of the node was accepted."""
        self._order.touch(node)
        self._addresses[node.key.address].touch(node)

    def _free_row(self, address: str, now: float) -> Rejected | None:
        """Removes a node where a new one of this address needs its row; why the new one is rejected, if it is."""
        its_own = self._addresses.get(address, _LeastRecent())
        crowded = len(its_own) >= self.max_per_address
        if len(self._rows) < self.max_nodes and not crowded:
            return None
        if crowded or len(its_own) >= self.kept_per_address:
            found = its_own.unknown() or its_own.known(now)
        else:
            found = (
                self._order.unknown(self.max_nodes // _UNKNOWN_SHARE)
                or self._order.known(now)
                or self._lent(now)
                or self._order.unknown()
            )
        if found is None:
            limit = f"{self.max_per_address} nodes at one address" if crowded else f"{self.max_nodes} nodes"
            return Rejected(Rejection.TABLE_FULL, f"at most {limit}", "another one")
        self._evict(found)
        return None

    def _lent(self, now: float) -> Node | None:
        """The node that was silent longest at the address with the most rows, where those are more than it keeps."""
        most = max(self._addresses.values(), key=len)
        return (most.unknown() or most.known(now, 0.0)) if len(most) > self.kept_per_address else None

    def _free_listed_row(self, key: NodeKey, now: float) -> Rejected | None:
        """Frees the row of an entry without an address from a node that is no longer heard."""
        holder = self._holders.get(key.node_id)
        if holder is None or not self._shares_entry(key):
            return None
        if now - holder.heard < IDLE:
            return Rejected(Rejection.TABLE_FULL, f"one node {key.node_id}, which is {holder.key.address}", key.address)
        self._evict(holder)
        return None

    def _shares_entry(self, key: NodeKey) -> bool:
        """Whether the list names the node by its id alone."""
        return bool(self.listed) and ListedNode(key.node_id, key.address) not in self.listed

    def _evict(self, node: Node) -> None:
        self.evicted += 1
        del self._rows[node.key]
        self._order.remove(node.key)
        same_address = self._addresses[node.key.address]
        same_address.remove(node.key)
        if not same_address:
            del self._addresses[node.key.address]
