"""`aether serve`: what is known of each node, the page's files, its stream of events, recordings, who may read it."""

from __future__ import annotations

import base64
import contextlib
import gc
import http.client
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from cli.command import call, save_model
from hang import HANG
from listening.wire import classification, raw
from live.serving import Nodes, Serve, frames, send, serving, wait_until

from aether_temporal.errors import InvalidArgumentError, InvalidConfigError
from aether_temporal.listening import NodeKey
from aether_temporal.live.recording_desk import RecordingDesk
from aether_temporal.live.serve_settings import History, Log, serve_settings
from aether_temporal.live.state import BIN_SECONDS, BINS, NOTHING, ROWS, Movement, View
from aether_temporal.recordings import Sources
from aether_temporal.recordings.manifest import read_manifest

pytest.importorskip("aiohttp", reason="aiohttp (extra live) is not installed")
pytest.importorskip("prometheus_client", reason="prometheus-client (extra live) is not installed")

from aether_temporal.live.exports import ChangeLog, HistoryFile
from aether_temporal.live.page_server import MOST_CLIENTS, PageServer

NODE = NodeKey("10.0.0.1", 3)
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def classes(*found: int, first: int = 0) -> list[bytes]:
    return [classification(3, first + i, argmax=best, classes=2) for i, best in enumerate(found)]


# -- what is known of each node --


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


# -- the configuration file --


def test_reads_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('name = "attic"\n[mqtt]\nhost = "broker"\ntls = true\n[log]\nfile = "x.jsonl"\nmax_bytes = 4096\n')
    found = serve_settings(file)
    assert (found.server.name, found.mqtt.broker_port, found.log.max_bytes) == ("attic", 8883, 4096)
    assert serve_settings(None).mqtt.broker_port == 1883


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nam = 1", "nam: expected one of name, moving_above, silent_after, recordings, mqtt, log, history"),
        ('name = "a/b"', "name: expected letters, digits, - and _ (64 at most), found 'a/b'"),
        ("moving_above = 2", "moving_above: expected a number from 0 to 1, found 2.0"),
        ('[mqtt]\ntopic = "a/#"', "mqtt.topic: expected letters, digits, - and _ (64 at most), found '#'"),
        ('[mqtt]\npassword_file = "x"', "mqtt.username: expected one beside password_file, found none"),
        ('[mqtt]\nca_file = "x"', "mqtt.tls: expected true beside ca_file, found false"),
        ("[log]\nkeep = true", "log.keep: expected int, found True"),
    ],
)
def test_rejects_a_wrong_configuration(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(text)
    with pytest.raises(InvalidConfigError) as found:
        serve_settings(file)
    assert f"{file}: {message}" in str(found.value)


# -- the page --


class Page:
    """A page of nodes that a test sends, and requests to it."""

    def __init__(self, folder: Path, token: str | None = None, patience: float = 600.0) -> None:
        self.nodes = Nodes()
        self.desk = RecordingDesk(folder, ("127.0.0.1", 5005), self.nodes.clock)
        self.nodes.observers.append(self.desk.arrived)
        self.server = PageServer(self.nodes.state, self.desk, "127.0.0.1", 0, token=token, patience=patience)
        self.nodes.state.sinks.append(self.server)

    def ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection(*self.server.where)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, None if body is None else json.dumps(body), sent)
        reply = connection.getresponse()
        found = reply.status, reply.headers, reply.read()
        connection.close()
        return found

    def record(self, **asked: str) -> tuple[int, dict[str, object]]:
        status, _, body = self.ask("POST", "/recording", asked)
        return status, json.loads(body)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    found = Page(tmp_path / "kept")
    yield found
    found.server.close()


class Events:
    """A page's stream of events."""

    def __init__(self, page: Page, path: str = "/events", **headers: str) -> None:
        self._connection = http.client.HTTPConnection(*page.server.where)
        self._connection.request("GET", path, headers=headers)
        self.reply = self._connection.getresponse()

    def next(self) -> tuple[str, dict[str, object]]:
        kind = self.reply.readline().decode().removeprefix("event: ").strip()
        data = json.loads(self.reply.readline().decode().removeprefix("data: "))
        self.reply.readline()
        return kind, data

    def close(self) -> None:
        self.reply.close()
        self._connection.close()


def test_files_are_served_with_a_strict_policy(page: Page) -> None:
    for path in ("/", "/live.css", "/live.js"):
        status, headers, body = page.ask("GET", path)
        assert status == 200
        assert len(body) > 500
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert page.ask("GET", "/../pyproject.toml")[0] == 404
    assert page.ask("GET", "/live.py")[0] == 404


def test_the_page_needs_no_foreign_host_and_writes_no_markup() -> None:
    folder = Path(__file__).parents[2] / "src" / "aether_temporal" / "live" / "page"
    text = "".join(path.read_text() for path in sorted(folder.iterdir()))
    assert "://" not in text
    assert not [
        word for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(") if word in text
    ]
    assert " style=" not in text
    assert " onclick" not in text


def test_events_give_state_hour_and_rows(page: Page) -> None:
    page.nodes.send(*classes(1, 1, 1))
    page.nodes.send(*(raw(3, i, values) for i, values in enumerate(frames(20, 0.1))))
    page.nodes.show()
    stream = Events(page, "/events?node=3@10.0.0.1")
    kind, state = stream.next()
    assert kind == "state"
    (node,) = state["nodes"]  # type: ignore[misc]
    assert (node["node"], node["name"], state["classes"]) == (3, "walk", ["sit", "walk"])
    kind, hour = stream.next()
    assert (kind, hour["newest"]) == ("hour", BINS)
    kind, rows = stream.next()
    assert (kind, rows["node"]) == ("rows", 3)
    assert [len(base64.b64decode(row)) for row in rows["rows"]] == [64, 64]  # type: ignore[attr-defined]
    page.nodes.show()
    assert stream.next()[0] == "state"  # nothing else is new
    page.nodes.clock.now += BIN_SECONDS
    page.nodes.show()
    assert stream.next()[0] == "state"
    kind, hour = stream.next()
    assert (kind, hour["newest"]) == ("hour", 2)
    stream.close()


def test_a_hostile_name_is_data(page: Page) -> None:
    page.nodes.state.names = ("</script><script>alert(1)</script>\ndata: x", "\u2028")
    page.nodes.send(*classes(0, 0, 0))
    page.nodes.show()
    stream = Events(page)
    kind, state = stream.next()
    assert (kind, state["classes"]) == ("state", list(page.nodes.state.names))
    stream.close()


def test_a_client_that_takes_nothing_is_dropped(tmp_path: Path) -> None:
    found = Page(tmp_path, patience=0.05)
    found.nodes.send(*classes(1, 1, 1))
    found.nodes.state.names = ("x" * 200_000, "y")
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(found.server.where)
    slow.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def dropped() -> bool:
        found.nodes.show()
        return found.server.dropped_clients == 1

    wait_until(dropped)
    wait_until(lambda: found.server.clients == 0)
    assert found.ask("GET", "/state")[0] == 200  # others are served
    slow.close()
    found.server.close()


def test_clients_are_bounded(page: Page) -> None:
    page.nodes.send(*classes(1, 1, 1))
    page.nodes.show()
    open_ones = [Events(page) for _ in range(MOST_CLIENTS)]
    status, _, body = page.ask("GET", "/events")
    assert (status, body) == (503, b"503: at most 32 pages at once; close one")
    open_ones[0].close()

    def found_out() -> bool:
        page.nodes.show()
        return page.server.clients < MOST_CLIENTS

    wait_until(found_out)
    for each in open_ones[1:]:
        each.close()


def test_a_page_without_time_keeps_the_newest_view_alone(page: Page) -> None:
    made: list[weakref.ref[View]] = []

    class Remembered:
        def show(self, view: View) -> None:
            made.append(weakref.ref(view))

    page.nodes.state.sinks.append(Remembered())
    over = threading.Event()
    page.server._loop.call_soon_threadsafe(over.wait)
    for _ in range(100):
        page.nodes.show()
    gc.collect()
    kept, waiting = [view for view in made if view() is not None], list(page.server._loop._ready)  # type: ignore[attr-defined]
    over.set()
    assert len(kept) == 1
    assert ["_publish" in str(each) for each in waiting].count(True) <= 1


def test_connections_are_bounded_and_idle_ones_ended(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = Page(tmp_path, patience=0.2)
    found.nodes.show()
    idle = [socket.create_connection(found.server.where) for _ in range(200)]
    for each in idle:
        each.settimeout(HANG)
        with contextlib.suppress(ConnectionError):
            assert each.recv(1) == b""
        each.close()
    wait_until(lambda: found.ask("GET", "/state")[0] == 200)
    for nonsense in (b"\x1b[2J nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"):
        with socket.create_connection(found.server.where) as wrong:
            wrong.settimeout(HANG)
            wrong.sendall(nonsense)
            assert b" 400 " in wrong.recv(100)
    assert found.ask("POST", "/recording", {"do": "x" * 100_000})[0] == 413
    assert found.server.error is None
    found.server.close()
    assert capfd.readouterr() == ("", "")


def test_an_error_of_the_page_is_told(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.server, "_document", lambda view: 1 // 0)
    page.nodes.show()
    assert page.ask("GET", "/state")[0] == 500
    assert page.server.error == "/state: ZeroDivisionError: integer division or modulo by zero; report this error"
    assert page.ask("GET", "/")[0] == 200


def test_the_page_is_for_this_computer_alone(page: Page) -> None:
    assert page.ask("GET", "/", Host="evil.example")[0] == 403
    assert page.ask("GET", "/state", Host="localhost:1")[0] == 200
    with pytest.raises(InvalidArgumentError, match=r"http: expected an address of this computer alone"):
        PageServer(page.nodes.state, page.desk, "0.0.0.0", 0)
    with pytest.raises(InvalidArgumentError, match=r"http: expected an address of this computer, found 'nowhere.inv"):
        PageServer(page.nodes.state, page.desk, "nowhere.invalid", 0)
    with pytest.raises(OSError, match=r"Address already in use") as found:
        PageServer(page.nodes.state, page.desk, *page.server.where)
    assert found.value.filename == f"TCP 127.0.0.1 port {page.server.where[1]}"


def test_other_sites_cannot_record(page: Page) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"}, {"Origin": "null"}):
        assert page.ask("POST", "/recording", {"do": "start"}, **headers)[0] == 403
    host = f"127.0.0.1:{page.server.where[1]}"
    assert page.ask("POST", "/recording", {"do": "start"}, Origin=f"http://{host}")[0] == 200


TOKEN = "correct-horse-battery"


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_without_an_address_the_page_has_all(tmp_path: Path) -> None:
    nodes = Nodes()
    server = PageServer(nodes.state, RecordingDesk(tmp_path, ("::", 1), nodes.clock), None, 0, token=TOKEN)
    for host in ("127.0.0.1", "::1") if has_ipv6() else ("127.0.0.1",):
        connection = http.client.HTTPConnection(host, server.where[1])
        connection.request("GET", "/")
        assert connection.getresponse().status == 401
        connection.close()
    server.close()


def test_with_a_token_nothing_is_read_without_it(tmp_path: Path) -> None:
    found = Page(tmp_path, token=TOKEN)
    for path in ("/", "/state", "/events", "/metrics", "/live.js"):
        assert found.ask("GET", path)[0] == 401
        assert found.ask("GET", path, Authorization="Bearer wrong")[0] == 401
    assert found.ask("POST", "/recording", {"do": "start"})[0] == 401
    assert found.ask("GET", "/state", Authorization=f"Bearer {TOKEN}")[0] == 200
    found.server.close()


def test_the_token_opens_the_page(tmp_path: Path) -> None:
    found = Page(tmp_path, token=TOKEN)
    connection = http.client.HTTPConnection(*found.server.where)
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    for given, status in (("wrong", 401), (TOKEN, 303)):
        connection.request("POST", "/login", f"token={given}", kind)
        reply = connection.getresponse()
        reply.read()
        assert reply.status == status
    cookie = reply.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert found.ask("GET", "/", Cookie=cookie.partition(";")[0])[0] == 200
    connection.close()
    found.server.close()


def test_records_from_the_page(page: Page, tmp_path: Path) -> None:
    pytest.importorskip("dpkt", reason="dpkt (extra pcap) is not installed")
    values = frames(30, 0.1)
    status, document = page.record(do="start", label="walk", subject=" eva ")
    assert (status, document["running"]) == (200, True)
    page.nodes.send(*(raw(3, i, each) for i, each in enumerate(values)))
    assert page.record(do="start")[0] == 409
    assert page.record(do="label", label="sit, then walk", subject="eva")[0] == 200
    status, document = page.record(do="stop")
    assert (status, document["running"]) == (200, False)
    (file,) = (tmp_path / "kept").glob("*.pcap")
    assert document["last"] == f"{file.name}: 30 frames"
    (found,) = Sources([file])
    assert found.iq is not None
    assert found.iq.tobytes() == b"".join(values)
    (row,) = read_manifest(tmp_path / "kept" / "recordings.csv")
    assert (row.files, row.label, row.subject) == (file.name, "sit, then walk", "eva")


def test_says_why_it_does_not_record(page: Page, tmp_path: Path) -> None:
    assert page.record(do="stop") == (409, {**page.desk.document(), "error": RUNS_NOT})
    status, document = page.record(do="start", label="two\nlines")
    assert status == 409
    assert "label: expected a name of at most 200 characters in one line, found 'two\\nlines'" in str(document["error"])
    assert page.record(do="explode")[0] == 400
    assert page.ask("POST", "/recording", ["do"])[0] == 400
    assert page.ask("POST", "/recording", {"do": "start", "label": 3})[0] == 400
    (tmp_path / "kept").write_text("a file in the way")
    status, document = page.record(do="start")
    assert (status, page.desk.document()["running"]) == (409, False)
    assert "kept: File exists" in str(document["error"])


RUNS_NOT = "recording: expected one that runs, found none; start it"


def test_a_recording_without_frames_is_not_kept(page: Page, tmp_path: Path) -> None:
    page.record(do="start", label="walk")
    _, document = page.record(do="stop")
    assert "no raw frame came; nothing is kept" in str(document["last"])
    assert list((tmp_path / "kept").iterdir()) == []


def test_metrics_are_those_of_the_nodes(page: Page) -> None:
    page.nodes.send(*classes(1, 1, 1))
    page.nodes.send(*(raw(3, i, bytes(24)) for i in (0, 1, 2, 4)))
    page.nodes.show()
    status, headers, body = page.ask("GET", "/metrics")
    lines = body.decode().splitlines()
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain")
    assert 'aether_packets_total{address="10.0.0.1",kind="raw",node="3"} 4.0' in lines
    assert 'aether_missing_packets_total{address="10.0.0.1",node="3"} 1.0' in lines
    assert [line for line in lines if line.startswith('aether_class_seconds{address="10.0.0.1",class="walk",node="3"}')]


# -- log and history --


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
    (tmp_path / "serve.toml").write_text('[log]\nfile = "log.jsonl"\n[history]\nfile = "history.sqlite"\n')
    with serving("--config", "serve.toml", cwd=tmp_path) as found:
        send(found.port, *(classification(3, i, argmax=1, classes=9) for i in range(3)))
        wait_until(lambda: (tmp_path / "log.jsonl").stat().st_size)
    assert [line["name"] for line in lines_of(tmp_path / "log.jsonl")] == ["class 1"]
    base = sqlite3.connect(tmp_path / "history.sqlite")
    assert base.execute("SELECT name FROM changes").fetchall() == [("class 1",)]
    base.close()


# -- the command --


def get(found: Serve, path: str) -> bytes:
    where = urlsplit(found.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    return body


@POSIX
def test_serves_what_nodes_send(tmp_path: Path) -> None:
    model = save_model(tmp_path, input_dim=6, n_pairs=12)
    with serving("--model", model, cwd=tmp_path) as found:
        send(found.port, *(raw(2, i, bytes(range(i, i + 24))) for i in range(10)))
        wait_until(lambda: (json.loads(get(found, "/state")) or {"nodes": []})["nodes"])
        wait_until(lambda: json.loads(get(found, "/state"))["nodes"][0]["name"] in ("sit", "walk", "turn"))
        assert b'aether_packets_total{address="127.0.0.1",kind="raw",node="2"} 10.0' in get(found, "/metrics")
        assert b"<title>aether: live</title>" in get(found, "/")


@POSIX
def test_makes_a_token_and_asks_for_it(tmp_path: Path) -> None:
    with serving("--token", "secret", cwd=tmp_path) as found:
        file = tmp_path / "secret"
        assert file.stat().st_mode & 0o777 == 0o600
        assert len(file.read_text().strip()) == 32
        assert file.read_text().strip() not in found.said
        assert get(found, "/state").startswith(b"401")
    (tmp_path / "secret").write_text("short\n")
    message = call("serve", "--http", ":0", "--token", tmp_path / "secret", code=2).stderr
    assert "expected a token of at least 16 letters and digits in the first line, found 5 characters" in message


@pytest.mark.slow
def test_the_unit_of_the_guide_is_valid(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze (systemd) is not installed")
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "live.md").read_text()
    unit = guide.partition("```ini\n")[2].partition("```")[0]
    program = tmp_path / "aether"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    file = tmp_path / "aether.service"
    file.write_text(unit.replace("/opt/aether/bin/aether", str(program)))
    checked = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(file)]
    done = subprocess.run(checked, capture_output=True, text=True, check=False, timeout=HANG)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


USAGE = {
    "all addresses without a token": (("--http", ":0"), "expected an address of this computer alone (127.0.0.1)"),
    "no configuration": (("--config", "absent.toml"), "absent.toml: No such file or directory"),
    "no model": (("--model", "absent"), "absent"),
    "no port": (("--http", "127.0.0.1:70000"), "expected a port from 0 to 65535, found 70000"),
}


@pytest.mark.parametrize("name", USAGE)
def test_rejects_wrong_usage(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, message = USAGE[name]
    assert message in call("serve", "--bind", "127.0.0.1:0", *arguments, code=2).stderr
    assert list(tmp_path.iterdir()) == []
