"""Admission: floods, made-up nodes, addresses that are not allowed. Time is given, never waited for."""

from __future__ import annotations

import ipaddress
import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import classification, features, raw

from aether_temporal.listening import Arrival, Kind, NodeKey, NodeTable, Station
from aether_temporal.listening.gate import Gate
from aether_temporal.listening.rate import Bucket, Rate
from aether_temporal.listening.view import view_of
from aether_temporal.recordings.sequence import Order

GOOD = "192.168.1.7"


def station(**options: object) -> Station:
    return Station(NodeTable(**options))  # type: ignore[arg-type]


def test_a_node_is_an_address_and_an_id() -> None:
    found = station()
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
    assert node.said is not None
    assert node.said.best == 2
    assert node.packets == 2


def test_kinds_are_counted_apart() -> None:
    found = station()
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


def test_refused_packets_are_counted_and_forgotten() -> None:
    found = station()
    found.take(classification(1), GOOD, 1, 0.0, 0.0)
    before = found.table.nodes()[0].said
    for data in (b"", b"hello", classification(1, 1)[:-1], classification(1, 1, argmax=9), raw(2)[:30]):
        assert found.take(data, GOOD, 1, 0.0, 0.0) is not None
    assert dict(found.refused) == {"short": 1, "magic": 1, "length": 2, "argmax": 1}
    node = found.table.nodes()[0]
    assert len(found.table) == 1
    assert dict(node.refused) == {"length": 1, "argmax": 1}
    assert node.said is before
    assert found.received == 6
    assert view_of(found, 0.0, None).last_refused == f"{GOOD}: length: expected 32 bytes, as its header says, found 30"


def test_a_packet_out_of_order_changes_no_answer() -> None:
    seen: list[Arrival] = []
    found = Station(on_arrival=seen.append)
    for sequence, argmax in ((5, 1), (4, 2), (5, 3)):
        assert found.take(classification(1, sequence, argmax=argmax), GOOD, 1, 0.0, 0.0) is None
    assert [arrival.order for arrival in seen] == [Order.NEW, Order.LATE, Order.DUPLICATE]
    said = found.table.nodes()[0].said
    assert said is not None
    assert said.best == 1


def test_a_clock_that_jumps_is_counted_and_not_believed() -> None:
    found = station()
    for i, ts in enumerate((10, 11, 2**64 // 10**6 - 1, 12, 13)):
        assert found.take(classification(1, i, ts_us=ts * 10**6), GOOD, 1, 1000.0 + i, float(i)) is None
    node = found.table.nodes()[0]
    assert node.clock_jumps == 2
    assert node.last_seen == 1004.0


def test_only_allowed_addresses() -> None:
    networks = [ipaddress.ip_network("192.168.1.0/24"), ipaddress.ip_network("fd00::/8")]
    found = Station(allow=networks)
    for address, allowed in (
        (GOOD, True),
        ("192.168.2.7", False),
        ("fd12::9", True),
        ("fe80::1%eth0", False),
        ("10.0.0.1", False),
    ):
        assert (found.take(classification(), address, 1, 0.0, 0.0) is None) is allowed
    assert dict(found.refused) == {"not_allowed": 3}
    for i in range(5000):
        found.take(classification(), f"10.1.{i % 256}.{i // 256}", 1, 0.0, 0.0)
    assert len(found._allowed) <= 1024


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(8.0, 5.0, 0.0)
    assert sum(bucket.take(0.0) for _ in range(9)) == 5
    assert [bucket.take(t / 16) for t in range(1, 9)] == [False, True] * 4
    assert not bucket.take(-5.0)  # a clock that goes back gives nothing
    assert sum(bucket.take(1000.0) for _ in range(9)) == 5


def test_a_rate_is_right_soon_and_fades() -> None:
    rate = Rate()
    assert rate.value(0.0) == 0
    for i in range(501):
        rate.count(i * 0.02)
        if i in (10, 50, 500):
            assert rate.value(i * 0.02) == pytest.approx(50, rel=0.02)
    assert rate.value(13.0) < 20
    assert rate.value(60.0) < 0.001


def test_a_flood_of_one_node_costs_only_that_node() -> None:
    """Another node at the same address, at 50 packets a second, loses nothing."""
    found = station(rate=400.0)
    lost = 0
    sequence = 0
    for tick in range(500):  # ten seconds
        now = tick / 50
        for _ in range(60):  # 3000 a second
            found.take(raw(9, sequence), GOOD, 1, now, now)
            sequence += 1
        lost += found.take(raw(1, tick), GOOD, 1, now, now) is not None
    assert lost == 0
    flooder = found.table.find(NodeKey(GOOD, 9))
    assert flooder is not None
    assert 4000 <= flooder.packets <= 4400  # its rate, and a burst
    assert flooder.refused["too_fast"] == 30_000 - flooder.packets


def test_a_flood_of_made_up_nodes_neither_grows_nor_evicts() -> None:
    """Every id at thousands of addresses: the live nodes keep their rows and lose no packet, and nothing grows."""
    found = station(max_nodes=64)
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


def test_one_address_has_no_more_than_its_share_of_the_table() -> None:
    """However stubbornly it sends under every id, others find room."""
    found = station(max_nodes=64)
    for round_ in range(10):
        for node in range(256):
            found.take(raw(node, round_), "10.0.0.66", 1, 0.0, round_ * 10.0)
    assert len(found.table) <= 16
    for i in range(40):
        assert found.take(raw(1, 0), f"192.168.1.{i}", 1, 0.0, 100.0) is None


def test_known_nodes_give_way_only_after_a_minute_of_silence() -> None:
    found = station(max_nodes=4)
    for i in range(4):
        for n in range(3):
            assert found.take(raw(1, n), f"192.168.1.{i}", 1, 0.0, float(i)) is None
    refused = found.take(raw(1, 0), "192.168.1.9", 1, 0.0, 59.0)
    assert refused is not None
    assert str(refused) == "table_full: expected at most 4 nodes, found another one"
    assert found.take(raw(1, 0), "192.168.1.9", 1, 0.0, 60.0) is None  # the first has been silent for a minute
    assert found.table.find(NodeKey("192.168.1.0", 1)) is None
    assert found.take(raw(1, 0), "192.168.1.10", 1, 0.0, 60.5) is None  # a stranger gives way at once
    assert found.table.find(NodeKey("192.168.1.9", 1)) is None
    assert found.table.find(NodeKey("192.168.1.1", 1)) is not None
    assert found.table.evicted == 2


def test_damaged_packets_do_not_use_up_a_nodes_rate() -> None:
    found = station(rate=40.0)
    assert found.take(classification(1), GOOD, 1, 0.0, 0.0) is None
    for _ in range(60):
        refused = found.take(classification(1)[:-1] + b"x", GOOD, 1, 0.0, 0.0)
        assert refused is not None
        assert refused.reason == "crc"
    assert sum(found.take(classification(1, 1 + i), GOOD, 1, 0.0, 0.0) is None for i in range(39)) == 39


def test_an_address_has_a_rate_before_anything_else_is_looked_at() -> None:
    """Garbage and sound packets alike; other addresses are not touched by it."""
    found = station(rate=40.0)
    reasons = [found.take(b"garbage", GOOD, 1, 0.0, 0.0) for _ in range(300)]
    assert [str(reason) for reason in reasons[99:101]] == [
        "magic: expected 0xC5110001, 0xC5110006 or 0xC5110007, found 0x62726167",
        "too_fast: expected at most 400 packets a second of an address, found more",
    ]
    assert found.take(raw(1, 0), GOOD, 1, 0.0, 0.0) is not None
    assert found.take(raw(1, 0), "192.168.1.8", 1, 0.0, 0.0) is None
    assert found.take(raw(1, 0), GOOD, 1, 0.5, 0.5) is None
    assert found.gate.held == ()


def test_an_address_that_floods_is_held_longer_each_time() -> None:
    gate = Gate(100.0)
    assert sum(gate.admit("a", 0.0) for _ in range(524)) == 25
    assert gate.held == ()
    gate.admit("a", 0.0)
    assert gate.held == ("a",)
    gate.release(1.9)
    assert gate.held == ("a",)
    gate.release(2.0)
    assert gate.held == ()
    assert not any(gate.admit("a", 2.0) for _ in range(500))  # it has saved up nothing, and is known at once
    assert gate.held == ("a",)
    assert gate.version == 3
    holds = []
    now = 4.0 + 2.0
    for _ in range(6):
        gate.release(now)
        assert gate.held == ()
        assert not any(gate.admit("a", now) for _ in range(500))
        until = gate._held["a"]
        holds.append(until - now)
        now = until
    assert holds == [8.0, 16.0, 32.0, 32.0, 32.0, 32.0]
    gate.release(now + 11)
    for _ in range(600):
        gate.admit("a", now + 11)
    assert gate._held["a"] == now + 13  # another flood, not the same
    for second in range(60):  # somewhat too fast is no flood: 100 of 400 pass
        assert sum(gate.admit("b", second + i / 400) for i in range(400)) <= 125
    assert gate.held == ("a",)


def test_the_gate_remembers_a_bounded_number_of_addresses() -> None:
    gate = Gate(1.0)
    for i in range(5000):
        for _ in range(501 if i % 25 == 0 else 1):
            gate.admit(str(i), 0.0)
    assert len(gate) == 1024
    assert len(gate.held) == 64


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
    """All that a station holds, byte by byte, after a flood and after twice as much."""
    found = station(max_nodes=32)
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
def test_whatever_comes_is_accounted_for(datagrams: list[tuple[bytes, str, float]]) -> None:
    """Also with a clock that goes back: every datagram is accepted or refused, and counted once."""
    found = station(max_nodes=8, rate=5.0)
    for data, address, now in datagrams:
        found.take(data, address, 1, now, now)
    view = view_of(found, 1000.0, None)
    assert view.received == len(datagrams) == sum(view.accepted.values()) + sum(view.refused.values())
    assert len(view.nodes) <= 8
    for row in view.nodes:
        row.document()
        assert row.missing >= 0
