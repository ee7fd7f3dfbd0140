"""The model's thread: errors of one node, errors of all, and the bound of its memory."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from cli.command import make_blob
from hang import HANG
from wire import features, raw

from aether_temporal import TemporalModel
from aether_temporal.errors import InvalidArgumentError
from aether_temporal.listening import Arrival, NodePredictor, PacketReceiver, predictor
from aether_temporal.running.inputs import INDEX_NOTE, FrameMapper
from aether_temporal.running.stream import Prediction, Predictor
from aether_temporal.subcarriers import parse_layout

PAIRS = 12


@pytest.fixture
def model() -> TemporalModel:
    return TemporalModel.from_blob(make_blob(input_dim=6, n_pairs=PAIRS).serialize())


def frame(node: int, number: int) -> bytes:
    return raw(node, number, np.random.default_rng(number).integers(-90, 90, 2 * PAIRS).astype(np.int8).tobytes())


def heard(model: TemporalModel, **options: object) -> tuple[NodePredictor, PacketReceiver]:
    found = NodePredictor(model, **options)  # type: ignore[arg-type]
    return found, PacketReceiver(on_arrival=found.offer)


def failing(monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], bool]) -> None:
    """Makes the n-th push of all streams raise MemoryError."""
    push, count = Predictor.push, iter(range(10**6))

    def wrapped(self: Predictor, row: np.ndarray, label: int = -1) -> Prediction:
        if fails(next(count)):
            raise MemoryError("no memory for this test")
        return push(self, row, label)

    monkeypatch.setattr(Predictor, "push", wrapped)


def test_an_error_of_one_node_drops_its_stream_and_no_other(
    model: TemporalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[int, int]] = []
    found, receiver = heard(
        model, on_prediction=lambda arrival, prediction: said.append((arrival.node.key.node_id, prediction.index))
    )
    failing(monkeypatch, lambda n: n == 4)
    for node in (1, 2):
        for i in range(3):
            receiver.take(frame(node, i), "10.0.0.5", 1, 0.0, 0.0)
        receiver.take(frame(node, 3), "10.0.0.5", 1, 0.0, 0.0)
    found.close()
    assert found.failure is None
    status = found.status()
    assert (status.failed, status.predicted, status.dropped) == (1, 7, 0)
    assert status.trouble == "its stream was dropped: no memory for this test"
    assert sorted(index for _, index in said) in ([0, 0, 0, 1, 1, 2, 3], [0, 0, 1, 1, 2, 2, 3])  # one started over


def test_a_node_whose_stream_fails_three_times_gets_no_other(
    model: TemporalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, receiver = heard(model)
    failing(monkeypatch, lambda n: True)
    for i in range(10):
        receiver.take(frame(1, i), "10.0.0.5", 1, 0.0, 0.0)
    found.close()
    status = found.status()
    assert (status.failed, status.dropped, status.predicted) == (3, 7, 0)
    trouble = receiver.table.nodes()[0].trouble
    assert trouble == "its stream was dropped: no memory for this test; it is classified no more"


def test_an_error_outside_of_a_stream_ends_the_thread_and_is_kept(model: TemporalModel) -> None:
    def broken(arrival: Arrival, prediction: Prediction) -> None:
        raise KeyError("broken")

    found, receiver = heard(model, on_prediction=broken)
    for i in range(3):
        receiver.take(frame(1, i), "10.0.0.5", 1, 0.0, 0.0)
    found._thread.join(HANG)
    assert isinstance(found.failure, KeyError)
    for i in range(3, 100):  # nothing piles up
        receiver.take(frame(1, i), "10.0.0.5", 1, 0.0, 0.0)
    assert not found._turns
    found.close()


def test_streams_are_bounded_and_the_one_used_longest_ago_goes_first(model: TemporalModel) -> None:
    indices: dict[int, list[int]] = {}
    each = heard(model)[0]
    each.close()
    found, receiver = heard(
        model,
        max_bytes=3 * each.stream_bytes + 5,
        on_prediction=lambda arrival, prediction: indices.setdefault(arrival.packet.node_id, []).append(
            prediction.index
        ),
    )
    assert found.max_streams == 3

    def send(node: int, *numbers: int) -> None:
        before = found.predicted
        for number in numbers:
            receiver.take(frame(node, number), f"10.0.0.{node}", 1, 0.0, 0.0)
        while found.predicted < before + len(numbers):
            assert found.failure is None

    for node in (1, 2, 3):
        send(node, 0, 1, 2)
    send(1, 3)
    send(4, 0, 1, 2)  # takes the place of node 2's
    send(1, 4)
    send(2, 3)  # starts over, in the place of node 3's
    found.close()
    assert indices == {1: [0, 1, 2, 3, 4], 2: [0, 1, 2, 0], 3: [0, 1, 2], 4: [0, 1, 2]}
    assert found.status().replaced == 2
    assert len(found._streams) == 3


def test_a_stream_that_takes_more_than_the_limit_is_an_error(model: TemporalModel) -> None:
    with pytest.raises(InvalidArgumentError, match=r"memory: expected at least \d+ bytes, for the stream of one node"):
        NodePredictor(model, max_bytes=100)


def test_waiting_frames_are_bounded_in_bytes(model: TemporalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one node, and of all nodes; a flood of large frames costs others nothing."""
    monkeypatch.setattr(predictor, "_PENDING_BYTES", 3 * (2 * 60_020 + 1024))
    inside, proceed = threading.Event(), threading.Event()

    def slow(arrival: Arrival, prediction: Prediction) -> None:
        inside.set()
        proceed.wait(HANG)

    found, receiver = heard(model, on_prediction=slow)
    for i in range(3):
        receiver.take(frame(1, i), "10.0.0.1", 1, 0.0, 0.0)
    assert inside.wait(HANG)
    for i in range(10):
        receiver.take(raw(2, i, bytes(60_000), antennas=10, subcarriers=3000), "10.0.0.2", 1, 0.0, 0.0)
    for i in range(3):
        receiver.take(frame(3, i), "10.0.0.3", 1, 0.0, 0.0)
    assert found.dropped == 7
    proceed.set()
    found.close()
    assert found.predicted == 6
    assert found.unsuitable == 3
    assert found._waiting == 0


def test_says_why_frames_do_not_suit(model: TemporalModel) -> None:
    found, receiver = heard(model)
    for i in range(4):
        receiver.take(raw(1, i, bytes(10), subcarriers=5), "10.0.0.5", 1, 0.0, 0.0)
        receiver.take(features(2, i), "10.0.0.5", 1, 0.0, 0.0)
    found.close()
    one, two = receiver.table.nodes()
    wanted = "expected raw frames of 12 I/Q pairs or 6 I/Q pairs, one for each feature of the model"
    assert one.trouble == f"{wanted}, found 5 I/Q pairs"
    assert two.trouble == f"{wanted}, found a feature state of 9"
    assert found.unsuitable == 8


def test_says_how_many_subcarriers_were_expected_and_found() -> None:
    mapper = FrameMapper(TemporalModel.from_blob("demo"))
    assert mapper.frame(np.ones((64, 2), np.int8), None) is None
    found = "expected 52 (lltf:-26..-1,1..26), found 64 columns of which nobody says which they are; state the chip"
    assert found in (mapper.why or "")
    assert mapper.frame(np.ones((20, 2), np.int8), parse_layout("htltf:1..20")) is None
    assert "expected lltf:-26, found htltf:1..20 (20 columns, 52 wanted)" in (mapper.why or "")


def test_what_is_only_plausible_about_frames_is_kept_for_the_screen(model: TemporalModel) -> None:
    found, receiver = heard(model)  # names pairs by index
    assert not found.notes
    for i in range(4):
        receiver.take(frame(1, i), "10.0.0.5", 1, 0.0, 0.0)
    found.close()
    assert found.notes == (INDEX_NOTE,)
