"""Names in blobs and recordings are shown as text: they are neither lines of their own nor commands to a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from cli.command import call, make_blob, save_model

from aether_temporal import TemporalModel
from aether_temporal._internal.summary import printable
from aether_temporal.cli.listen_display import Lines, NodesTable, print_summary
from aether_temporal.cli.output import console
from aether_temporal.listening import NodePrediction, NodeSnapshot, Snapshot
from aether_temporal.listening.documents import Events
from aether_temporal.listening.engine import Status

NAME = "walk\nwalk     100.0 %\r\x1b[2J\x1b]0;x\x07\u202eeva\u2028\x85"
"""Ends a line, forges a row, clears a screen, names a window, reverses text, and ends lines in three more ways."""
SHOWN = "walk\\nwalk     100.0 %\\r\\x1b[2J\\x1b]0;x\\x07\\u202eeva\\u2028\\x85"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path, class_names=[NAME, "walk", "turn"])


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two recordings; names of recordings, of classes and of a session are hostile."""
    rng = np.random.default_rng(2)
    path = tmp_path / "set.npz"
    np.savez(
        path,
        amp=rng.uniform(1, 40, (100, 6)).astype(np.float32),
        frame_activity=(np.arange(100) % 3).astype(np.int8),
        activity_names=np.array([NAME, "WALK", "TURN"]),
        rec_name=np.array([NAME, "b"]),
        rec_session=[0, 1],
        rec_subject=[4, 5],
        rec_offset=[0, 50, 100],
        rate_hz=50.0,
    )
    return path


def check(text: str) -> None:
    """No line begins as the forged one does; nothing but line ends is unprintable."""
    assert SHOWN.replace(" ", "")[:12] in text.replace(" ", ""), "the name is not shown at all"
    assert not [line for line in text.split("\n") if line.startswith("walk     100.0")]
    assert {c for c in text if not c.isprintable()} <= {"\n"}


def test_a_name_is_one_line_of_printable_text() -> None:
    assert printable(NAME) == SHOWN
    assert printable("Küche 2 – ΔΩ 部屋") == "Küche 2 – ΔΩ 部屋"


@pytest.mark.parametrize(
    "command",
    [
        "inspect MODEL",
        "recordings SET",
        "run MODEL SET --recording 0 --speed max",
        "run MODEL SET --all",
        "explore confusion MODEL SET -o PICTURE",
    ],
)
def test_commands_show_foreign_names_as_text(command: str, model: Path, recordings: Path, tmp_path: Path) -> None:
    if "explore" in command:
        pytest.importorskip("matplotlib", reason="matplotlib (extra plot) is not installed")
    files = {"MODEL": model, "SET": recordings, "PICTURE": tmp_path / "x.html"}
    check(call(*(files.get(word, word) for word in command.split())).stdout)
    if "explore" in command:
        page = (tmp_path / "x.html").read_text(encoding="utf-8")
        assert not [c for c in ("\x1b", "\u202e", "\u2028", "\x85", "\r", "\x07") if c in page]


@pytest.mark.parametrize("command", ["run MODEL SET --recording x", "run MODEL SET --all --session x"])
def test_errors_show_foreign_names_as_text(command: str, model: Path, recordings: Path, tmp_path: Path) -> None:
    foreign = tmp_path / NAME
    foreign.write_bytes(recordings.read_bytes())
    files = {"MODEL": model, "SET": foreign}
    error = call(*(files.get(word, word) for word in command.split()), code=2).stderr
    check(error)
    assert len(error.splitlines()) == 1


def test_errors_of_usage_show_foreign_names_as_text(tmp_path: Path) -> None:
    file = tmp_path / NAME
    file.touch()
    check(call("init", file, code=2).stderr)
    check(call("demo", "--save", file, code=2).stderr)


@pytest.mark.parametrize("width", [60, 120])
@pytest.mark.parametrize("terminal", [True, False])
def test_listen_shows_foreign_names_as_text(width: int, terminal: bool) -> None:
    out = console()
    out.file, out.width = io.StringIO(), width
    row = NodeSnapshot(
        node_id=3,
        address=f"fe80::1%{NAME}",
        prediction=NodePrediction(0, 1.0, 0.5, 3, True, 0.0),
        rssi=None,
        rate=50.0,
        silent=0.0,
        first_seen=0.0,
        last_seen=0.0,
        accepted={"raw": 3},
        rejected={},
        missing=0,
        late=0,
        duplicates=0,
        restarts=0,
        clock_jumps=0,
        shared=False,
        trouble=None,
    )
    snapshot = Snapshot((row,), 3, {"raw": 3}, {"magic": 1}, f"fe80::1%{NAME}: magic", 0, None)
    status = Status(snapshot, (f"::%{NAME}", 5005), (NAME, 3, 0, None))
    names = (NAME, "walk", "turn")
    if terminal:
        out.print(NodesTable(out, names).render(status))
    else:
        Lines(out, names).show(status)
        print_summary(out, status, names, 1.0)
    shown = out.file
    assert isinstance(shown, io.StringIO)
    check(shown.getvalue())


def test_json_keeps_names_as_they_are() -> None:
    model = TemporalModel.from_blob(make_blob().serialize())
    assert b"\n" not in Events(model).line({"name": NAME})[:-1]
