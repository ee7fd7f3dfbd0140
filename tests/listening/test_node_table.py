"""Which nodes have a row: a few addresses cannot keep others out, and listed nodes always have a place."""

from __future__ import annotations

import pytest
from wire import raw

from aether_temporal.listening import ListedNode, NodeKey, NodeTable, PacketReceiver


def known(found: PacketReceiver, node: int, address: str, now: float) -> bool:
    """Sends three packets of a new node; whether it has a row then."""
    for i in range(3):
        found.take(raw(node, i), address, 1, 0.0, now + i / 50)
    row = found.table.find(NodeKey(address, node))
    return row is not None and row.packets == 3


@pytest.mark.parametrize("crowds", [4, 8, 16])
def test_a_few_addresses_with_many_nodes_do_not_keep_new_nodes_out(crowds: int) -> None:
    """Addresses that keep all 256 rows, with about four packets a second."""
    found = PacketReceiver()
    rows = [(node, f"10.0.0.{i}") for i in range(crowds) for node in range(256 // crowds)]
    now = 0.0
    for node, address in rows:
        now += 0.02
        assert known(found, node, address, now)
    assert len(found.table) == 256
    for turn in range(1, 4):
        for place, (node, address) in enumerate(rows):  # each once a minute
            found.take(raw(node, 2 + turn), address, 1, 0.0, now + turn * 59 + place * 59 / 256)
    later = now + 4 * 59
    for i in range(40):
        assert known(found, 1, f"192.168.1.{i}", later + i / 100), i
    for i in range(40):  # and they stay
        assert found.table.find(NodeKey(f"192.168.1.{i}", 1)) is not None
    left = {address: sum(row.key.address == address for row in found.table.nodes()) for _, address in rows}
    assert min(left.values()) >= 8
    assert len(found.table) == 256


def test_an_address_keeps_its_first_rows_whatever_others_send() -> None:
    """Eight rows of 256, while its nodes are heard."""
    found = PacketReceiver()
    for node in range(20):
        assert known(found, node, "10.0.0.1", node / 10)
    for i in range(2000):
        now = 10 + i / 50
        known(found, 1, f"10.{1 + i // 250}.{i % 250}.1", now)
        for node in range(12, 20):
            found.take(raw(node, 3 + i), "10.0.0.1", 1, 0.0, now)
    kept = [row.key.node_id for row in found.table.nodes() if row.key.address == "10.0.0.1"]
    assert set(range(12, 20)) <= set(kept)
    assert len(found.table) == 256


def test_new_nodes_of_a_crowded_address_displace_none_of_other_addresses() -> None:
    """A new node becomes known although another address invents nodes as fast as it may."""
    found = PacketReceiver()
    for i in range(255):
        assert known(found, 1, f"10.0.{i}.1", i / 100)
    for node in range(9):
        known(found, node, "10.9.9.9", 3.0)
    assert len(found.table) == 256
    now = 4.0
    for i in range(3):
        found.take(raw(5, i), "192.168.1.5", 1, 0.0, now)
        for node in range(100, 130):
            found.take(raw(node, 0), "10.9.9.9", 1, 0.0, now)
        now += 0.02
    row = found.table.find(NodeKey("192.168.1.5", 5))
    assert row is None or row.packets == 3


def test_only_listed_nodes_are_accepted_and_each_has_a_place() -> None:
    listed = [ListedNode(3, "192.168.1.21"), ListedNode(7)]
    found = PacketReceiver(NodeTable(listed=listed))
    for i in range(200):  # a flood under all ids from many addresses
        for node in (1, 3, 4, 255):
            rejected = found.take(raw(node, 0), f"10.0.0.{i}", 1, 0.0, 0.0)
            assert rejected is not None
            assert str(rejected) == f"not_listed: expected a node of the list, found {node}@10.0.0.{i}"
    assert known(found, 3, "192.168.1.21", 0.0)
    assert known(found, 7, "192.168.1.22", 0.0)
    assert len(found.table) == 2
    assert found.rejected == {"not_listed": 800}


def test_an_entry_without_an_address_has_one_node_at_a_time() -> None:
    found = PacketReceiver(NodeTable(listed=[ListedNode(7)]))
    assert known(found, 7, "192.168.1.22", 0.0)
    rejected = found.take(raw(7, 0), "192.168.1.23", 1, 0.0, 30.0)
    said = "table_full: expected one node 7, which is 192.168.1.22, found 192.168.1.23"
    assert str(rejected) == said
    assert known(found, 7, "192.168.1.23", 61.0)  # the first has been silent for a minute
    assert [row.key.address for row in found.table.nodes()] == ["192.168.1.23"]
