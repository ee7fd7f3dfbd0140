"""What `listen` says is wrong with frames is what a run of the same packets says of their capture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from aether_temporal import TemporalModel
from aether_temporal.listening import RawFrame
from aether_temporal.listening.engine import Engine
from aether_temporal.listening.recorder import FILE_HEADER, packet_record
from aether_temporal.recordings import open_recording
from aether_temporal.recordings.node_packets import RawHeader, subcarriers_of
from aether_temporal.running.inputs import model_input

ESP32 = 1  # the layout of a header: a packet without HT, no secondary channel
NODE = "node 3 at 127.0.0.1: "


def frames(count: int, zero: Sequence[int] = ()) -> list[RawFrame]:
    """Of an ESP32: DC and guards are empty, and `zero`, subcarriers by number."""
    order = subcarriers_of(ESP32, 64)
    assert order is not None
    values = np.random.default_rng(1).integers(1, 90, (count, 64, 2)).astype(np.int8)
    numbers = np.array(order.numbers)
    values[:, (np.abs(numbers) > 26) | (numbers == 0) | np.isin(numbers, zero)] = 0
    return [RawFrame(RawHeader(3, 1, 64, 2437, t, -45, -92, ESP32), each.tobytes()) for t, each in enumerate(values)]


def heard(sent: Sequence[RawFrame]) -> list[str]:
    """What stands on the screen."""
    engine = Engine(("127.0.0.1", 0), model=TemporalModel.from_blob("demo"), model_name="demo")
    try:
        for t, packet in enumerate(sent):
            engine.receiver.take(packet.to_bytes(), "127.0.0.1", 4000, 1e9 + t / 50, t / 50)
        engine.listener.start()
        engine.close()
        return list(engine.status(last=True).warnings)
    finally:
        engine.close()


def replayed(sent: Sequence[RawFrame], folder: Path) -> list[str]:
    """What a run of the capture says."""
    records = [
        packet_record(packet.to_bytes(), ("127.0.0.1", 4000), ("127.0.0.1", 5005), 1e9 + t / 50)
        for t, packet in enumerate(sent)
    ]
    (folder / "room.pcap").write_bytes(FILE_HEADER + b"".join(records))
    model = TemporalModel.from_blob("demo")
    return list(model_input(model, open_recording(folder / "room.pcap")).notes)


@pytest.mark.parametrize("zero", [(), (5, 6, 7), (5, 6, 7, 8, 9, 10)])
def test_empty_subcarriers_are_named_as_a_run_names_them(tmp_path: Path, zero: tuple[int, ...]) -> None:
    pytest.importorskip("dpkt")
    sent = frames(200, zero)
    expected = [f"{NODE}{text}" for text in replayed(sent, tmp_path)]
    assert heard(sent) == expected
    assert len(expected) == bool(zero)
    assert all(f"lltf:{zero[0]}..{zero[-1]}" in text for text in expected)


def test_packets_that_come_twice_are_no_frozen_buffer(tmp_path: Path) -> None:
    pytest.importorskip("dpkt")
    sent = [packet for t, one in enumerate(frames(200)) for packet in [one] * (2 if t % 20 == 0 else 1)]
    assert heard(sent) == []
    assert replayed(sent, tmp_path) == []


def test_much_that_is_not_used_is_named() -> None:
    sent = [packet for t, one in enumerate(frames(200)) for packet in [one] * (2 if t % 4 == 0 else 1)]
    assert heard(sent) == [f"{NODE}50 of 250 packets (20%) came late or twice and are not used"]
