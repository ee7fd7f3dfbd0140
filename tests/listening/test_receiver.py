"""Sockets of this computer, and which packets are admitted: forged ones, floods, invented nodes, known nodes' rows."""

from __future__ import annotations

import errno
import ipaddress
import random
import socket
import sys
import time

import pytest
from hang import HANG
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import classification, features, raw

from aether_temporal.errors import InvalidArgumentError
from aether_temporal.listening import (
    Arrival,
    Kind,
    ListedNode,
    NodeKey,
    NodeTable,
    PacketReceiver,
    RawFrame,
    UdpListener,
)
from aether_temporal.listening.documents import take_snapshot
from aether_temporal.listening.nodes import RateMeter, TokenBucket
from aether_temporal.listening.packet_receiver import ADDRESS_BURST, ADDRESS_RATE, AddressLimits
from aether_temporal.listening.udp_listener import buffer_size, listening_socket, sender_of
from aether_temporal.recordings.node_packets import Order

GOOD = "192.168.1.7"


def receiver(**options: object) -> PacketReceiver:
    return PacketReceiver(NodeTable(**options))  # type: ignore[arg-type]


def test_a_node_is_an_address_and_an_id() -> None:
    found = receiver()
    for address in (GOOD, "192.168.1.8", "fe80::1%eth0"):
        assert found.take(classification(3), address, 4000, 0.0, 0.0) is None
    assert found.take(classification(4), GOOD, 4000, 0.0, 0.0) is None
    assert found.take(classification(3, 1, argmax=2), GOOD, 4999, 1.0, 1.0) is None  # from another port
    assert [(node.key.node_id, node.key.address) for node in found.table.nodes()] == [
        (3, GOOD),
        (3, "192.168.1.8"),
        (3, "fe80::1%eth0"),
        (4, GOOD),
    ]
    node = found.table.find(NodeKey(GOOD, 3))
    assert node is not None
    assert node.prediction is not None
    assert node.prediction.class_index == 2
    assert node.packets == 2


def test_counts_each_kind() -> None:
    found = receiver()
    for i in range(5):
        found.take(raw(1, 10 + i), GOOD, 1, 0.0, i / 50)
    found.take(features(1, 65535), GOOD, 1, 0.0, 0.2)
    found.take(features(1, 1), GOOD, 1, 0.0, 0.3)
    found.take(classification(1, 9), GOOD, 1, 0.0, 0.4)
    node = found.table.nodes()[0]
    assert dict(node.accepted) == {Kind.RAW: 5, Kind.FEATURES: 2, Kind.CLASSIFICATION: 1}
    assert dict(found.accepted) == dict(node.accepted)
    assert node.total("missing") == 1
    assert node.rssi == -40


def test_counts_rejected_packets_by_reason() -> None:
    found = receiver()
    found.take(classification(1), GOOD, 1, 0.0, 0.0)
    before = found.table.nodes()[0].prediction
    for data in (b"", b"hello", classification(1, 1)[:-1], classification(1, 1, argmax=9), raw(2)[:30]):
        assert found.take(data, GOOD, 1, 0.0, 0.0) is not None
    assert dict(found.rejected) == {"short": 1, "magic": 1, "length": 2, "argmax": 1}
    node = found.table.nodes()[0]
    assert len(found.table) == 1
    assert dict(node.rejected) == {"length": 1, "argmax": 1}
    assert node.prediction is before
    assert found.received == 6
    assert (
        take_snapshot(found, 0.0, None).last_rejected
        == f"{GOOD}: length: expected 32 bytes, as its header declares, found 30"
    )


def test_a_packet_out_of_order_changes_no_prediction() -> None:
    seen: list[Arrival] = []
    found = PacketReceiver(on_arrival=seen.append)
    for sequence, argmax in ((5, 1), (4, 2), (5, 3)):
        assert found.take(classification(1, sequence, argmax=argmax), GOOD, 1, 0.0, 0.0) is None
    assert [arrival.order for arrival in seen] == [Order.NEW, Order.LATE, Order.DUPLICATE]
    prediction = found.table.nodes()[0].prediction
    assert prediction is not None
    assert prediction.class_index == 1


def test_counts_clock_jumps_of_a_node() -> None:
    found = receiver()
    for i, ts in enumerate((10, 11, 2**64 // 10**6 - 1, 12, 13)):
        assert found.take(classification(1, i, ts_us=ts * 10**6), GOOD, 1, 1000.0 + i, float(i)) is None
    node = found.table.nodes()[0]
    assert node.clock_jumps == 2
    assert node.last_seen == 1004.0


def test_accepts_allowed_addresses_only() -> None:
    networks = [ipaddress.ip_network("192.168.1.0/24"), ipaddress.ip_network("fd00::/8")]
    found = PacketReceiver(allow=networks)
    for address, allowed in (
        (GOOD, True),
        ("192.168.2.7", False),
        ("fd12::9", True),
        ("fe80::1%eth0", False),
        ("10.0.0.1", False),
    ):
        assert (found.take(classification(), address, 1, 0.0, 0.0) is None) is allowed
    assert dict(found.rejected) == {"not_allowed": 3}
    for i in range(5000):
        found.take(classification(), f"10.1.{i % 256}.{i // 256}", 1, 0.0, 0.0)
    assert len(found._allowed) <= 1024


def test_token_bucket_gives_its_burst_then_its_rate() -> None:
    bucket = TokenBucket(8.0, 5.0, 0.0)
    assert sum(bucket.take(0.0) for _ in range(9)) == 5
    assert [bucket.take(t / 16) for t in range(1, 9)] == [False, True] * 4
    assert not bucket.take(-5.0)  # a clock that goes back adds no tokens
    assert sum(bucket.take(1000.0) for _ in range(9)) == 5


def test_rate_meter_converges_and_decays() -> None:
    rate = RateMeter()
    assert rate.value(0.0) == 0
    for i in range(501):
        rate.count(i * 0.02)
        if i in (10, 50, 500):
            assert rate.value(i * 0.02) == pytest.approx(50, rel=0.02)
    assert rate.value(13.0) < 20
    assert rate.value(60.0) < 0.001


def test_a_flood_of_one_node_costs_only_that_node() -> None:
    """A node at 3000 packets a second is limited. Another one at the same address, at 50 a second, loses nothing."""
    found = receiver(rate=400.0)
    lost = 0
    sequence = 0
    for tick in range(3000):  # ten seconds
        now = tick / 300
        for _ in range(10):
            found.take(raw(9, sequence), GOOD, 1, now, now)
            sequence += 1
        if tick % 6 == 0:
            lost += found.take(raw(1, tick // 6), GOOD, 1, now, now) is not None
    assert lost == 0
    flooder = found.table.find(NodeKey(GOOD, 9))
    assert flooder is not None
    assert flooder.packets <= 4400  # its rate, and a burst
    assert flooder.rejected["node_rate"] > 20_000
    assert flooder.rejected.total() == 30_000 - flooder.packets


def forged(rng: random.Random, kind: str, node: int, count: int) -> bytes:
    """A packet that a forger sends under a node's id (or others), without knowing the node's numbers."""
    if kind == "random numbers":
        return raw(node, rng.randrange(2**32))
    if kind == "running numbers":
        return raw(node, 3_000_000_000 + count)
    if kind == "numbers from 0":
        return raw(node, count % 3000)
    if kind == "one number":
        return raw(node, 77)
    if kind == "classifications":
        return classification(node, rng.randrange(2**32), argmax=3)
    if kind == "other nodes":
        return raw(rng.randrange(256), rng.randrange(2**32))
    if kind == "wrong CRC":
        return classification(node, count)[:-1] + b"?"
    assert kind == "garbage"
    return rng.randbytes(rng.randrange(100))


FORGED = (
    "random numbers",
    "running numbers",
    "numbers from 0",
    "one number",
    "classifications",
    "other nodes",
    "wrong CRC",
    "garbage",
)


@pytest.mark.parametrize("kind", [*FORGED, "all of them"])
def test_forged_packets_do_not_silence_a_running_node(kind: str) -> None:
    """2500 forged packets a second from the node's own address: it loses none of its raw frames and classifications.

    Its predictions remain its own.
    """
    rng = random.Random(kind)
    seen: list[Arrival] = []
    found = PacketReceiver(on_arrival=seen.append)
    first = 1_000_000
    for i in range(5):  # the node runs before the flood begins
        assert found.take(raw(7, first + i), GOOD, 1, 0.0, i / 50) is None
        assert found.take(classification(7, 500 + i, argmax=1), GOOD, 1, 0.0, i / 50) is None
    heard, count = 0, 0
    for i in range(5, 405):  # eight seconds
        for j in range(50):
            now = (i + j / 50) / 50
            which = kind if kind in FORGED else FORGED[count % len(FORGED)]
            found.take(forged(rng, which, 7, count), GOOD, 2, 0.0, now)
            count += 1
        now = (i + 1) / 50
        heard += found.take(raw(7, first + i), GOOD, 1, 0.0, now) is None
        if i % 50 == 0:
            heard += found.take(classification(7, 505 + i // 50, argmax=1), GOOD, 1, 0.0, now) is None
            node = found.table.find(NodeKey(GOOD, 7))
            assert node is not None
            assert node.prediction is not None
            assert node.prediction.class_index == 1
    assert heard == 400 + 8
    frames = [a for a in seen if a.port == 1 and a.order.in_order and isinstance(a.packet, RawFrame)]
    assert len(frames) == 405
    assert found.received == 10 + count + 408
    assert sum(found.rejected.values()) + sum(found.accepted.values()) == found.received
    assert sum(found.accepted.values()) - heard - 10 <= ADDRESS_BURST + 9 * ADDRESS_RATE


def test_a_restarted_node_is_accepted_after_five_seconds() -> None:
    found = receiver()
    for i in range(50):
        assert found.take(raw(1, 1_000_000 + i), GOOD, 1, 0.0, i / 50) is None
    results = [found.take(raw(1, i), GOOD, 1, 0.0, 1 + i / 50) for i in range(400)]
    first = next(i for i, result in enumerate(results) if result is None)
    assert {str(result.reason) for result in results[:first] if result} == {"out_of_sequence"}
    assert 5.9 < 1 + first / 50 < 6.1
    assert all(result is None for result in results[first:])
    assert found.table.nodes()[0].total("restarts") == 1


def test_numbers_may_advance_with_the_time_that_passed() -> None:
    """A node that the network cut off for two seconds continues at once; one that jumps ahead does not."""
    found = receiver()
    for i in range(50):
        assert found.take(raw(1, i), GOOD, 1, 0.0, i / 50) is None
    assert found.take(raw(1, 150), GOOD, 1, 0.0, 3.0) is None
    rejected = found.take(raw(1, 50_000), GOOD, 1, 0.0, 3.02)
    assert str(rejected) == "out_of_sequence: expected the next number of a running sequence, found 50000"
    assert found.take(raw(1, 151), GOOD, 1, 0.0, 3.02) is None
    assert found.table.nodes()[0].total("missing") == 100


def test_a_flood_of_invented_nodes_neither_grows_the_table_nor_evicts_live_nodes() -> None:
    """Every id at thousands of addresses: live nodes keep their rows and lose no packet."""
    found = receiver(max_nodes=64)
    good = [(f"192.168.1.{i}", i) for i in range(10)]
    rng = random.Random(1)
    sizes = set()
    for tick in range(400):
        now = tick / 50
        for address, node in good:
            assert found.take(raw(node, tick), address, 1, now, now) is None
        for _ in range(50):
            where = f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}"
            found.take(raw(rng.randrange(256), rng.randrange(2**32)), where, 1, now, now)
        sizes.add(len(found.table))
    assert max(sizes) <= 64
    assert found.table.addresses <= 64
    assert found.table.evicted > 5_000
    for address, node in good:
        row = found.table.find(NodeKey(address, node))
        assert row is not None
        assert row.packets == 400
        assert row.total("missing") == row.total("restarts") == 0


def test_one_address_has_at_most_a_quarter_of_the_table() -> None:
    """An address that sends under every id leaves room for others."""
    found = receiver(max_nodes=64)
    for round_ in range(10):
        for node in range(256):
            found.take(raw(node, round_), "10.0.0.66", 1, 0.0, round_ * 10.0)
    assert len(found.table) <= 16
    for i in range(40):
        assert found.take(raw(1, 0), f"192.168.1.{i}", 1, 0.0, 100.0) is None


def test_known_nodes_are_removed_only_after_a_minute_of_silence() -> None:
    found = receiver(max_nodes=4)
    for i in range(4):
        for n in range(3):
            assert found.take(raw(1, n), f"192.168.1.{i}", 1, 0.0, float(i)) is None
    rejected = found.take(raw(1, 0), "192.168.1.9", 1, 0.0, 59.0)
    assert rejected is not None
    assert str(rejected) == "table_full: expected at most 4 nodes, found another one"
    assert found.take(raw(1, 0), "192.168.1.9", 1, 0.0, 60.0) is None  # the first has been silent for a minute
    assert found.table.find(NodeKey("192.168.1.0", 1)) is None
    assert found.take(raw(1, 0), "192.168.1.10", 1, 0.0, 60.5) is None  # an unknown node is removed at once
    assert found.table.find(NodeKey("192.168.1.9", 1)) is None
    assert found.table.find(NodeKey("192.168.1.1", 1)) is not None
    assert found.table.evicted == 2


def test_malformed_packets_use_up_no_tokens() -> None:
    found = receiver(rate=40.0)
    assert found.take(classification(1), GOOD, 1, 0.0, 0.0) is None
    for _ in range(600):
        rejected = found.take(classification(1)[:-1] + b"x", GOOD, 1, 0.0, 0.0)
        assert rejected is not None
        assert rejected.reason == "crc"
    assert sum(found.take(classification(1, 1 + i), GOOD, 1, 0.0, 0.0) is None for i in range(60)) == 40
    assert found.take(classification(2), GOOD, 1, 0.0, 0.0) is None


def test_an_address_has_a_rate_for_packets_out_of_sequence() -> None:
    """Other addresses, and packets in sequence, do not depend on it."""
    found = receiver()
    assert found.take(raw(1, 5000), GOOD, 1, 0.0, 0.0) is None
    results = [found.take(raw(1, 4990), GOOD, 1, 0.0, 0.0) for _ in range(300)]
    assert [result is None for result in results] == [True] * 199 + [False] * 101
    assert str(results[-1]) == (
        "address_rate: expected at most 100 packets a second out of sequence of an address, found more"
    )
    assert found.take(raw(2, 0), GOOD, 1, 0.0, 0.0) is not None
    assert found.take(raw(1, 5001), GOOD, 1, 0.0, 0.0) is None
    assert found.take(raw(2, 0), "192.168.1.8", 1, 0.0, 0.0) is None
    assert found.take(raw(2, 0), GOOD, 1, 0.0, 0.5) is None


def test_buckets_of_addresses_are_bounded() -> None:
    """The address that was silent longest is forgotten."""
    limits = AddressLimits(1.0, 1.0, max_addresses=64)
    assert limits.take("busy", 0.0)
    for i in range(5000):
        assert limits.take(str(i), 0.0)
        assert not limits.take("busy", 0.0)
    assert len(limits) == 64
    assert limits.take("0", 0.0)


def _deep_size(thing: object, seen: set[int]) -> int:
    if id(thing) in seen or isinstance(thing, type | type(sys)) or callable(thing):
        return 0
    seen.add(id(thing))
    size = sys.getsizeof(thing)
    if isinstance(thing, dict):
        size += sum(_deep_size(k, seen) + _deep_size(v, seen) for k, v in thing.items())
    elif isinstance(thing, list | tuple | set | frozenset):
        size += sum(_deep_size(item, seen) for item in thing)
    else:
        slots = [getattr(thing, name, None) for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
        size += sum(_deep_size(value, seen) for value in slots)
        size += _deep_size(getattr(thing, "__dict__", None), seen)
    return size


def test_a_flood_takes_bounded_memory() -> None:
    """The size of everything that a receiver holds, after a flood and after twice as much."""
    found = receiver(max_nodes=32)
    rng = random.Random(2)
    kinds = (raw, classification, features)

    def flood(count: int) -> int:
        for i in range(count):
            data = rng.choice(kinds)(rng.randrange(256), rng.randrange(2**32))
            if rng.random() < 0.3:
                data = data[: rng.randrange(len(data))]
            where = GOOD if rng.random() < 0.5 else f"10.{rng.randrange(256)}.{rng.randrange(256)}.1"
            found.take(data, where, rng.randrange(65536), i / 1000, i / 1000)
        return _deep_size(found, set())

    first = flood(10_000)
    assert first < 500_000
    assert flood(10_000) < 1.3 * first


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.binary(max_size=70),
                st.builds(raw, st.integers(0, 255), st.integers(0, 2**32 - 1)),
                st.builds(classification, st.integers(0, 255), st.integers(0, 2**32 - 1)),
                st.builds(features, st.integers(0, 255), st.integers(0, 2**16 - 1)),
            ),
            st.sampled_from(["10.0.0.1", "10.0.0.2", "::1"]),
            st.floats(-100, 100),
        ),
        max_size=60,
    )
)
def test_every_datagram_is_accepted_or_rejected_and_counted_once(datagrams: list[tuple[bytes, str, float]]) -> None:
    """Also with a clock that goes back."""
    found = receiver(max_nodes=8, rate=5.0)
    for data, address, now in datagrams:
        found.take(data, address, 1, now, now)
    snapshot = take_snapshot(found, 1000.0, None)
    assert snapshot.received == len(datagrams) == sum(snapshot.accepted.values()) + sum(snapshot.rejected.values())
    assert len(snapshot.nodes) <= 8
    for row in snapshot.nodes:
        row.document()
        assert row.missing >= 0


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


def test_an_eighth_of_the_rows_is_for_nodes_that_are_not_known_yet() -> None:
    """Silent known nodes go before the last of these: new nodes do not displace each other before they are known."""
    found = PacketReceiver(NodeTable(max_nodes=64))
    for i in range(56):
        assert known(found, 1, f"10.0.{i}.1", 0.0)
    later = 100.0  # known nodes were silent for more than a minute
    for i in range(16):
        assert found.take(raw(1, 0), f"10.1.{i}.1", 1, 0.0, later + i / 100) is None
    rows = {row.key.address for row in found.table.nodes()}
    assert sum(address.startswith("10.1.") for address in rows) == 8 + 1  # the newest came for one that was known
    assert len(rows) == 64


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


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as found:
            found.bind(("::1", 0))
    except OSError:
        return False
    return True


IPV6 = pytest.mark.skipif(not _has_ipv6(), reason="this computer has no IPv6")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.0/8 as a whole is this computer on Linux only")


def node_at(address: str, family: int = socket.AF_INET) -> socket.socket:
    found = socket.socket(family, socket.SOCK_DGRAM)
    found.bind((address, 0))
    return found


def until_received(listener: UdpListener, count: int) -> None:
    for _ in range(1000):
        if listener.receiver.received >= count:
            return
        listener.poll(0.05)
    raise AssertionError(f"expected {count} datagrams, found {listener.receiver.received}")


def test_several_nodes_at_one_port() -> None:
    seen: list[Arrival] = []
    with UdpListener(PacketReceiver(on_arrival=seen.append), "127.0.0.1", 0) as listener:
        where = listener.address
        with node_at("127.0.0.1") as one, node_at("127.0.0.1") as two:
            for i in range(30):
                one.sendto(raw(1, i), where)
                two.sendto(raw(2, i), where)
                two.sendto(features(2, i), where)
                if i % 10 == 0:
                    one.sendto(classification(1, i // 10), where)
            ports = {one.getsockname()[1], two.getsockname()[1]}
            until_received(listener, 93)
        nodes = {node.key: node for node in listener.receiver.table.nodes()}
        assert set(nodes) == {NodeKey("127.0.0.1", 1), NodeKey("127.0.0.1", 2)}
        assert nodes[NodeKey("127.0.0.1", 1)].packets == 33
        assert nodes[NodeKey("127.0.0.1", 2)].packets == 60
        assert sum(node.total("missing") + node.total("late") for node in nodes.values()) == 0
        assert {arrival.port for arrival in seen} == ports
        assert seen[0].data == raw(1, 0)


@IPV6
def test_ipv4_and_ipv6_at_one_socket() -> None:
    """The default: both families. An IPv4 address is shown as such."""
    with UdpListener(PacketReceiver(), None, 0) as listener:
        port = listener.address[1]
        if listener.address[0] != "::":
            pytest.skip("this computer has no sockets for both families")
        with node_at("127.0.0.1") as four, node_at("::1", socket.AF_INET6) as six:
            four.sendto(raw(1, 0), ("127.0.0.1", port))
            six.sendto(raw(1, 0), ("::1", port))
            until_received(listener, 2)
        assert [node.key for node in listener.receiver.table.nodes()] == [("127.0.0.1", 1), ("::1", 1)]


@IPV6
def test_ipv6_alone() -> None:
    with UdpListener(PacketReceiver(), "::1", 0) as listener, node_at("::1", socket.AF_INET6) as node:
        node.sendto(classification(5, argmax=3), listener.address)
        until_received(listener, 1)
        assert [row.node_id for row in listener.receiver.table.nodes() for row in [row.key]] == [5]
    with UdpListener(PacketReceiver(), "127.0.0.1", 0) as listener:
        assert listener.address[0] == "127.0.0.1"


def test_empty_and_largest_datagrams() -> None:
    """An empty datagram, and the largest that UDP carries: as a valid raw frame and as garbage."""
    values = bytes(2 * 8 * 4092)
    with UdpListener(PacketReceiver(), "127.0.0.1", 0) as listener, node_at("127.0.0.1") as node:
        for data in (b"", raw(1, 0, values, antennas=8), b"\xff" * 65507, raw(1, 1)):
            node.sendto(data, listener.address)
        until_received(listener, 4)
        assert dict(listener.receiver.rejected) == {"short": 1, "magic": 1}
        assert listener.receiver.table.nodes()[0].packets == 2


@LINUX
def test_a_flood_takes_no_packet_from_another_node() -> None:
    """Another address sends invented nodes, garbage and valid packets between the packets of a good node."""
    receiver = PacketReceiver(NodeTable(max_nodes=32))
    sent = 0
    with (
        UdpListener(receiver, "127.0.0.1", 0) as listener,
        node_at("127.0.0.66") as bad,
        node_at("127.0.0.7") as good,
    ):
        where = listener.address
        for i in range(150):
            for j in range(i * 5, i * 5 + 5):
                for data in (raw(j % 256, j), raw(7, j), classification(j % 256, j), b"x" * (j % 900)):
                    bad.sendto(data, where)
                    sent += 1
            good.sendto(raw(7, i), where)
            sent += 1
            until_received(listener, sent)
    node = receiver.table.find(NodeKey("127.0.0.7", 7))
    assert node is not None
    assert node.packets == 150
    assert node.rejected.total() == 0
    assert len(receiver.table) <= 32
    assert sum(node.key.address == "127.0.0.66" for node in receiver.table.nodes()) <= 8
    assert receiver.received == sent == sum(receiver.accepted.values()) + sum(receiver.rejected.values())


@LINUX
def test_counts_datagrams_dropped_by_the_system() -> None:
    """Unread datagrams fill the buffer. The number of lost ones is shown."""
    with UdpListener(PacketReceiver(), "127.0.0.1", 0) as listener, node_at("127.0.0.1") as node:
        listener._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for i in range(200):
            node.sendto(raw(1, i), listener.address)
        while listener.poll(0):
            pass
        listener._publish()
        assert listener.snapshot.system_drops is not None
        assert listener.snapshot.system_drops > 0
        assert listener.snapshot.received + listener.snapshot.system_drops == 200


def test_the_buffer_is_enlarged() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        usual = buffer_size(plain)
    with listening_socket("127.0.0.1", 0) as enlarged:
        assert buffer_size(enlarged) >= usual
        assert not enlarged.getblocking()


def test_rejects_addresses_that_cannot_be_bound() -> None:
    with pytest.raises(InvalidArgumentError, match=r"bind: expected an IPv4 or IPv6 address .*, found 'nonsense'"):
        listening_socket("nonsense", 0)
    with pytest.raises(InvalidArgumentError):
        listening_socket("192.168.1.0/24", 0)
    with pytest.raises(OSError, match=r"'UDP 192\.0\.2\.1 port 5005'"):  # an address for documentation: nobody's
        listening_socket("192.0.2.1", 5005)
    with UdpListener(PacketReceiver(), "127.0.0.1", 0) as listener:
        port = listener.address[1]
        with pytest.raises(OSError, match=rf"'UDP 127\.0\.0\.1 port {port}'") as found:
            listening_socket("127.0.0.1", port)
        assert found.value.errno == errno.EADDRINUSE


def test_formats_sender_addresses() -> None:
    assert sender_of(("10.0.0.1", 5)) == ("10.0.0.1", 5)
    assert sender_of(("::ffff:10.0.0.1", 5, 0, 0)) == ("10.0.0.1", 5)
    assert sender_of(("fe80::1", 5, 0, 2)) == ("fe80::1%2", 5)
    assert sender_of(("fe80::1%eth0", 5, 0, 2)) == ("fe80::1%eth0", 5)
    assert sender_of(("::1", 5, 0, 0)) == ("::1", 5)


def test_close_reads_pending_datagrams_and_may_be_repeated() -> None:
    listener = UdpListener(PacketReceiver(), "127.0.0.1", 0)
    with node_at("127.0.0.1") as node:
        for i in range(10):
            node.sendto(raw(1, i), listener.address)
    listener.close()
    listener.close()
    assert listener.snapshot.accepted == {"raw": 10}
    assert listener.snapshot.nodes[0].missing == 0


def test_keeps_the_exception_that_ended_the_thread() -> None:
    """A callback that raises is not silent."""
    error = RuntimeError("of the callback")

    def fail(arrival: Arrival) -> None:
        raise error

    with UdpListener(PacketReceiver(on_arrival=fail), "127.0.0.1", 0) as listener, node_at("127.0.0.1") as node:
        listener.start()
        node.sendto(raw(1, 0), listener.address)
        deadline = time.monotonic() + HANG
        while listener.failure is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert listener.failure is error
