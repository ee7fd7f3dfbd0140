"""Two senders behind one name are noticed by their numbers, and one sender is not mistaken for two."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from aether_temporal.recordings import open_recording
from aether_temporal.recordings.node_packets import RAW_HEADER
from aether_temporal.recordings.sequence import Interleaving


def found(packets: Iterable[tuple[int, int]], bits: int = 32) -> bool:
    noticed = Interleaving(bits)
    for number, port in packets:
        noticed.take(number & ((1 << bits) - 1), port)
    return noticed.found


def two(first: int, second: int, ports: tuple[int, int] = (0, 0), loss: float = 0.0) -> list[tuple[int, int]]:
    draw = random.Random(1)
    packets = [(begin + i, port) for i in range(200) for begin, port in zip((first, second), ports, strict=True)]
    return [packet for packet in packets if draw.random() >= loss]


@pytest.mark.parametrize("offset", [500_000, 5_000, 30, -40])
@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_notices_numbers_of_two_ranges_that_alternate(offset: int, bits: int, loss: float) -> None:
    assert found(two(100, 100 + offset, loss=loss), bits)
    assert found(two((1 << bits) - 50, (1 << bits) - 50 + offset, loss=loss), bits)  # wraps


@pytest.mark.parametrize("offset", [500_000, 30, 3, 1, 0])
def test_notices_two_ports_however_close_their_numbers(offset: int) -> None:
    assert found(two(100, 100 + offset, (4000, 4001)))


def test_notices_a_second_sender_that_is_slow() -> None:
    packets = [packet for i in range(400) for packet in ([(i, 1)] + [(90_000 + i // 50, 2)] * (i % 50 == 0))]
    assert found(packets)


def shuffled(depth: float) -> list[int]:
    draw = random.Random(3)
    return sorted(range(2000), key=lambda number: number + draw.random() * depth)


ONE_SENDER = {
    "numbers in order": range(1000),
    "every packet twice": [i // 2 for i in range(1000)],
    "neighbours swap places": [i ^ 1 for i in range(1000)],
    "packets overtake each other": shuffled(3),
    "packets overtake many": shuffled(12),
    "half of the packets lost": [i for i in range(4000) if random.Random(i).random() < 0.5],
    "numbers that jump": [i * 1000 for i in range(1000)],
    "many restarts": [i % 50 for i in range(1000)],
    "random numbers": [random.Random(i).randrange(1 << 32) for i in range(5000)],
}


@pytest.mark.parametrize("name", ONE_SENDER)
def test_one_sender_is_not_two(name: str) -> None:
    assert not found((number, 0) for number in ONE_SENDER[name])


def test_one_count_from_two_ports_is_one_sender() -> None:
    assert not found((i, i % 2) for i in range(1000))
    assert not found((i, random.Random(i).randrange(5)) for i in range(1000))


def test_a_restart_from_another_port_is_no_second_sender() -> None:
    assert not found([*((i, 1) for i in range(500)), *((i, 2) for i in range(500)), *((i, 3) for i in range(500))])


@pytest.mark.parametrize("offset", [500_000, 30])
def test_a_file_of_packets_says_that_two_nodes_have_one_id(tmp_path: Path, offset: int) -> None:
    numbers = [number for number, _ in two(10, 10 + offset)]
    for name, counted in (("two", numbers), ("one", range(400))):
        frames = (RAW_HEADER.pack(0xC5110001, 1, 1, 4, 2437, number, -40, -90, 0) + bytes(8) for number in counted)
        (tmp_path / name).write_bytes(b"".join(frames))
    said = [note for note in open_recording(tmp_path / "two").notes if note.startswith("two nodes say the id 1: ")]
    assert len(said) == 1
    assert said[0].endswith("give each node an id of its own")
    assert not open_recording(tmp_path / "one").notes
