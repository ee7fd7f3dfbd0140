"""What is known of each node: its class and since when, its movement, the hour, the waterfall, losses."""

from __future__ import annotations

import numpy as np
import pytest
from listening.wire import raw
from live.serving import Nodes, classes, frames

from aether_temporal.listening import NodeKey
from aether_temporal.live.state import BIN_SECONDS, BINS, NOTHING, ROWS, Movement

NODE = NodeKey("10.0.0.1", 3)


def test_says_since_when_a_class_holds() -> None:
    nodes = Nodes()
    nodes.send(*classes(0, 0, 0, 0))
    nodes.clock.now += 7
    (found,) = nodes.view().nodes
    assert (found.name, found.held) == ("sit", pytest.approx(7.02))
    nodes.send(*classes(1, first=4))
    view = nodes.view()
    assert (view.nodes[0].name, view.nodes[0].held) == ("walk", 0)
    (change,) = view.changes
    assert (change.name, change.before, change.lasted) == ("walk", "sit", pytest.approx(7.04))
    assert nodes.view().changes == ()


def test_no_change_between_two_views_is_lost() -> None:
    nodes = Nodes()
    nodes.send(*classes(0, 0, 0, 1, 0, 1, 1, 0))
    assert [change.name for change in nodes.view().changes] == ["sit", "walk", "sit", "walk", "sit"]


def test_a_class_without_a_name_has_its_number() -> None:
    nodes = Nodes(names=())
    nodes.send(*classes(1, 1, 1))
    assert nodes.view().nodes[0].name == "class 1"


def test_the_hour_shows_class_and_movement_by_parts() -> None:
    nodes = Nodes()
    nodes.send(*classes(0, 0, 0))
    for _ in range(5):
        nodes.view()
    nodes.send(*classes(1, first=3))
    nodes.view()
    ((line, _),) = nodes.state.hours(2).values()
    assert tuple(line) == (NOTHING, 0)  # most of the time
    nodes.clock.now += BIN_SECONDS
    nodes.send(*classes(1, first=4))
    nodes.view()
    ((line, moved),) = nodes.state.hours(BINS).values()
    assert tuple(line) == (NOTHING,) * (BINS - 2) + (0, 1)
    assert set(moved) == {NOTHING}
    nodes.clock.now += 3 * BIN_SECONDS  # silent: these parts stay empty
    nodes.view()
    ((line, _),) = nodes.state.hours(5).values()
    assert tuple(line) == (0, 1, NOTHING, NOTHING, NOTHING)
    nodes.clock.now += 10 * BINS * BIN_SECONDS
    nodes.view()
    ((line, _),) = nodes.state.hours(BINS).values()
    assert set(line) == {NOTHING}


def test_movement_adds_up_and_noise_does_not() -> None:
    scores = []
    for moving in (0.0, 0.05):
        score = Movement()
        for each in np.array_split(np.array(frames_as_amplitudes(200, moving)), 20):
            score.push(each)
        found = score.score
        assert found is not None
        scores.append(found)
    assert scores[0] < 0.05
    assert scores[1] > 0.6


def test_movement_does_not_see_the_receivers_gain() -> None:
    rng = np.random.default_rng(2)
    plain = np.array(frames_as_amplitudes(200, 0.03))
    scaled = plain * rng.uniform(0.5, 2, (200, 1)).astype(np.float32)
    found = []
    for amplitudes in (plain, scaled):
        score = Movement()
        score.push(amplitudes)
        found.append(score.score)
    assert found[1] == pytest.approx(found[0], abs=1e-4)


def test_movement_is_unknown_of_few_or_frozen_frames() -> None:
    score = Movement()
    score.push(np.ones((20, 8), np.float32))
    assert score.score is None
    score.push(np.ones((200, 8), np.float32))
    assert score.score is None


def frames_as_amplitudes(count: int, moving: float) -> list[np.ndarray]:
    return [np.frombuffer(each, np.int8)[::2].astype(np.float32) for each in frames(count, moving)]


def test_the_waterfall_has_rows_since_the_last_one_taken() -> None:
    nodes = Nodes()
    for i, values in enumerate(frames(60, 0.1)):
        nodes.send(raw(3, i, values))
        if i % 10 == 9:
            nodes.view()
    newest, rows = nodes.state.rows(NODE, 0)
    assert (newest, len(rows), len(rows[0])) == (12, 12, 64)
    assert nodes.state.rows(NODE, 10) == (12, rows[10:])
    assert nodes.state.rows(NODE, 12) == (12, [])
    assert nodes.state.rows(NodeKey("10.0.0.9", 3), 0) == (0, [])
    assert nodes.view().nodes[0].movement is not None


def test_the_waterfall_is_bounded() -> None:
    nodes = Nodes()
    for i in range(ROWS):
        nodes.send(*(raw(3, 2 * i + k, bytes([i % 100, 0] * 300)) for k in (0, 1)))
        nodes.view()
    newest, rows = nodes.state.rows(NODE, 0)
    assert newest > ROWS - 5
    assert len(rows) <= ROWS
    assert max(map(len, rows)) == 128
    assert len(nodes.state.rows(NODE, newest + 1000)[1]) == len(rows)  # a number of before a restart


def test_nodes_that_lost_their_row_are_forgotten() -> None:
    nodes = Nodes()
    for address in range(40):
        nodes.send(*(raw(3, i, bytes(24)) for i in range(4)), address=f"10.0.1.{address}")
    assert len(nodes.view().nodes) == 40
    nodes.receiver = type(nodes.receiver)(on_arrival=nodes.state.arrived)
    for _ in range(30):
        nodes.view()
    assert nodes.state.hours(1) == {}


def test_a_share_of_lost_packets_and_silence() -> None:
    nodes = Nodes(silent_after=5.0)
    nodes.send(*(raw(3, i, bytes(24)) for i in (0, 1, 2, 3, 5, 6, 7)))
    (found,) = nodes.view().nodes
    assert (found.lost, found.silent) == (1 / 8, False)
    nodes.clock.now += 6
    assert nodes.view().nodes[0].silent
