"""aether listen"""

from __future__ import annotations

import importlib.util
import ipaddress
import re
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from aether_temporal import TemporalError
from aether_temporal._internal.interruption import interruptible
from aether_temporal.listening import (
    AppendFile,
    Arrival,
    Events,
    ListedNode,
    NodePredictor,
    NodeTable,
    PacketReceiver,
    Recorder,
    UdpListener,
)
from aether_temporal.listening.packet_receiver import Network
from aether_temporal.listening.packets import RawFrame
from aether_temporal.listening.predictor import WAITING_BYTES
from aether_temporal.listening.recent_frames import RecentFrames
from aether_temporal.listening.recorder import FILE_HEADER, packet_record

from .listen_display import JsonLines, Lines, NodesTable, Status, StatusDisplay, document, print_summary
from .options import (
    FiniteRange,
    ModelName,
    NewFile,
    hints_of,
    json_option,
    layout_options,
    memory_option,
    open_model,
    same_file,
)
from .output import bytes_text, console, print_json, print_json_line, say

_PORT = 5005
_MOST_LISTED = 256
_SMALL_BUFFER = 1 << 20
_EXAMINE = 5.0  # seconds
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


class _Nodes(click.ParamType[frozenset[ListedNode]]):
    """Ids and ranges of ids, each with an address or without, such as 1-4,7@192.168.1.21."""

    name = "NODES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[ListedNode]:
        if not isinstance(value, str):
            return frozenset(value)
        found: set[ListedNode] = set()
        for part in value.split(","):
            match = re.fullmatch(r"\s*(\d{1,3})(?:-(\d{1,3}))?(?:@(\S+))?\s*", part)
            first, last = (0, 256) if match is None else (int(match[1]), int(match[2] or match[1]))
            if match is None or not first <= last <= 255:
                self.fail(f"expected ids from 0 to 255 such as 1-4,7@192.168.1.21, found {part!r}", param, ctx)
            found |= {ListedNode(number, self._address(match[3], param, ctx)) for number in range(first, last + 1)}
        if len(found) > _MOST_LISTED:
            self.fail(f"expected at most {_MOST_LISTED} nodes, found {len(found)}", param, ctx)
        return frozenset(found)

    def _address(self, text: str | None, param: click.Parameter | None, ctx: click.Context | None) -> str | None:
        try:
            return None if text is None else str(ipaddress.ip_address(text))
        except ValueError:
            self.fail(f"expected an address such as 192.168.1.21, found {text!r}", param, ctx)


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
    "--nodes",
    type=_Nodes(),
    default=(),
    help="Accept these nodes only, and keep a place for each: ids, ranges and ID@ADDRESS, such as "
    "1-4,7@192.168.1.21. [default: all]",
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
@click.option(
    "--show",
    type=click.Choice(["nodes", "csi"]),
    default="nodes",
    show_default=True,
    help="On a terminal: a table of the nodes, or with it a picture of their newest frames.",
)
@memory_option
@layout_options
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
    ctx.with_resource(interruptible(signal.SIGTERM))
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
        self.recent = RecentFrames()
        self.warnings: tuple[float, tuple[str, ...]] = (0.0, ())  # when, and what is wrong with the newest frames
        self.predictor: NodePredictor | None = None
        self.recorders: list[Recorder] = []
        self.receiver = PacketReceiver(
            NodeTable(listed=options["nodes"]), allow=options["allow"], on_arrival=self._arrived
        )
        self.listener = cleanup.enter_context(UdpListener(self.receiver, *options["bind"]))
        self.capture, self.log = self._open_files(cleanup)
        if self.model is not None:
            self.predictor = NodePredictor(
                self.model,
                max_nodes=self.receiver.table.max_nodes,
                max_bytes=options["max_memory"],
                hints=hints_of(options),
                on_prediction=self._predicted,
            )
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
        if isinstance(arrival.packet, RawFrame):
            key = arrival.node.key
            values = arrival.packet.header.values(arrival.packet.values)
            self.recent.add(f"node {key.node_id} at {key.address}", values, arrival.time)
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
        with interruptible() as stop, display:
            self.listener.start()
            while not stop.is_set() and self._failure() is None:
                left = _left(began, self.options["duration"])
                if left <= 0:
                    break
                stop.wait(min(display.period, left))
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
        failure = self._failure()
        if failure is not None:
            raise failure
        return 1 if any(recorder.error for recorder in self.recorders) else 0

    def _failure(self) -> BaseException | None:
        """The error that ended a thread, where one has."""
        if self.listener.failure is not None:
            return self.listener.failure
        error = None if self.predictor is None else self.predictor.failure
        if error is None or isinstance(error, TemporalError | OSError | MemoryError):
            return error
        said = TemporalError(f"model: expected predictions, found {type(error).__name__} ({error}); report this error")
        said.__cause__ = error
        return said

    def _finish(self) -> None:
        """Takes the datagrams that have arrived, then ends the threads that work on them."""
        self.listener.close()
        if self.predictor is not None:
            self.predictor.close()
        for recorder in self.recorders:
            recorder.close()

    def _display(self) -> StatusDisplay:
        if self.options["jsonl"]:
            return JsonLines(self.events)
        if self.options["as_json"]:
            return StatusDisplay()
        names = () if self.model is None else tuple(self.model.class_names or ())
        if not self.out.is_terminal:
            return Lines(self.out, names)
        return NodesTable(self.out, names, self.recent if self.options["show"] == "csi" else None)

    def _status(self, *, last: bool = False) -> Status:
        """What to show; the newest frames are examined every few seconds, and at last."""
        capture, now = self.capture, time.monotonic()
        if last or now - self.warnings[0] > _EXAMINE:
            notes = () if self.predictor is None else self.predictor.notes
            self.warnings = (now, (*self.recent.warnings(), *notes))
        return Status(
            snapshot=self.listener.snapshot,
            where=self.where,
            recorded=None if capture is None else (capture.path, capture.written, capture.lost, capture.error),
            model=None if self.predictor is None else self.predictor.status(),
            model_name=self.options["model"] or "",
            warnings=self.warnings[1],
        )

    def _greet(self) -> None:
        host, port = self.where
        self.out.print(f"Listening at {host} port {port} (UDP). Ctrl-C ends.")
        if self.predictor is not None:
            streams, each = self.predictor.max_streams, self.predictor.stream_bytes
            self.out.print(
                f"{self.options['model']} classifies up to {streams} nodes: {bytes_text(each)} each, "
                f"{bytes_text(streams * each)} at most, and up to {bytes_text(WAITING_BYTES)} for frames that wait."
            )
        if self.listener.buffer_bytes < _SMALL_BUFFER:
            self.out.print(
                f"The receive buffer has {self.listener.buffer_bytes} bytes only; packets may be lost in a burst. "
                "On Linux, raise net.core.rmem_max with sysctl."
            )

    def _report(self, seconds: float) -> None:
        names = () if self.model is None else tuple(self.model.class_names or ())
        status = self._status(last=True)
        found = document(status, names, seconds)
        if self.options["jsonl"]:
            print_json_line({"summary": found})
        elif self.options["as_json"]:
            print_json(found)
        else:
            print_summary(self.out, status, names, seconds)


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
