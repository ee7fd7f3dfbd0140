"""Receipts of nodes that send: `listen --verify`, `serve`'s state, and `aether verify` on a capture."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from aether_temporal import TemporalModel
from aether_temporal.cli import aether
from aether_temporal.listening import PacketReceiver, RawFrame
from aether_temporal.listening.documents import take_snapshot
from aether_temporal.listening.packets import Classification, Receipt
from aether_temporal.listening.recorder import FILE_HEADER, packet_record
from aether_temporal.listening.simulated_node import SimulatedNode
from aether_temporal.listening.verifier import Verifier
from aether_temporal.recordings.node_packets import RawHeader
from aether_temporal.running.inputs import FrameMapper
from aether_temporal.simulation import simulate

SECONDS, RATE = 6, 50
Sent = list[tuple[float, RawFrame | Classification | Receipt]]


@pytest.fixture(scope="module")
def model() -> TemporalModel:
    return TemporalModel.from_blob("demo")


@pytest.fixture(scope="module")
def sent(model: TemporalModel) -> Sent:
    """What a node sends of a simulated recording, each with its time."""
    recording = simulate([("walking", SECONDS)], 3, frame_rate=RATE).to_recording()
    assert recording.iq is not None
    node, mapper = SimulatedNode(model, RATE), FrameMapper(model)
    found: Sent = []
    for t, pairs in enumerate(recording.iq):
        row = mapper.frame(pairs, recording.subcarriers)
        assert row is not None
        values = pairs.astype(np.int8).tobytes()
        at = t / RATE
        # The layout of a header cannot say which the simulated subcarriers are; the model takes them by index.
        found.append((at, RawFrame(RawHeader(5, 1, len(pairs), 2437, t, -45, -92, 0), values)))
        said = node.take(row, t, round(at * 1e6), values, round(at * 1e6))
        found += [(at, replace(packet, node_id=5)) for packet in said]
    assert sum(isinstance(packet, Receipt) for _, packet in found) == SECONDS
    return found


@dataclass
class Network:
    """A receiver with a verifier, without a socket."""

    verifier: Verifier
    receiver: PacketReceiver

    def send(self, sent: Sent, address: str = "10.0.0.1") -> None:
        for at, packet in sent:
            assert self.receiver.take(packet.to_bytes(), address, 4000, 1e9 + at, at) is None

    def documents(self) -> list[Any]:
        self.verifier.close()
        return [row.document()["receipts"] for row in take_snapshot(self.receiver, 100.0, None).nodes]


@pytest.fixture
def network(model: TemporalModel) -> Iterator[Network]:
    verifier = Verifier(model)
    yield Network(verifier, PacketReceiver(on_arrival=verifier.offer))
    verifier.close()


def damaged(sent: Sent, change: Callable[[Any], Any], number: int) -> Sent:
    """The number-th receipt is another."""
    receipts = [packet for _, packet in sent if isinstance(packet, Receipt)]
    return [(at, change(packet) if packet is receipts[number] else packet) for at, packet in sent]


def test_all_receipts_of_all_nodes_are_verified(network: Network, sent: Sent) -> None:
    network.send(sent)
    network.send(sent, "10.0.0.2")
    for found in network.documents():
        assert found["verdict"] == "verified"
        assert found["counts"] == {"verified": SECONDS, "behind": 0, "different": 0, "another_model": 0}
        assert found["difference"] is None


def test_a_difference_is_kept_with_its_time(network: Network, sent: Sent) -> None:
    network.send(damaged(sent, lambda receipt: replace(receipt, after=receipt.after ^ 1), 1))
    (found,) = network.documents()
    assert found["counts"]["different"] == 2  # the next one does not begin where this one ended
    assert found["verdict"] == "verified"
    assert found["difference"] is not None


def test_a_late_receipt_is_left_out(network: Network, sent: Sent) -> None:
    receipts = [entry for entry in sent if isinstance(entry[1], Receipt)]
    moved = [entry for entry in sent if entry is not receipts[1]]
    place = moved.index(receipts[3]) + 1
    network.send([*moved[:place], (receipts[3][0], receipts[1][1]), *moved[place:]])
    (found,) = network.documents()
    assert found["counts"]["different"] == 0
    assert sum(found["counts"].values()) == SECONDS - 1


def test_an_error_of_the_verifier_is_told(network: Network, sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("aether_temporal.listening.twin.NodeTwin.take", fail)
    network.send(sent)
    network.documents()
    assert network.verifier.error == "receipts are verified no more: by zero; report this error"


def test_unknown_nodes_get_no_twin(network: Network, sent: Sent) -> None:
    for index in range(40):
        network.send(sent[:2], f"10.0.1.{index}")
    network.verifier.close()
    assert not network.verifier._twins


def capture(path: Path, sent: Sent) -> Path:
    records = [
        packet_record(packet.to_bytes(), ("10.0.0.1", 4000), ("10.0.0.9", 5005), 1e9 + at) for at, packet in sent
    ]
    path.write_bytes(FILE_HEADER + b"".join(records))
    return path


def call(*arguments: object) -> Any:
    return CliRunner().invoke(aether, [str(argument) for argument in arguments])


def test_verifies_a_capture(tmp_path: Path, sent: Sent) -> None:
    pytest.importorskip("dpkt")
    found = call("verify", "demo", capture(tmp_path / "room.pcap", sent))
    assert (found.exit_code, found.output) == (0, "node 5 at 10.0.0.1: 6 receipts: 6 verified\n")


def test_says_which_second_of_a_capture_differs(tmp_path: Path, sent: Sent) -> None:
    pytest.importorskip("dpkt")
    wrong = damaged(sent, lambda receipt: replace(receipt, after=receipt.after ^ 1), 2)
    path = capture(tmp_path / "room.pcap", wrong)
    found = call("verify", "demo", path)
    assert found.exit_code == 1
    assert "different  receipt 2, 2 s after the first: expected the digest" in found.output
    document = json.loads(call("verify", "demo", path, "--json").output)
    (node,) = document["nodes"]
    assert [each["verdict"] for each in node["receipts"]] == [
        "verified", "verified", "different", "different", "verified", "verified"
    ]  # fmt: skip


def test_another_model_ends_with_1(tmp_path: Path, sent: Sent) -> None:
    pytest.importorskip("dpkt")
    found = call("verify", "activity", capture(tmp_path / "room.pcap", sent))
    assert found.exit_code == 1
    assert "6 another model" in found.output


def test_a_capture_without_receipts_is_an_error(tmp_path: Path, sent: Sent) -> None:
    pytest.importorskip("dpkt")
    raw = [entry for entry in sent if isinstance(entry[1], RawFrame)]
    found = call("verify", "demo", capture(tmp_path / "room.pcap", raw))
    assert found.exit_code == 2
    assert "expected receipts of a node, found none" in found.output


def test_offering_never_blocks(model: TemporalModel, sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into the queue is dropped, and its node is behind."""
    monkeypatch.setattr("aether_temporal.listening.verifier._WAITING", 100)
    held = threading.Event()
    original = Verifier._take

    def slow(self: Verifier, arrival: Any) -> None:
        held.wait()
        original(self, arrival)

    monkeypatch.setattr(Verifier, "_take", slow)
    verifier = Verifier(model)
    network = Network(verifier, PacketReceiver(on_arrival=verifier.offer))
    network.send(sent)
    held.set()
    network.documents()
    assert verifier.dropped > 0
