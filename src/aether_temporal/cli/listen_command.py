"""aether listen"""

from __future__ import annotations

import importlib.util
import ipaddress
import queue
import re
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

from aether_temporal.listening import AppendFile, Arrival, NodePredictor, PacketReceiver, Recorder, UdpListener
from aether_temporal.listening.events import Events
from aether_temporal.listening.packet_receiver import Network
from aether_temporal.listening.recorder import FILE_HEADER, packet_record

from .listen_display import Display, JsonLines, Lines, NodesTable, Silent, Status, document, print_summary
from .options import FiniteRange, ModelName, NewFile, json_option, open_model, same_file
from .output import console, print_json, print_json_line, say

_PORT = 5005
_SMALL_BUFFER = 1 << 20
_SWITCH_INTERVAL = 0.0005  # seconds: the listening thread must not wait longer for the interpreter


class _Cidr(click.ParamType[Network]):
    """An address, or a network in CIDR notation."""

    name = "CIDR"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Network:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            return ipaddress.ip_network(value, strict=False)
        except ValueError:
            self.fail(f"expected an address or a network such as 192.168.1.0/24, found {value!r}", param, ctx)


class _Endpoint(click.ParamType[tuple[str | None, int]]):
    """ADDRESS:PORT, [IPv6]:PORT, ADDRESS or :PORT, as (address or None, port)."""

    name = "ADDRESS:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str | None, int]:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?", value)
        address, port = (value, None) if match is None else (match[1] or match[2], match[3])
        if port is not None and int(port) > 65535:
            self.fail(f"expected a port from 0 to 65535, found {port}", param, ctx)
        return address or None, _PORT if port is None else int(port)


@click.command("listen")
@click.option(
    "--bind",
    type=_Endpoint(),
    default=f":{_PORT}",
    show_default=True,
    help="Where to listen: an address of this computer, a port (0: any free one), or both. Without an address: all of "
    "them, IPv4 and IPv6.",
)
@click.option(
    "--allow",
    type=_Cidr(),
    multiple=True,
    help="Accept packets from this address or network only; repeatable. [default: all]",
)
@click.option(
    "--model", type=ModelName(), help="Classify the nodes' frames with this model, and show the names of its classes."
)
@click.option(
    "--record",
    type=NewFile(dir_okay=True),
    metavar="FILE",
    help="Record accepted packets as a packet capture, for `aether run`. In a folder: a new file named by the time.",
)
@click.option(
    "--predictions", type=NewFile(), metavar="FILE", help="Append classifications and predictions, as JSON lines."
)
@click.option("--duration", type=FiniteRange(min=0, min_open=True), help="Seconds. [default: until Ctrl-C]")
@json_option
@click.option(
    "--jsonl", is_flag=True, help="One JSON line per classification, prediction and feature state, then the summary."
)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Receive classifications, feature states and raw CSI frames that nodes send over UDP.

    Shows a table of the nodes. Rejected packets are counted by reason. Ctrl-C ends with a summary and exit status 0.
    UDP packets prove nothing about who sent them: use a network that you trust, and --allow.
    """
    if options["as_json"] and options["jsonl"]:
        raise click.UsageError("--json and --jsonl: expected one of them, found both")
    if options["record"] and options["predictions"] and same_file(options["record"], options["predictions"]):
        raise click.UsageError(f"--record and --predictions: expected two files, found {options['record']} for both")
    with ExitStack() as cleanup:
        cleanup.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(_SWITCH_INTERVAL)
        ctx.exit(_Session(options, cleanup).listen())


class _Session:
    """One call of the command."""

    def __init__(self, options: dict[str, Any], cleanup: ExitStack) -> None:
        self.options = options
        self.model = None if options["model"] is None else open_model(options["model"])
        self.out = console()
        self.machine = bool(options["as_json"] or options["jsonl"])
        self.events = Events(self.model)
        self.predictor: NodePredictor | None = None
        self.recorders: list[Recorder] = []
        self.receiver = PacketReceiver(allow=options["allow"], on_arrival=self._arrived)
        self.listener = cleanup.enter_context(UdpListener(self.receiver, *options["bind"]))
        self.capture, self.log = self._open_files(cleanup)
        if self.model is not None:
            self.predictor = NodePredictor(self.model, on_prediction=self._predicted)
            cleanup.callback(self.predictor.close)
        self.where = self.listener.address

    def _open_files(self, cleanup: ExitStack) -> tuple[Recorder | None, Recorder | None]:
        capture = log = None
        if self.options["predictions"]:  # first: when it cannot be opened, no empty recording is left behind
            log = Recorder(AppendFile.continue_lines(Path(self.options["predictions"])))
            cleanup.callback(log.close)
            self.recorders.append(log)
        if self.options["record"]:
            capture = Recorder(_capture_file(self.options["record"]))
            cleanup.callback(capture.close)
            self.recorders.append(capture)
            if importlib.util.find_spec("dpkt") is None:
                _warn("to replay the recording, `aether run` needs dpkt: pip install dpkt")
        return capture, log

    def _arrived(self, arrival: Arrival) -> None:
        """Called in the listener's thread; must not block."""
        if self.capture is not None:
            source = (arrival.node.key.address, arrival.port)
            self.capture.add(packet_record(arrival.data, source, self.where, arrival.time))
        if self.predictor is not None:
            self.predictor.offer(arrival)
        if self.log is not None or self.options["jsonl"]:
            self._event(self.events.of_arrival(arrival))

    def _predicted(self, arrival: Arrival, prediction: Any) -> None:
        """Called in the predictor's thread."""
        if self.log is not None or self.options["jsonl"]:
            self._event(self.events.of_prediction(arrival, prediction))

    def _event(self, event: dict[str, Any] | None) -> None:
        if event is None:
            return
        if self.log is not None and event["event"] != "features":
            self.log.add(self.events.line(event))
        if self.options["jsonl"]:
            self.events.add(event)

    def listen(self) -> int:
        """Listens until the duration is over or a signal arrives. Returns the exit status."""
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
        """Takes the datagrams that have arrived, then ends the threads that work on them."""
        self.listener.close()
        if self.predictor is not None:
            self.predictor.close()
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
            snapshot=self.listener.snapshot,
            where=self.where,
            recorded=None if capture is None else (capture.path, capture.written, capture.lost, capture.error),
            unpredicted=0 if self.predictor is None else self.predictor.dropped,
        )

    def _greet(self) -> None:
        host, port = self.where
        self.out.print(f"Listening at {host} port {port} (UDP). Ctrl-C ends.")
        if self.listener.buffer_bytes < _SMALL_BUFFER:
            self.out.print(
                f"The receive buffer has {self.listener.buffer_bytes} bytes only; packets may be lost in a burst. "
                "On Linux, raise net.core.rmem_max with sysctl."
            )

    def _report(self, seconds: float) -> None:
        names = () if self.model is None else tuple(self.model.class_names or ())
        found = document(self._status(), names, seconds)
        found["unsuitable_frames"] = 0 if self.predictor is None else self.predictor.unsuitable
        if self.options["jsonl"]:
            print_json_line({"summary": found})
        elif self.options["as_json"]:
            print_json(found)
        else:
            print_summary(self.out, self._status(), names, seconds)


def _left(began: float, duration: float | None) -> float:
    return float("inf") if duration is None else began + duration - time.monotonic()


def _capture_file(record: str) -> AppendFile:
    path = Path(record)
    if path.is_dir():
        path /= time.strftime("listen-%Y%m%dT%H%M%SZ.pcap", time.gmtime())
    try:
        return AppendFile.create(path, FILE_HEADER)
    except FileExistsError:
        message = f"{path}: expected a new file, found an existing one; remove it or choose another name"
        raise click.UsageError(message) from None


def _warn(text: str) -> None:
    say(f"aether: {text}", err=True)


class _Stop:
    """An event that a signal handler may set while its own thread waits. threading.Event would deadlock there."""

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
    """An event that SIGINT and SIGTERM set, so that files and threads are closed in order."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():  # signal handlers can be set there only
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt  # a second Ctrl-C ends at once
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
