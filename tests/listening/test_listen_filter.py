"""What the system drops by itself; and the ways to read datagrams, one against the other."""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_listen_sockets import IPV6, LINUX, node_at
from wire import raw

from aether_temporal.listening import Listener, NodeTable, Station
from aether_temporal.listening.receiving import Receiver, _Many, _One, _receive_many
from aether_temporal.listening.socket_filter import Instruction, hold_back, program
from aether_temporal.listening.sockets import listening_socket


def kept(instructions: list[Instruction], ip: bytes) -> bool:
    """What the filter says of an IP packet, instruction by instruction."""
    at, value = 0, 0
    while True:
        code, yes, no, operand = instructions[at]
        at += 1
        offset = operand - ((-0x100000) & 0xFFFFFFFF)
        if code == 0x20:
            (value,) = struct.unpack_from(">I", ip, offset)
        elif code == 0x30:
            value = ip[offset]
        elif code == 0x74:
            value >>= operand
        elif code == 0x15:
            at += yes if value == operand else no
        elif code == 0x05:
            at += operand
        else:
            assert code == 0x06
            return operand != 0


def packet_from(address: str) -> bytes:
    source = ipaddress.ip_address(address)
    if source.version == 4:
        return b"\x45" + bytes(11) + source.packed + bytes(12)
    return b"\x60" + bytes(7) + source.packed + bytes(24)


ADDRESSES = st.lists(
    st.one_of(
        st.ip_addresses(v=4).map(str),
        st.ip_addresses(v=6).map(str),
        st.sampled_from(["fd00::1", "fd00::2", "fd00::1:0:0:1", "10.0.0.1"]),
    ),
    max_size=64,
    unique=True,
)


@settings(max_examples=200, deadline=None)
@given(ADDRESSES, ADDRESSES)
def test_exactly_these_addresses_are_dropped(held: list[str], others: list[str]) -> None:
    instructions = program(held)
    assert all(0 <= field <= 255 for _, yes, no, _ in instructions for field in (yes, no))
    for address in [*held, *others]:
        assert kept(instructions, packet_from(address)) is (address not in held)


def test_link_local_addresses_are_held_whatever_their_interface() -> None:
    assert not kept(program(["fe80::1%3"]), packet_from("fe80::1"))


@LINUX
def test_the_system_drops_what_is_held_back() -> None:
    with listening_socket("127.0.0.1", 0) as found, node_at("127.0.0.66") as bad, node_at("127.0.0.7") as good:
        where = found.getsockname()
        for held, expected in ((["127.0.0.66", "fd00::1"], [b"good"]), ([], [b"bad", b"good"])):
            assert hold_back(found, held)
            bad.sendto(b"bad", where)
            good.sendto(b"good", where)
            assert [data for data, _, _ in _One(found).receive()] == expected


@LINUX
@IPV6
def test_both_families_at_one_socket_are_held_back() -> None:
    with listening_socket(None, 0) as found:
        if found.family != socket.AF_INET6:
            pytest.skip("this computer has no sockets for both families")
        port = found.getsockname()[1]
        with node_at("127.0.0.66") as four, node_at("::1", socket.AF_INET6) as six, node_at("127.0.0.7") as other:
            for held in ("127.0.0.66", "::1", "127.0.0.7"):
                assert hold_back(found, [held])
                four.sendto(b"", ("127.0.0.1", port))
                six.sendto(b"", ("::1", port))
                other.sendto(b"", ("127.0.0.1", port))
                assert [a for _, a, _ in _One(found).receive()] == [
                    a for a in ("127.0.0.66", "::1", "127.0.0.7") if a != held
                ]


@LINUX
def test_a_flooding_address_is_held_back_and_let_in_again() -> None:
    """Through a listener: what it is sent after the flood began does not reach it; other nodes do; later all do."""
    station = Station(NodeTable(rate=10.0))
    with Listener(station, "127.0.0.1", 0) as listener, node_at("127.0.0.66") as bad, node_at("127.0.0.7") as good:
        for i in range(60):
            for _ in range(20):
                bad.sendto(raw(1, i), listener.address)
            listener.poll(0)
        listener._publish()
        assert listener.view.held == ("127.0.0.66",)
        assert station.received < 1200
        before = station.received
        bad.sendto(raw(1, 0), listener.address)
        good.sendto(raw(2, 0), listener.address)
        listener.poll(1)
        assert station.received == before + 1
        assert [node.key.node_id for node in station.table.nodes()] == [1, 2]
        deadline = time.monotonic() + 30
        while listener.view.held and time.monotonic() < deadline:
            listener.poll(0.05)
        bad.sendto(raw(1, 1), listener.address)
        listener.poll(1)
        assert station.received == before + 2


def _receivers(found: socket.socket) -> list[Receiver]:
    many = _receive_many()
    assert (many is not None) or sys.platform != "linux"
    return [_One(found)] if many is None else [_One(found), _Many(found, many)]


@pytest.mark.parametrize(
    ("bind", "family"), [("127.0.0.1", socket.AF_INET), pytest.param("::1", socket.AF_INET6, marks=IPV6)]
)
def test_both_ways_to_read_give_the_same(bind: str, family: socket.AddressFamily) -> None:
    """Empty and largest datagrams, more than fit a batch, two senders in turns."""
    datagrams = [b"", b"x" * 65507, raw(1, 0), b"y", b"z" * 1500, *(raw(2, i) for i in range(70))]
    with listening_socket(bind, 0) as found, node_at(bind, family) as one, node_at(bind, family) as two:
        expected = []
        for i, data in enumerate(datagrams):
            expected.append((data, bind, (one, two)[i % 2].getsockname()[1]))
        for receiver in _receivers(found):
            assert receiver.receive() == []
            for i, data in enumerate(datagrams):
                (one, two)[i % 2].sendto(data, found.getsockname())
            seen: list[tuple[bytes, str, int]] = []
            while len(seen) < len(datagrams):
                batch = receiver.receive()
                assert 0 < len(batch) <= receiver.most
                seen += batch
            assert seen == expected
            assert receiver.receive() == []


@LINUX
@IPV6
def test_both_ways_to_read_name_mapped_addresses_alike() -> None:
    with listening_socket(None, 0) as found:
        if found.family != socket.AF_INET6:
            pytest.skip("this computer has no sockets for both families")
        port = found.getsockname()[1]
        with node_at("127.0.0.7") as four, node_at("::1", socket.AF_INET6) as six:
            for receiver in _receivers(found):
                four.sendto(b"", ("127.0.0.1", port))
                six.sendto(b"", ("::1", port))
                assert [address for _, address, _ in receiver.receive()] == ["127.0.0.7", "::1"]


@LINUX
def test_what_a_reader_keeps_is_bounded() -> None:
    many = _receive_many()
    assert many is not None
    with listening_socket("127.0.0.1", 0) as found:
        receiver = _Many(found, many)
        for i in range(5000):
            receiver._address(struct.pack("=H", socket.AF_INET) + bytes(2) + struct.pack(">I", i) + bytes(20))
        assert len(receiver._known) <= 1024
