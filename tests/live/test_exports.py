"""The log of changes and the history in SQLite."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from listening.wire import classification
from live.serving import POSIX, Nodes, classes, send, serving, wait_until

from aether_temporal.errors import InvalidArgumentError
from aether_temporal.live.serve_settings import History, Log

pytest.importorskip("prometheus_client", reason="prometheus-client (extra live) is not installed")

from aether_temporal.live.exports import ChangeLog, HistoryFile


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_log_has_a_line_for_each_change(tmp_path: Path) -> None:
    log = ChangeLog(Log(str(tmp_path / "x.jsonl")))
    nodes = Nodes(log)
    nodes.send(*classes(0, 0, 0, 0, 1, 1, 0))
    nodes.show()
    nodes.show()
    log.close()
    found = lines_of(tmp_path / "x.jsonl")
    assert [line["name"] for line in found] == ["sit", "walk", "sit"]
    assert (found[1]["node"], found[1]["address"], found[1]["before"]) == (3, "10.0.0.1", "sit")
    assert found[1]["lasted"] == pytest.approx(0.04)


def test_the_log_is_renamed_by_size_and_the_oldest_go(tmp_path: Path) -> None:
    nodes = Nodes()
    log = ChangeLog(Log(str(tmp_path / "x.jsonl"), max_bytes=1024, keep=2), nodes.clock)
    nodes.state.sinks.append(log)
    for i in range(40):
        nodes.send(*classes(i % 2, first=i), seconds=1)
        nodes.show()
    log.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert all(0 < file.stat().st_size <= 1024 for file in files)
    newest = lines_of(tmp_path / "x.jsonl")
    renamed = sorted((file for file in files if file.name != "x.jsonl"), key=lambda file: lines_of(file)[0]["time"])
    times = [line["time"] for file in (*renamed, tmp_path / "x.jsonl") for line in lines_of(file)]
    assert times == sorted(times)  # type: ignore[type-var]
    assert newest[-1]["time"] == 1e9 + nodes.clock.now


def test_the_log_is_renamed_by_age_also_after_a_restart(tmp_path: Path) -> None:
    nodes = Nodes()
    nodes.clock.now = 0

    def log_at(seconds: float) -> ChangeLog:
        nodes.clock.now = seconds
        return ChangeLog(Log(str(tmp_path / "x.jsonl"), max_hours=1), lambda: 1e9 + nodes.clock.now)

    first = log_at(0)
    nodes.state.sinks.append(first)
    nodes.send(*classes(0, 0, 0))
    nodes.show()
    first.close()
    second = log_at(1800)
    nodes.state.sinks[:] = [second]
    nodes.send(*classes(1, first=3))
    nodes.show()
    assert len(list(tmp_path.iterdir())) == 1
    nodes.clock.now = 3700
    nodes.send(*classes(0, first=4))
    nodes.show()
    second.close()
    assert len(list(tmp_path.iterdir())) == 2
    assert [line["name"] for line in lines_of(tmp_path / "x.jsonl")] == ["sit"]


@POSIX
def test_a_full_disk_ends_the_log_and_nothing_else(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this computer has no /dev/full")
    log = ChangeLog(Log("/dev/full"))
    nodes = Nodes(log)
    nodes.send(*classes(0, 0, 0))
    nodes.show()
    assert str(log.error).startswith("/dev/full: the log of changes ended: No space left on device")
    nodes.send(*classes(1, first=3))
    nodes.show()
    log.close()


def test_the_log_leaves_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("precious")
    with pytest.raises(InvalidArgumentError, match="expected a new file or JSON lines"):
        ChangeLog(Log(str(tmp_path / "x.jsonl")))
    assert (tmp_path / "x.jsonl").read_text() == "precious"


def test_the_history_has_changes_and_minutes(tmp_path: Path) -> None:
    nodes = Nodes()
    file = tmp_path / "h.sqlite"
    history = HistoryFile(History(str(file), keep_days=1), lambda: 1e9 + nodes.clock.now)
    nodes.state.sinks.append(history)
    nodes.send(*classes(0, 0, 0))
    nodes.show()
    nodes.show()
    nodes.clock.now += 61
    nodes.send(*classes(1, first=3))
    nodes.show()
    reader = sqlite3.connect(file)  # while it is written
    assert reader.execute("SELECT node, address, name, lasted IS NULL FROM changes ORDER BY time").fetchall() == [
        (3, "10.0.0.1", "sit", 1),
        (3, "10.0.0.1", "walk", 0),
    ]
    assert reader.execute("SELECT name, silent FROM minutes ORDER BY time").fetchall() == [("sit", 0), ("walk", 0)]
    nodes.clock.now += 86400 + 3600
    nodes.show()
    assert reader.execute("SELECT count(*) FROM changes").fetchone() == (0,)
    assert reader.execute("SELECT silent FROM minutes").fetchall() == [(1,)]
    history.close()
    reader.close()
    again = HistoryFile(History(str(file)))
    again.close()


def test_the_history_leaves_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "h.sqlite").write_text("precious" * 1000)
    with pytest.raises(InvalidArgumentError, match=r"expected a new file or an SQLite database, found file is not"):
        HistoryFile(History(str(tmp_path / "h.sqlite")))
    assert (tmp_path / "h.sqlite").read_text() == "precious" * 1000
    with pytest.raises(InvalidArgumentError, match=r"found unable to open database file"):
        HistoryFile(History(str(tmp_path / "absent" / "h.sqlite")))


@POSIX
def test_the_command_writes_log_and_history(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="aiohttp (extra live) is not installed")
    (tmp_path / "serve.toml").write_text('[log]\nfile = "log.jsonl"\n[history]\nfile = "history.sqlite"\n')
    with serving("--config", "serve.toml", cwd=tmp_path) as found:
        send(found.port, *(classification(3, i, argmax=1, classes=9) for i in range(3)))
        wait_until(lambda: (tmp_path / "log.jsonl").stat().st_size)
    assert [line["name"] for line in lines_of(tmp_path / "log.jsonl")] == ["class 1"]
    base = sqlite3.connect(tmp_path / "history.sqlite")
    assert base.execute("SELECT name FROM changes").fetchall() == [("class 1",)]
    base.close()
