"""The table of `aether listen`: the page shows what the display prints; narrow terminals keep what matters most."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from rich.console import Console
from rich.text import Text

from aether_temporal.cli.listen_display import NodesTable, Status, class_text, document
from aether_temporal.cli.output import console
from aether_temporal.listening import NodePrediction, NodeSnapshot, PredictorStatus, Snapshot
from aether_temporal.listening.recent_frames import RecentFrames

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "listening.md"
NAMES = ("empty", "still", "walking", "waving", "falling")
QUIET = NodeSnapshot(
    node_id=3,
    address="fe80::7edf:a1ff:fe01:2345%wlan0",
    prediction=None,
    rssi=None,
    rate=2.6,
    silent=8.0,
    first_seen=0.0,
    last_seen=0.0,
    accepted={},
    rejected={},
    missing=0,
    late=0,
    duplicates=0,
    restarts=1,
    clock_jumps=0,
    shared=False,
    trouble=None,
)
WALKING = dataclasses.replace(
    QUIET,
    node_id=1,
    address="192.168.1.21",
    prediction=NodePrediction(2, 3.25, 1.5, 5, False, 0.0),
    rate=51.3,
    silent=0.0,
    restarts=0,
)
OTHER = dataclasses.replace(
    WALKING,
    node_id=2,
    address="192.168.1.22",
    prediction=NodePrediction(1, -0.25, 0.125, 9, False, 0.0),
    rate=49.1,
    missing=85,
    rejected={"length": 7},
)
REJECTED = "10.0.0.9: magic: expected 0xC5110001, 0xC5110006 or 0xC5110007, found 0x6C6C6568"


def shown(status: Status, width: int) -> list[str]:
    out = console()
    out.file, out.width = io.StringIO(), width
    out.print(NodesTable(out, NAMES).render(status))
    return [line.rstrip() for line in out.file.getvalue().splitlines()]


def status_of(*rows: NodeSnapshot, model: PredictorStatus | None = None) -> Status:
    snapshot = Snapshot(rows, 1412, {"raw": 1398}, {"length": 7, "magic": 7}, REJECTED, 0, None)
    return Status(snapshot, ("::", 5005), ("room.pcap", 1398, 0, None), model, "demo")


def test_the_page_shows_what_the_table_shows() -> None:
    sample = PAGE.read_text(encoding="utf-8").split("```text\n", 1)[1].split("```", 1)[0]
    assert shown(status_of(WALKING, OTHER, QUIET), 120) == sample.splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_table_fits_the_terminal(width: int) -> None:
    lines = shown(status_of(WALKING, OTHER, QUIET), width)
    assert max(map(len, lines)) <= width
    assert all(any(word in line for line in lines) for word in ("walking", "class 1", "node", "last"))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_says_why_frames_are_not_classified(width: int) -> None:
    why = "expected 52 I/Q pairs, one for each feature of the model, found 64 I/Q pairs"
    model = PredictorStatus(
        predicted=0, dropped=0, unsuitable=100, why=why, overflowed=0, replaced=2, failed=1, trouble="no memory"
    )
    lines = shown(status_of(dataclasses.replace(WALKING, prediction=None, trouble=why), model=model), width)
    assert any("not classified" in line for line in lines)
    assert any(line.startswith("no frame suits demo: expected 52 I/Q pairs") for line in lines)
    assert any(line.startswith("1 streams dropped because of errors; the last: no memory") for line in lines)
    assert any(line.startswith("2 streams gave way to those of other nodes") for line in lines)
    assert max(map(len, lines)) <= width


def test_says_that_two_nodes_share_a_row() -> None:
    lines = shown(status_of(dataclasses.replace(WALKING, shared=True)), 120)
    assert any(line.startswith("node 1 at 192.168.1.21: two senders say this id") for line in lines)


def test_the_probability_of_a_calibrated_model_stands_beside_the_class() -> None:
    plain = NodePrediction(class_index=1, logit=2.0, margin=1.0, n_classes=2, local=True, time=0.0)
    assert class_text(plain, ["sit", "walk"]) == "walk (here)"
    assert class_text(dataclasses.replace(plain, probability=0.934), ["sit", "walk"]) == "walk 93% (here)"


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("coloured", [False, True])
def test_pictures_of_the_newest_frames_fit_below_the_table(width: int, coloured: bool) -> None:
    recent = RecentFrames()
    for number in range(60):
        for node in (1, 2):
            values = np.random.default_rng(100 * node + number).integers(-90, 90, 128, dtype=np.int8)
            recent.add(f"node {node} at 192.168.1.2{node}", values.tobytes(), number / 50)
    system: Literal["truecolor"] | None = "truecolor" if coloured else None
    out = Console(file=io.StringIO(), width=width, height=30, color_system=system, force_terminal=coloured)
    parts = NodesTable(out, NAMES, recent).render(status_of(WALKING, OTHER))
    out.print(parts)
    assert isinstance(out.file, io.StringIO)
    lines = Text.from_ansi(out.file.getvalue()).plain.splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= width
    assert [line.strip() for line in lines if line.startswith("node ") and " at " in line] == [
        "node 1 at 192.168.1.21",
        "node 2 at 192.168.1.22",
    ]
    assert sum("I/Q pair" in line for line in lines) == 2


def test_warnings_of_frames_are_shown() -> None:
    status = dataclasses.replace(status_of(WALKING), warnings=("node 1 at 192.168.1.21: frames repeat",))
    assert "node 1 at 192.168.1.21: frames repeat" in shown(status, 120)
    assert document(status, NAMES, 1.0)["warnings"] == ["node 1 at 192.168.1.21: frames repeat"]
