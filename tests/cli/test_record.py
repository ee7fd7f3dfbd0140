"""`aether record`: from a pseudo-terminal and over loopback, kept whatever ends it."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import call, call_json
from hang import HANG
from recordings.making import classic, raw_frame, values_of
from rich.console import Console

from aether_temporal.cli import record_command
from aether_temporal.cli.listen_display import waterfall
from aether_temporal.listening.recent_frames import RecentFrames
from aether_temporal.listening.recorder import AppendFile, NewRecording, PacketSource, TextSource
from aether_temporal.recordings import Recording, Sources, open_recording

N = 128


@contextmanager
def repeated(step: Callable[[int], object], line: Line | None = None) -> Iterator[threading.Event]:
    """Calls `step` with 0, 1, 2, … in a thread, every 5 ms, until the block ends or `step` fails for want of a peer.
    line: what it writes to. After the block nobody reads from it, and a full line blocks `step`: it is emptied."""
    stop = threading.Event()

    def run() -> None:
        for number in range(100_000):
            if stop.wait(0.005):
                return
            try:
                step(number)
            except OSError:
                return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        until = time.monotonic() + HANG
        while thread.is_alive() and time.monotonic() < until:
            if line is not None:
                line.empty()
            thread.join(0.01)
        assert not thread.is_alive()


class Line:
    """A serial line: the board's end, and the name of the computer's."""

    def __init__(self) -> None:
        import tty

        self.board, self._computer = os.openpty()
        tty.setraw(self._computer)
        self.port = os.ttyname(self._computer)

    def empty(self) -> None:
        if select.select([self._computer], [], [], 0)[0]:
            with suppress(OSError):  # unplugged
                os.read(self._computer, 1 << 16)

    def close(self) -> None:
        os.close(self._computer)
        os.close(self.board)


@pytest.fixture
def console() -> Iterator[Line]:
    pytest.importorskip("serial", reason="pyserial is not installed")
    if not hasattr(os, "openpty"):
        pytest.skip("no pseudo-terminals here")
    line = Line()
    yield line
    line.close()


def line_of(number: int) -> bytes:
    return f"{classic(number, values_of(number, N), us=5000 * number)}\r\n".encode()


def write_lines(board: int) -> Callable[[int], object]:
    return lambda number: os.write(board, (b"I (123) wifi: log\r\n" if number % 7 == 3 else b"") + line_of(number))


def expect_lines(path: Path) -> Recording:
    """The recording holds the lines of consecutive numbers, whole and unchanged."""
    found = open_recording(path)
    assert found.iq is not None
    frames = found.iq.reshape(len(found), -1)
    first = next(n for n in range(256) if frames[0].tolist() == values_of(n, N))
    assert [row.tolist() for row in frames] == [values_of(first + n, N) for n in range(len(frames))]
    return found


def test_a_serial_port_is_recorded_with_its_label(console: Line, tmp_path: Path) -> None:
    board, port = console.board, console.port
    told = ("--subject", "anna", "--session", "monday")
    with repeated(write_lines(board), console):
        for name, label in (("one.csv", "walk"), ("two.csv", "sit, then stand")):
            out = call("record", tmp_path / name, "--port", port, "--label", label, *told, "--seconds", 0.3).stdout
            assert f"{name}, label {label}, subject anna, session monday" in out.replace("\n", "")
            assert len(expect_lines(tmp_path / name)) > 1
    one, two = Sources([tmp_path / "recordings.csv"])
    assert (one.label_names, two.label_names) == (("walk",), ("sit, then stand",))
    assert (two.subject, two.session) == ("anna", "monday")
    assert two.labels is not None
    assert (two.labels == 0).all()


def test_packets_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dpkt", reason="dpkt (extra pcap) is not installed")
    ready: list[tuple[str, int]] = []

    class Announced(PacketSource):
        def __init__(self, *where: Any) -> None:
            super().__init__(*where)
            ready.append(self.where)

    monkeypatch.setattr(record_command, "PacketSource", Announced)
    path = tmp_path / "walk.pcap"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:

        def send(number: int) -> None:
            if ready:
                sender.sendto(raw_frame(number, bytes([number % 100 + 1]) * N, node=3), ready[0])

        with repeated(send):
            document = call_json("record", path, "--udp", "127.0.0.1:0", "--label", "walk", "--seconds", 0.3)
    (entry,) = document["recordings"]
    assert (entry["name"], entry["width"], document["label"]) == ("node3", N // 2, "walk")
    assert entry["frames"] == document["frames"] > 1
    (found,) = Sources([tmp_path / "recordings.csv"])
    assert found.label_names == ("walk",)
    assert found.iq is not None
    assert (np.diff(found.iq[:, 0, 0].astype(int)) % 100 == 1).all()


def test_an_existing_recording_is_replaced_with_force_only(console: Line, tmp_path: Path) -> None:
    board, port = console.board, console.port
    path = tmp_path / "walk.csv"
    path.write_bytes(b"old")
    assert "replace it with --force" in call("record", path, "--port", port, code=2).stderr
    result = call("record", path, "--port", port, "--force", "--seconds", 0.1, code=2)  # no frame comes
    assert "expected CSI frames, found none" in result.stderr
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["walk.csv"]
    with repeated(write_lines(board), console):
        call("record", path, "--port", port, "--force", "--seconds", 0.1, "--label", "walk")
        call("record", path, "--port", port, "--force", "--seconds", 0.1, "--label", "run")
    expect_lines(path)
    (found,) = Sources([tmp_path / "recordings.csv"])
    assert found.label_names == ("run",)


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a frame comes, it comes at once: nothing is gained by waiting, but for slow machines."""
    monkeypatch.setattr(record_command, "_WAIT", 1.0 if sys.gettrace() is None else 5.0)


def test_without_a_frame_no_file_is_left(console: Line, tmp_path: Path) -> None:
    board, port = console.board, console.port
    with repeated(lambda number: os.write(board, b"boot\r\n"), console):
        result = call("record", tmp_path / "a.csv", "--port", port, "--seconds", 0.1, "--label", "walk", code=2)
    assert "other_text dropped" in result.stderr
    assert "--baud" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unplugged_port_ends_the_recording_and_keeps_it(console: Line, tmp_path: Path) -> None:
    board, port = console.board, console.port
    path = tmp_path / "walk.csv"
    sent = []

    def send_and_unplug(number: int) -> None:
        if number >= 20 and any(file.stat().st_size for file in tmp_path.iterdir()):
            with open(os.devnull, "rb") as nothing:
                os.dup2(
                    nothing.fileno(), board
                )  # the board's end is closed, and its number is not given to another file
            raise OSError("unplugged")
        sent.append(os.write(board, line_of(number)))

    with repeated(send_and_unplug, console):
        result = call("record", path, "--port", port, "--label", "walk", code=1)
    assert "expected an open serial port, found that it is gone" in result.stderr
    assert 0 < len(expect_lines(path)) <= len(sent)
    assert (tmp_path / "recordings.csv").exists()


def test_a_full_disk_ends_the_recording_and_keeps_it(
    console: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, port = console.board, console.port
    write, path = AppendFile.write, tmp_path / "walk.csv"
    most = 6000

    def fill(self: AppendFile, data: bytes) -> None:
        if self.path == path and path.stat().st_size + len(data) > most:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path))
        write(self, data)

    monkeypatch.setattr(AppendFile, "write", fill)
    with repeated(write_lines(board), console):
        result = call("record", path, "--port", port, code=1)
    assert "No space left on device" in result.stderr
    assert 0 < path.stat().st_size <= most
    expect_lines(path)


def test_ctrl_c_keeps_what_was_recorded(console: Line, tmp_path: Path) -> None:
    board, port = console.board, console.port
    path = tmp_path / "walk.csv"
    command = [sys.executable, "-m", "aether_temporal", "record", str(path), "--port", port, "--label", "walk"]
    with (
        repeated(write_lines(board), console),
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
    ):
        until = time.monotonic() + HANG
        while not (path.exists() and path.stat().st_size > 5000):
            assert time.monotonic() < until, "nothing was recorded"
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=HANG)
    assert (process.returncode, said) == (0, "")
    assert "frames" in out
    assert len(expect_lines(path)) > 1
    (found,) = Sources([tmp_path / "recordings.csv"])
    assert found.label_names == ("walk",)


def test_rejected_options(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert "--port or --udp" in call("record", path, code=2).stderr
    assert "--port or --udp" in call("record", path, "--port", "x", "--udp", "5005", code=2).stderr
    assert "expected a port" in call("record", path, "--udp", "99999", code=2).stderr
    assert "in one line" in call("record", path, "--udp", "0", "--label", "a\nb", code=2).stderr
    assert "no such port" in call("record", path, "--port", tmp_path / "tty", code=2).stderr
    table = call("record", tmp_path / "recordings.csv", "--udp", "0", "--label", "a", code=2).stderr
    assert "another name than that of the manifest" in table
    assert list(tmp_path.iterdir()) == []


class Port:
    """Hands out pieces of a stream."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._pieces = [data[at : at + piece] for at in range(0, len(data), piece)]

    def read(self, seconds: float) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


@pytest.mark.parametrize("piece", [1, 7, 5000])
def test_lines_are_stored_whole_however_they_arrive(tmp_path: Path, piece: int) -> None:
    data = b"log\n" + b"".join(map(line_of, range(4))) + b"cut off"
    recording = NewRecording(tmp_path / "a.csv", b"")
    source = TextSource(Port(data, piece), time.monotonic)
    for _ in range(len(data)):
        source.poll(recording, 0.0)
    recording.close()
    assert (tmp_path / "a.csv").read_bytes() == data.removesuffix(b"cut off")
    assert (recording.frames, dict(source.dropped)) == (4, {"other_text": 1})


def test_a_line_without_end_is_stored_and_takes_no_more_memory(tmp_path: Path) -> None:
    data = b"x" * 200_000 + b"\n" + line_of(0)
    recording = NewRecording(tmp_path / "a.csv", b"")
    source = TextSource(Port(data, 4096), time.monotonic)
    for _ in range(60):
        source.poll(recording, 0.0)
        assert len(source._rest) < 80_000
    recording.close()
    assert recording.frames == 1
    assert len(open_recording(tmp_path / "a.csv")) == 1


def test_recent_frames_are_bounded() -> None:
    recent = RecentFrames()
    for sender in range(40):
        for number in range(3000 if sender == 39 else 3):
            recent.add(f"node{sender}", bytes(1000), number / 50)
    found = recent.recordings()
    assert [each.name for each in found] == [f"node{sender}" for sender in range(24, 40)]
    assert len(found[-1]) == 524  # of 1000 bytes each: 512 KiB
    assert any("repeat an earlier one" in warning for warning in recent.warnings())


def picture(color: str | None, width: int, holes: bool = False, lines: int = 10) -> list[str]:
    """The text of a waterfall of 64 subcarriers, of which 0 to 31 are strong."""
    times = np.arange(100) / 50
    times[50:] += 1.0 * holes
    iq = np.zeros((100, 64, 2), np.int8)
    iq[:, :, 0] = np.where(np.arange(64) < 32, 100, 10) + np.arange(100)[:, None] % 5
    out = Console(width=width, color_system=color, force_terminal=color is not None)  # type: ignore[arg-type]
    return [line.plain for line in waterfall(out, Recording("", "a", "live", iq=iq, timestamps=times), lines)]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_waterfall_fits_the_terminal(width: int) -> None:
    *rows, axis = picture(None, width)
    assert len(rows) == 10
    assert {len(row) for row in rows} == {len(axis)}
    assert len(axis) < width
    assert axis.split() == ["0", "I/Q", "pair", "63"]
    half = len(axis) // 2
    assert set(rows[-1][: half - 1]) <= set("#%@")
    assert set(rows[-1][half + 1 :]) <= set(" .:")
    assert len(picture("truecolor", width)) == 11


def test_waterfall_leaves_holes_blank() -> None:
    *rows, _ = picture(None, 80, holes=True, lines=30)
    blank = [not row.strip() for row in rows]
    assert blank[20:] == [False] * 10
    assert sum(blank[10:20]) >= 9
