"""The page: its files, its stream of events, its bounds, who may read it, recordings, metrics."""

from __future__ import annotations

import base64
import contextlib
import gc
import http.client
import json
import socket
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from hang import HANG
from listening.wire import raw
from live.serving import Nodes, classes, frames, wait_until

from aether_temporal.errors import InvalidArgumentError
from aether_temporal.live.recording_desk import RecordingDesk
from aether_temporal.live.state import BIN_SECONDS, BINS, View
from aether_temporal.recordings import Sources
from aether_temporal.recordings.manifest import read_manifest

pytest.importorskip("aiohttp", reason="aiohttp (extra live) is not installed")
pytest.importorskip("prometheus_client", reason="prometheus-client (extra live) is not installed")

from aether_temporal.live.page_server import MOST_CLIENTS, PageServer


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
