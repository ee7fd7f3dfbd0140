"""Sockets of this computer: several nodes, large datagrams, dropped datagrams, IPv6."""

from __future__ import annotations

import errno
import socket
import sys
import time

import pytest
from wire import classification, features, raw

from aether_temporal.errors import InvalidArgumentError
from aether_temporal.listening import Arrival, NodeKey, NodeTable, PacketReceiver, UdpListener
from aether_temporal.listening.udp_listener import buffer_size, listening_socket, sender_of


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
        deadline = time.monotonic() + 300  # only for a thread that hangs
        while listener.failure is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert listener.failure is error
