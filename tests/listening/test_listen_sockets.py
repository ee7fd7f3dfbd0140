"""Real sockets on this computer: nodes, floods, what is too large, IPv6."""

from __future__ import annotations

import errno
import socket
import sys
import threading
import time

import pytest
from wire import classification, features, raw

from aether_temporal.errors import InvalidArgumentError
from aether_temporal.listening import Arrival, Listener, NodeKey, NodeTable, Station
from aether_temporal.listening.sockets import buffer_size, listening_socket, sender_of, system_drops


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


def until_received(listener: Listener, count: int) -> None:
    for _ in range(1000):
        if listener.station.received >= count:
            return
        listener.poll(0.05)
    raise AssertionError(f"expected {count} datagrams, found {listener.station.received}")


def test_several_nodes_at_one_port() -> None:
    seen: list[Arrival] = []
    with Listener(Station(on_arrival=seen.append), "127.0.0.1", 0) as listener:
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
        nodes = {node.key: node for node in listener.station.table.nodes()}
        assert set(nodes) == {NodeKey("127.0.0.1", 1), NodeKey("127.0.0.1", 2)}
        assert nodes[NodeKey("127.0.0.1", 1)].packets == 33
        assert nodes[NodeKey("127.0.0.1", 2)].packets == 60
        assert sum(node.total("missing") + node.total("late") for node in nodes.values()) == 0
        assert {arrival.port for arrival in seen} == ports
        assert seen[0].data == raw(1, 0)


@IPV6
def test_ipv4_and_ipv6_at_one_socket() -> None:
    """The default: both families; an IPv4 address is shown as itself."""
    with Listener(Station(), None, 0) as listener:
        port = listener.address[1]
        if listener.address[0] != "::":
            pytest.skip("this computer has no sockets for both families")
        with node_at("127.0.0.1") as four, node_at("::1", socket.AF_INET6) as six:
            four.sendto(raw(1, 0), ("127.0.0.1", port))
            six.sendto(raw(1, 0), ("::1", port))
            until_received(listener, 2)
        assert [node.key for node in listener.station.table.nodes()] == [("127.0.0.1", 1), ("::1", 1)]


@IPV6
def test_ipv6_alone() -> None:
    with Listener(Station(), "::1", 0) as listener, node_at("::1", socket.AF_INET6) as node:
        node.sendto(classification(5, argmax=3), listener.address)
        until_received(listener, 1)
        assert [row.node_id for row in listener.station.table.nodes() for row in [row.key]] == [5]
    with Listener(Station(), "127.0.0.1", 0) as listener:
        assert listener.address[0] == "127.0.0.1"


def test_empty_and_largest_datagrams() -> None:
    """Empty, the largest that UDP carries as a sound raw frame, and as garbage."""
    values = bytes(2 * 8 * 4092)
    with Listener(Station(), "127.0.0.1", 0) as listener, node_at("127.0.0.1") as node:
        for data in (b"", raw(1, 0, values, antennas=8), b"\xff" * 65507, raw(1, 1)):
            node.sendto(data, listener.address)
        until_received(listener, 4)
        assert dict(listener.station.refused) == {"short": 1, "magic": 1}
        assert listener.station.table.nodes()[0].packets == 2


@LINUX
def test_a_flood_takes_no_packet_from_a_good_node() -> None:
    """A flooder sends as fast as it can: made-up nodes, garbage, sound packets. What the good node sends, within its
    rate, arrives to the last packet, as far as the system hands it on; the table stays as small as it is."""
    station = Station(NodeTable(max_nodes=32))
    with Listener(station, "127.0.0.1", 0) as listener:
        where = listener.address
        stop = threading.Event()

        def flood() -> None:
            with node_at("127.0.0.66") as out:
                i = 0
                while not stop.is_set():
                    for data in (raw(i % 256, i), raw(7, i), classification(i % 256, i), b"x" * (i % 900)):
                        out.sendto(data, where)
                    i += 1
                    if i % 8 == 0:
                        time.sleep(0.0005)  # so that the system's buffer is not what is tested

        listener.start()
        flooder = threading.Thread(target=flood)
        flooder.start()
        try:
            with node_at("127.0.0.7") as good:
                for i in range(150):
                    good.sendto(raw(7, i), where)
                    time.sleep(0.01)
        finally:
            stop.set()
            flooder.join()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and (row := station.table.find(NodeKey("127.0.0.7", 7))) is None:
            time.sleep(0.01)
        while time.monotonic() < deadline and row.packets < 150 and not system_drops(listener._socket):
            time.sleep(0.01)
        dropped = system_drops(listener._socket)
        assert row.refused.total() == 0
        assert row.packets + (dropped or 0) >= 150
        assert len(station.table) <= 32
        assert sum(node.key.address == "127.0.0.66" for node in station.table.nodes()) <= 8
        assert station.refused.total() > 500
    assert station.received == sum(station.accepted.values()) + sum(station.refused.values())


@LINUX
def test_what_the_system_drops_is_known() -> None:
    """Datagrams that nobody reads fill the buffer; how many were lost is shown."""
    with Listener(Station(), "127.0.0.1", 0) as listener, node_at("127.0.0.1") as node:
        listener._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for i in range(200):
            node.sendto(raw(1, i), listener.address)
        while listener.poll(0):
            pass
        listener._publish()
        assert listener.view.overrun is not None
        assert listener.view.overrun > 0
        assert listener.view.received + listener.view.overrun == 200


def test_the_buffer_is_enlarged() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        usual = buffer_size(plain)
    with listening_socket("127.0.0.1", 0) as enlarged:
        assert buffer_size(enlarged) >= usual
        assert not enlarged.getblocking()


def test_addresses_that_cannot_be_had() -> None:
    with pytest.raises(InvalidArgumentError, match=r"bind: expected an IPv4 or IPv6 address .*, found 'nonsense'"):
        listening_socket("nonsense", 0)
    with pytest.raises(InvalidArgumentError):
        listening_socket("192.168.1.0/24", 0)
    with pytest.raises(OSError, match=r"'UDP 192\.0\.2\.1 port 5005'"):  # an address for documentation: nobody's
        listening_socket("192.0.2.1", 5005)
    with Listener(Station(), "127.0.0.1", 0) as listener:
        port = listener.address[1]
        with pytest.raises(OSError, match=rf"'UDP 127\.0\.0\.1 port {port}'") as found:
            listening_socket("127.0.0.1", port)
        assert found.value.errno == errno.EADDRINUSE


def test_senders_are_called_what_people_call_them() -> None:
    assert sender_of(("10.0.0.1", 5)) == ("10.0.0.1", 5)
    assert sender_of(("::ffff:10.0.0.1", 5, 0, 0)) == ("10.0.0.1", 5)
    assert sender_of(("fe80::1", 5, 0, 2)) == ("fe80::1%2", 5)
    assert sender_of(("fe80::1%eth0", 5, 0, 2)) == ("fe80::1%eth0", 5)
    assert sender_of(("::1", 5, 0, 0)) == ("::1", 5)


def test_closing_takes_what_has_arrived_and_may_be_repeated() -> None:
    listener = Listener(Station(), "127.0.0.1", 0)
    with node_at("127.0.0.1") as node:
        for i in range(10):
            node.sendto(raw(1, i), listener.address)
    listener.close()
    listener.close()
    assert listener.view.accepted == {"raw": 10}
    assert listener.view.nodes[0].missing == 0


def test_what_ends_the_thread_is_known() -> None:
    """A callback that fails does not end listening in silence."""
    error = RuntimeError("of the callback")

    def fail(arrival: Arrival) -> None:
        raise error

    with Listener(Station(on_arrival=fail), "127.0.0.1", 0) as listener, node_at("127.0.0.1") as node:
        listener.start()
        node.sendto(raw(1, 0), listener.address)
        deadline = time.monotonic() + 30
        while listener.failure is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert listener.failure is error
