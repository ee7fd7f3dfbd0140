"""`aether listen` as a process: its table, its terminal, its files, how it ends."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from cli.command import call, save_model
from hang import HANG
from rich.console import Console
from rich.text import Text
from wire import classification, features, raw

from aether_temporal import TemporalModel
from aether_temporal.cli.listen_display import NodesTable, class_text, document
from aether_temporal.cli.output import console
from aether_temporal.listening import NodePrediction, NodeSnapshot, PredictorStatus, RawFrame, Snapshot, parse
from aether_temporal.listening.engine import Engine, Status
from aether_temporal.listening.recent_frames import RecentFrames
from aether_temporal.listening.simulated_node import send_recording
from aether_temporal.simulation import demo_recording

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and pseudo-terminals of POSIX")
AETHER = [sys.executable, "-m", "aether_temporal"]
GREETING = re.compile(r"Listening at (\S+) port (\d+) ")


def started(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
    command = [*AETHER, "listen", "--bind", "127.0.0.1:0", *map(str, arguments)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "30", "PYTHONUNBUFFERED": "1"}
    environment.pop("NO_COLOR", None)
    return subprocess.Popen(
        command, env=environment, **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options)
    )  # type: ignore[call-overload,no-any-return]


def port_of(found: subprocess.Popen[bytes]) -> int:
    """What the greeting says."""
    assert found.stdout is not None
    match = GREETING.search(found.stdout.readline().decode())
    assert match is not None
    return int(match[2])


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def send(port: int, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for data in datagrams:
            out.sendto(data, ("127.0.0.1", port))


def wait_until(condition: Callable[[], bool]) -> None:
    """The time limit is for a process that hangs."""
    deadline = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def read_until(found: subprocess.Popen[bytes], text: str) -> str:
    assert found.stdout is not None
    seen = ""
    while text not in seen:
        line = found.stdout.readline().decode()
        assert line, seen
        seen += line
    return seen


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_prints_lines_and_a_summary(tmp_path: Path, number: signal.Signals) -> None:
    found = started(
        "--model", save_model(tmp_path), "--predictions", tmp_path / "a.jsonl", "--record", tmp_path / "x.pcap"
    )
    port = port_of(found)
    send(port, *(classification(3, i, argmax=1, classes=3, logit=2.5, margin=1.25) for i in range(4)), b"nonsense")
    assert "node   3  127.0.0.1  walk  logit 2.50  margin 1.25" in read_until(found, "walk")
    send(port, classification(3, 4, argmax=7, classes=9))
    read_until(found, "class 7")
    found.send_signal(number)
    out, error = found.communicate(timeout=HANG)
    assert (found.returncode, error.decode()) == (0, "")
    text = out.decode()
    assert "5 packets of 1 nodes" in text
    assert "rejected  1 magic" in text
    assert f"recording {tmp_path / 'x.pcap'}: 5 packets" in text
    assert "\x1b" not in text
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line["sequence"] for line in lines] == [0, 1, 2, 3, 4]
    assert lines[0] | {"time": 0} == {
        "event": "classification",
        "time": 0,
        "node": 3,
        "address": "127.0.0.1",
        "sequence": 0,
        "ts_us": 1000000,
        "class": 1,
        "name": "walk",
        "n_classes": 3,
        "logit": 2.5,
        "margin": 1.25,
    }
    assert lines[4]["name"] is None


@POSIX
def test_shows_a_table_on_a_terminal(tmp_path: Path) -> None:
    import pty

    leader, follower = pty.openpty()
    found = started("--model", save_model(tmp_path), stdout=follower, stderr=follower)
    os.close(follower)
    seen, asked, port = b"", False, 0
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
        match = GREETING.search(seen.decode(errors="replace"))
        if match and not port:
            port = int(match[2])
            send(port, classification(3, 0, argmax=2, classes=3, logit=2.5, margin=1.25), classification(3, 7)[:-2])
        if not asked and b"turn" in seen:
            asked = True
            found.send_signal(signal.SIGINT)
    os.close(leader)
    assert found.wait(HANG) == 0
    text = seen.decode()
    shown, summary = text.split("\x1b[?25h")
    for wanted in ("node", "address", "margin", "a second", "127.0.0.1", "turn", "2.50", "1.25", "1 length"):
        assert wanted in shown
    assert "1 packets of 1 nodes" in summary
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1


def test_prints_json_lines_then_the_summary() -> None:
    port = free_port()
    command = [*AETHER, "listen", "--bind", f"127.0.0.1:{port}", "--jsonl", "--duration", "600"]
    found = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert found.stdout is not None

    def heard() -> bool:  # until it listens, packets are lost
        send(port, features(8, 1))
        return os.name != "posix" or _readable(found)

    wait_until(heard)
    line = found.stdout.readline()
    first = json.loads(line)
    assert (first["event"], first["node"], first["respiration_bpm"]) == ("features", 8, 2.0)
    if os.name == "posix":
        found.send_signal(signal.SIGINT)
        out, error = found.communicate(timeout=HANG)
        assert (found.returncode, error) == (0, b"")
        summary = json.loads(out.splitlines()[-1])["summary"]
        assert summary["nodes"][0]["accepted"]["features"] >= 1
        assert summary["port"] == port
    else:
        found.terminate()
        found.communicate()


def _readable(found: subprocess.Popen[bytes]) -> bool:
    import select

    return bool(select.select([found.stdout], [], [], 0)[0])


def test_help() -> None:
    assert "\n  listen " in call("--help").stdout
    assert "prove nothing about who sent them" in " ".join(call("listen", "--help").stdout.split())


def test_ends_after_the_duration() -> None:
    document = json.loads(call("listen", "--bind", "127.0.0.1:0", "--duration", "0.2", "--json").stdout)
    assert document["received"] == 0
    assert document["nodes"] == []
    assert document["seconds"] >= 0.2
    out = call("listen", "--bind", "127.0.0.1:0", "--duration", "0.2").stdout
    assert "0 packets of 0 nodes" in out
    assert "rejected  nothing" in out


@POSIX
def test_reports_a_full_disk_and_keeps_listening() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this computer has no /dev/full")
    found = started("--predictions", "/dev/full")
    port = port_of(found)
    assert found.stderr is not None
    send(port, classification(3, 0))
    assert found.stderr.readline().decode() == (
        "aether: /dev/full: recording ended: No space left on device: make room there, or name a place elsewhere "
        "(0 packets are in it)\n"
    )
    send(port, classification(3, 1, argmax=3))
    read_until(found, "class 3")
    found.send_signal(signal.SIGINT)
    out, error = found.communicate(timeout=HANG)
    assert (found.returncode, error) == (1, b"")
    assert b"2 packets of 1 nodes" in out


@POSIX
def test_a_closed_standard_output_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    found = started("--duration", 600, stdout=write)
    os.close(write)
    _, error = found.communicate(timeout=HANG)
    assert (found.returncode, error) == (141, b"")


USAGE = {
    "not an address": (("--bind", "nonsense"), "bind: expected an IPv4 or IPv6 address of this computer"),
    "address of another computer": (("--bind", "192.0.2.1"), "UDP 192.0.2.1 port "),
    "not a network": (("--allow", "10.0.0.0/99"), "expected an address or a network such as 192.168.1.0/24"),
    "not a port": (("--bind", "127.0.0.1:70000"), "expected a port from 0 to 65535, found 70000"),
    "port without a number": (("--bind", "127.0.0.1:http"), "bind: expected an IPv4 or IPv6 address"),
    "missing model": (("--model", "absent"), "absent"),
    "missing folder": (("--record", "absent/x.pcap"), "absent/x.pcap: No such file or directory"),
    "both kinds of JSON": (("--json", "--jsonl"), "expected one of them, found both"),
    "one file for two options": (("--record", "x", "--predictions", "./x"), "expected two files, found x for both"),
    "a reply where nothing can be": (
        ("--record", "x", "--predictions", "absent/y"),
        "absent/y: No such file or directory",
    ),
    "too small a limit": (("--model", "demo", "--max-memory", "1K"), "memory: expected at least "),
    "no number of bytes": (("--max-memory", "much"), "expected a number of bytes such as 512M or 4G, found 'much'"),
    "no list of nodes": (("--nodes", "1-4,x"), "expected ids from 0 to 255 such as 1-4,7@192.168.1.21, found 'x'"),
    "an id that no packet has": (("--nodes", "256"), "expected ids from 0 to 255"),
    "a list with a name": (("--nodes", "3@kitchen"), "expected an address such as 192.168.1.21, found 'kitchen'"),
    "infinite duration": (("--duration", "inf"), "--duration': expected a finite number, found 'inf'"),
}


@pytest.mark.parametrize("name", USAGE)
def test_rejects_wrong_usage_before_it_listens(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, message = USAGE[name]
    bind = () if "--bind" in arguments else ("--bind", "127.0.0.1:0")
    result = call("listen", *bind, "--duration", 0.1, *arguments, code=2)
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_rejects_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        result = call("listen", "--bind", f"127.0.0.1:{port}", "--record", tmp_path / "x", code=2)
    said = "Address already in use: another program has this port: end it, or choose another port"
    assert result.stderr == f"aether: UDP 127.0.0.1 port {port}: {said}\n"
    assert not (tmp_path / "x").exists()


def test_does_not_replace_a_recording(tmp_path: Path) -> None:
    listen = ("listen", "--bind", "127.0.0.1:0", "--duration", 0.1)
    (tmp_path / "x.pcap").write_bytes(b"precious")
    result = call(*listen, "--record", tmp_path / "x.pcap", code=2)
    assert "x.pcap: expected a new file, found an existing one; remove it or choose another name" in result.stderr
    assert (tmp_path / "x.pcap").read_bytes() == b"precious"
    (tmp_path / "x.pcap").unlink()
    call(*listen, "--record", tmp_path / "x.pcap")
    assert (tmp_path / "x.pcap").stat().st_size == 24
    call(*listen, "--record", tmp_path)
    assert len(list(tmp_path.glob("listen-*Z.pcap"))) == 1


@POSIX
def test_records_a_simulated_node_and_replays_it(tmp_path: Path) -> None:
    """From `aether demo --send` to `aether listen --record` to `aether run`: the predictions of the demo itself."""
    pytest.importorskip("dpkt", reason="dpkt (extra pcap) is not installed")
    port = free_port()
    command = [
        *AETHER,
        "listen",
        "--bind",
        f":{port}",
        "--record",
        str(tmp_path / "x.pcap"),
        "--json",
    ]
    found = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    file = tmp_path / "x.pcap"
    wait_until(file.exists)  # created once the socket is open
    recording = demo_recording()
    packet = 16 + 28 + 20 + 2 * 64  # as an ESP32 sends L-LTF
    receipts = 24 * (16 + 28 + 68 + 8 * 51)  # of 50 frames and a classification

    def pace(t: int) -> None:
        """At most 32 frames ahead of the file, so that the system's buffer never overflows."""
        wait_until(lambda: file.stat().st_size >= (t - 32) * packet)
        time.sleep(0.0005)

    sent = send_recording(recording, TemporalModel.from_blob("demo"), f"127.0.0.1:{port}", nodes=(9,), pace=pace)
    assert sent == 1248
    wait_until(lambda: file.stat().st_size == 24 + 1200 * packet + 24 * (16 + 28 + 40) + receipts)
    found.send_signal(signal.SIGINT)
    text, error = found.communicate(timeout=HANG)
    assert (found.returncode, error) == (0, b"")
    document = json.loads(text)
    node = document["nodes"][0]
    assert (node["node"], node["accepted"]) == (9, {"raw": 1200, "classification": 24, "receipt": 24})
    assert document["recording"] == {"file": str(tmp_path / "x.pcap"), "packets": 1248, "lost": 0, "error": None}
    call("demo", "--save", tmp_path / "saved.npz")
    replays = [
        json.loads(call("run", "demo", tmp_path / file, "--jsonl").stdout.splitlines()[700])
        for file in ("x.pcap", "saved.npz")
    ]
    for replay in replays:
        del replay["latency_us"], replay["label"], replay["time"]
    assert replays[0] == replays[1]


@POSIX
def test_the_simulated_node_ends_on_ctrl_c() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("127.0.0.1", 0))
        heard.settimeout(HANG)
        target = f"127.0.0.1:{heard.getsockname()[1]}"
        found = subprocess.Popen([*AETHER, "demo", "--send", target, "--node", "200"], stdout=-1, stderr=-1)
        packets = [parse(heard.recv(65536)) for _ in range(5)]
        found.send_signal(signal.SIGINT)
        out, error = found.communicate(timeout=HANG)
    assert (found.returncode, error) == (0, b"")
    assert b"SIMULATED" in out
    assert b"packets sent" in out
    assert [packet.node_id for packet in packets if isinstance(packet, RawFrame)] == [200] * 5
    assert [packet.sequence for packet in packets if isinstance(packet, RawFrame)] == [0, 1, 2, 3, 4]


def test_several_simulated_nodes_send_the_same_frames() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("127.0.0.1", 0))
        target, packets = f"127.0.0.1:{heard.getsockname()[1]}", []

        def pace(t: int) -> None:
            """Takes what was sent for the frame before."""
            packets.extend(parse(heard.recv(65536)) for _ in range(0 if t == 0 else 6 if t % 50 == 0 else 2))

        model = TemporalModel.from_blob("demo")
        assert send_recording(demo_recording(), model, target, nodes=(4, 5), pace=pace) == 2 * (1200 + 24 + 24)
    raw_frames = [each for each in packets if isinstance(each, RawFrame)]
    first, second = ([each for each in raw_frames if each.node_id == node] for node in (4, 5))
    assert [each.sequence for each in first] == [each.sequence for each in second] == list(range(1199))
    assert [each.values for each in first] == [each.values for each in second]
    assert len({each.values for each in first}) > 1000


def test_rejects_wrong_usage_of_the_simulated_node() -> None:
    assert (
        "--send: expected without --save and --speed max"
        in call("demo", "--send", "localhost:9", "--speed", "max", code=2).stderr
    )
    for target in ("localhost", "localhost:0", "localhost:http", ":99999"):
        assert "send: expected HOST:PORT, found" in call("demo", "--send", target, code=2).stderr
    assert "--node: expected together with --send" in call("demo", "--node", 4, code=2).stderr
    for ids in ("256", "3-1", "x", "1-", "-5", ""):
        message = f"expected an id from 0 to 255, or a range such as 1-20, found {ids!r}"
        assert message in call("demo", "--send", "localhost:9", f"--node={ids}", code=2).stderr


@POSIX
def test_names_a_target_without_permission() -> None:
    result = call("demo", "--send", "255.255.255.255:9", code=2)
    said = "Permission denied: name one that you may use, or change who may"
    assert result.stderr == f"aether: 255.255.255.255:9: {said}\n"


@POSIX
def test_classifies_raw_frames_of_a_node(tmp_path: Path) -> None:
    model = save_model(tmp_path, input_dim=6, n_pairs=12)
    found = started("--model", model)
    port = port_of(found)
    send(port, *(raw(2, i, bytes(range(i, i + 24))) for i in range(10)))
    assert re.search(r"node   2  127\.0\.0\.1  (sit|walk|turn) \(here\)", read_until(found, "(here)"))
    found.send_signal(signal.SIGINT)
    assert b"10 packets" in found.communicate(timeout=HANG)[0]


STORM = """
import os, signal, threading, time
from aether_temporal._internal.interruption import interruptible

with interruptible(signal.SIGTERM) as stop:
    over = threading.Event()

    def ask():
        while not over.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            stop.wait(0.0001)
    finally:
        over.set()
        asking.join()
    assert stop.is_set()
"""


@POSIX
def test_signals_do_not_deadlock() -> None:
    """A handler may run while its thread waits for the event that it sets."""
    done = subprocess.run([sys.executable, "-c", STORM], capture_output=True, timeout=HANG, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@POSIX
def test_says_that_no_frame_suits_the_model_and_why(tmp_path: Path) -> None:
    """In lines, summary and JSON: what was expected, and what was found."""
    model = save_model(tmp_path, input_dim=6)
    found = started("--model", model)
    port = port_of(found)
    send(port, *(raw(2, i, bytes(2 * 9), subcarriers=9) for i in range(10)))
    said = "expected 6 I/Q pairs, one for each feature of the model, found 9 I/Q pairs"
    assert f"node   2  127.0.0.1  not classified: {said}" in read_until(found, "not classified")
    found.send_signal(signal.SIGINT)
    out = found.communicate(timeout=HANG)[0].decode()
    assert f"\nno frame suits {model}: {said}\n" in out


@POSIX
def test_notices_two_nodes_with_one_id_behind_one_address() -> None:
    found = started()
    port = port_of(found)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        for i in range(20):
            one.sendto(raw(1, 1000 + i), ("127.0.0.1", port))
            two.sendto(raw(1, 500_000 + i), ("127.0.0.1", port))
    said = "two senders say this id: their numbers alternate; give each node an id of its own"
    assert f"node   1  127.0.0.1  {said}" in read_until(found, "two senders")
    found.send_signal(signal.SIGINT)
    out = found.communicate(timeout=HANG)[0].decode()
    assert f"\nnode 1 at 127.0.0.1: {said}\n" in out


@POSIX
@pytest.mark.parametrize("option", ["--predictions", "--record"])
def test_a_second_listener_is_rejected_from_a_file_in_use(tmp_path: Path, option: str) -> None:
    """The first one loses nothing."""
    file = tmp_path / "x"
    found = started(option, file)
    port = port_of(found)
    send(port, classification(3, 0))
    read_until(found, "first packet")
    error = call("listen", "--bind", "127.0.0.1:0", "--duration", 0.1, option, file, code=2).stderr
    said = {
        "--predictions": "expected a file that nothing else writes, found one that another program is writing; name ",
        "--record": "expected a new file, found an existing one; remove it or choose another name",
    }
    assert said[option] in error
    send(port, classification(3, 1, argmax=2))
    read_until(found, "class 2")
    found.send_signal(signal.SIGINT)
    out, error = found.communicate(timeout=HANG)
    assert (found.returncode, error) == (0, b"")
    assert b"2 packets of 1 nodes" in out
    written = file.read_bytes()
    assert written.count(b"\n") == 2 if option == "--predictions" else len(written) == 24 + 2 * (16 + 28 + 40)


def test_a_thread_that_ends_by_an_error_ends_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the summary, and the error by name."""

    def broken(self: object, arrival: object, prediction: object) -> None:
        raise KeyError("no such thing")

    monkeypatch.setattr(Engine, "_predicted", broken)
    model, port = save_model(tmp_path, input_dim=6, n_pairs=12), free_port()
    ended = threading.Event()

    def sender() -> None:
        i = 0
        while not ended.wait(0.005):
            send(port, raw(2, i, bytes(range(24))))
            i += 1

    sending = threading.Thread(target=sender)
    sending.start()
    try:
        result = call("listen", "--bind", f"127.0.0.1:{port}", "--model", model, "--duration", 300, code=2)
    finally:
        ended.set()
        sending.join()
    assert "packets of 1 nodes" in result.stdout
    said = "aether: model: expected predictions, found KeyError ('no such thing'); report this error\n"
    assert result.stderr == said


@POSIX
def test_says_how_much_memory_the_streams_may_take(tmp_path: Path) -> None:
    result = call("listen", "--bind", "127.0.0.1:0", "--duration", 0.1, "--model", "demo", "--max-memory", "4M")
    line = result.stdout.splitlines()[1]
    match = re.fullmatch(
        r"demo classifies up to (\d+) nodes: ([\d ]+) bytes .*each, ([\d ]+) bytes .*at most, .*", line
    )
    assert match is not None, line
    count, each, most = (int(number.replace(" ", "")) for number in match.groups())
    assert count * each == most <= 4 << 20 < most + each


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
REJECTED = "10.0.0.9: magic: expected 0xC51100xx (01, 06, 07 or 17), found 0x6C6C6568"


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
