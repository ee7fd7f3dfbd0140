"""aether listen"""

from __future__ import annotations

import importlib.util
import ipaddress
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import click

from aether_temporal.listening import Answering, AppendFile, Arrival, Listener, NodeTable, Recorder, Station
from aether_temporal.listening.capture_file import FILE_HEADER, packet_record
from aether_temporal.listening.events import Events
from aether_temporal.listening.station import Network

from .files import NewFile
from .listen_display import Display, JsonLines, Lines, NodesTable, Silent, Status, document, print_summary
from .models import open_model
from .options import FiniteRange, json_option, same_file
from .output import console, print_json, print_json_line, printable

_SMALL_BUFFER = 1 << 20
_TURN = 0.0005  # seconds a thread may keep the interpreter while the one that listens wants it


class _Cidr(click.ParamType[Network]):
    """An address, or a network in CIDR notation."""

    name = "CIDR"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Network:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            return ipaddress.ip_network(value, strict=False)
        except ValueError:
            self.fail(f"expected an address or a network such as 192.168.1.0/24; found {value!r}", param, ctx)


@click.command("listen")
@click.option("--bind", metavar="ADDRESS", help="Listen at this address only. [default: all, IPv4 and IPv6]")
@click.option("--port", type=click.IntRange(0, 65535), default=5005, show_default=True, help="0: any free one.")
@click.option(
    "--allow",
    type=_Cidr(),
    multiple=True,
    help="Take packets from these addresses only; may be repeated. [default: all]",
)
@click.option("--model", metavar="MODEL", help="Classify nodes' frames here too, and name classes as this blob does.")
@click.option(
    "--record",
    type=NewFile(dir_okay=True),
    metavar="FILE",
    help="Record accepted packets as a packet capture, for `aether run`; in a folder under the time's name.",
)
@click.option("--force", is_flag=True, help="With --record: replace the file when it is there.")
@click.option("--answers", type=NewFile(), metavar="FILE", help="Append classifications to it, as JSON lines.")
@click.option("--duration", type=FiniteRange(min=0, min_open=True), help="Seconds. [default: until Ctrl-C]")
@click.option(
    "--max-nodes", type=click.IntRange(1, 65536), default=256, show_default=True, help="Of one address a quarter."
)
@click.option(
    "--rate", type=FiniteRange(1, 1e6), default=400.0, show_default=True, help="Packets a second a node may send."
)
@json_option
@click.option("--jsonl", is_flag=True, help="A JSON line for each classification and feature state; last the summary.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Receive what nodes send over UDP: classifications, feature states, raw CSI frames.

    Shows a table of the nodes; what is no sound packet is counted by reason and forgotten. Ctrl-C ends it with a
    summary and status 0. UDP packets prove nothing about who sent them: use a network you trust, and --allow.
    """
    if options["as_json"] and options["jsonl"]:
        raise click.UsageError("--json and --jsonl: expected one of them, found both")
    if options["force"] and not options["record"]:
        raise click.UsageError("--force: expected together with --record")
    if options["record"] and options["answers"] and same_file(options["record"], options["answers"]):
        raise click.UsageError(f"--record and --answers: expected two files, found {options['answers']} for both")
    with ExitStack() as cleanup:
        cleanup.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(_TURN)
        ctx.exit(_Session(options, cleanup).listen())


class _Session:
    """One call of the command."""

    def __init__(self, options: dict[str, Any], cleanup: ExitStack) -> None:
        self.options = options
        self.model = None if options["model"] is None else open_model(options["model"])
        self.out = console()
        self.machine = bool(options["as_json"] or options["jsonl"])
        self.events = Events(self.model)
        self.answering: Answering | None = None
        self.recorders: list[Recorder] = []
        table = NodeTable(options["max_nodes"], options["rate"])
        self.station = Station(table, allow=options["allow"], on_arrival=self._arrived)
        self.listener = cleanup.enter_context(Listener(self.station, options["bind"], options["port"]))
        self.capture, self.log = self._open_files(cleanup)
        if self.model is not None:
            self.answering = Answering(self.model, on_answer=self._answered)
            cleanup.callback(self.answering.close)
        self.where = self.listener.address

    def _open_files(self, cleanup: ExitStack) -> tuple[Recorder | None, Recorder | None]:
        capture = log = None
        if self.options["answers"]:  # first: what cannot be had must not leave a recording without packets behind
            log = Recorder(AppendFile.continue_lines(Path(self.options["answers"])))
            cleanup.callback(log.close)
            self.recorders.append(log)
        if self.options["record"]:
            capture = Recorder(_capture_file(self.options["record"], self.options["force"]))
            cleanup.callback(capture.close)
            self.recorders.append(capture)
            if importlib.util.find_spec("dpkt") is None:
                _warn("to replay the recording, `aether run` needs dpkt: pip install 'aether-temporal[pcap]'")
        return capture, log

    def _arrived(self, arrival: Arrival) -> None:
        """In the listener's thread: nothing here waits."""
        if self.capture is not None:
            source = (arrival.node.key.address, arrival.port)
            self.capture.add(packet_record(arrival.data, source, self.where, arrival.time))
        if self.answering is not None:
            self.answering.offer(arrival)
        if self.log is not None or self.options["jsonl"]:
            self._event(self.events.of_arrival(arrival))

    def _answered(self, arrival: Arrival, answer: Any) -> None:
        """In the answering thread."""
        if self.log is not None or self.options["jsonl"]:
            self._event(self.events.of_answer(arrival, answer))

    def _event(self, event: dict[str, Any] | None) -> None:
        if event is None:
            return
        if self.log is not None and event["event"] != "features":
            self.log.add(self.events.line(event))
        if self.options["jsonl"]:
            self.events.add(event)

    def listen(self) -> int:
        """Until the time is up or the user says so. The exit status."""
        display = self._display()
        if not self.machine:
            self._greet()
        warned: set[str] = set()
        began = time.monotonic()
        with _interruptible() as stop, display:
            self.listener.start()
            while not stop.is_set():
                left = _left(began, self.options["duration"])
                if left <= 0:
                    break
                stop.wait(min(display.period, left))
                if self.listener.failure is not None:
                    raise self.listener.failure
                display.show(self._status())
                for recorder in self.recorders:
                    if recorder.error is not None and recorder.error not in warned:
                        warned.add(recorder.error)
                        _warn(recorder.error)
            self._finish()
            if not self.machine or self.options["jsonl"]:
                display.show(self._status())
        for recorder in self.recorders:
            if recorder.error is not None and recorder.error not in warned:
                _warn(recorder.error)
        self._report(time.monotonic() - began)
        return 1 if any(recorder.error for recorder in self.recorders) else 0

    def _finish(self) -> None:
        """Takes in what has arrived, then ends what works on it."""
        self.listener.close()
        if self.answering is not None:
            self.answering.close()
        for recorder in self.recorders:
            recorder.close()

    def _display(self) -> Display:
        if self.options["jsonl"]:
            return JsonLines(self.events)
        if self.options["as_json"]:
            return Silent()
        names = () if self.model is None else tuple(self.model.class_names or ())
        return NodesTable(self.out, names) if self.out.is_terminal else Lines(self.out, names)

    def _status(self) -> Status:
        capture = self.capture
        return Status(
            view=self.listener.view,
            where=self.where,
            recorded=None if capture is None else (capture.path, capture.written, capture.lost, capture.error),
            behind=0 if self.answering is None else self.answering.dropped,
        )

    def _greet(self) -> None:
        host, port = self.where
        self.out.print(f"Listening at {host} port {port} (UDP). Ctrl-C ends.")
        if self.listener.buffer_bytes < _SMALL_BUFFER:
            self.out.print(
                f"The system gives a buffer of {self.listener.buffer_bytes} bytes only; packets may be lost in a "
                "flood (Linux: sysctl net.core.rmem_max)."
            )

    def _report(self, seconds: float) -> None:
        names = () if self.model is None else tuple(self.model.class_names or ())
        found = document(self._status(), names, seconds)
        found["unsuited_frames"] = 0 if self.answering is None else self.answering.unsuited
        if self.options["jsonl"]:
            print_json_line({"summary": found})
        elif self.options["as_json"]:
            print_json(found)
        else:
            print_summary(self.out, self._status(), names, seconds)


def _left(began: float, duration: float | None) -> float:
    return float("inf") if duration is None else began + duration - time.monotonic()


def _capture_file(record: str, force: bool) -> AppendFile:
    path = Path(record)
    if path.is_dir():
        path /= time.strftime("listen-%Y%m%dT%H%M%SZ.pcap", time.gmtime())
    try:
        return AppendFile.create(path, FILE_HEADER, replace=force)
    except FileExistsError:
        raise click.UsageError(
            f"{path}: expected a new file, found one that is there already (--force replaces it)"
        ) from None


def _warn(text: str) -> None:
    click.echo(f"aether: {printable(text)}", err=True)


class _Stop:
    """An event that a signal's handler may set while the same thread waits for it: threading.Event would then wait for
    its own lock, for ever."""

    def __init__(self) -> None:
        self._asked = False
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        self._asked = True
        self._wake.put(None)

    def is_set(self) -> bool:
        return self._asked

    def wait(self, seconds: float) -> None:
        with suppress(queue.Empty):
            self._wake.get(timeout=seconds)


@contextmanager
def _interruptible() -> Iterator[_Stop]:
    """An event that Ctrl-C and a request to terminate set, so that either ends what runs where it is whole."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():  # only there can signals be had
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice: at once
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
