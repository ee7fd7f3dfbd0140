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
from rich.console import Console

from aether_temporal._internal.interruption import interruptible
from aether_temporal.listening import AppendFile, Events, ListedNode
from aether_temporal.listening.engine import Capture, Engine, EventSink, PredictionsFile
from aether_temporal.listening.packet_receiver import Network
from aether_temporal.listening.predictor import WAITING_BYTES
from aether_temporal.listening.recorder import FILE_HEADER

from .listen_display import JsonLines, Lines, NodesTable, StatusDisplay, document, print_summary
from .options import (
    F,
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
SWITCH_INTERVAL = 0.0005
"""Seconds: the listening thread must not wait longer for the interpreter."""


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


class Endpoint(click.ParamType[tuple[str | None, int]]):
    """ADDRESS:PORT, [IPv6]:PORT, ADDRESS or :PORT, as (address or None, port). port: where none is given."""

    name = "ADDRESS:PORT"

    def __init__(self, port: int) -> None:
        self._port = port

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str | None, int]:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?", value)
        address, port = (value, None) if match is None else (match[1] or match[2], match[3])
        if port is not None and int(port) > 65535:
            self.fail(f"expected a port from 0 to 65535, found {port}", param, ctx)
        return address or None, self._port if port is None else int(port)


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


def engine_options(command: F) -> F:
    """Whom to hear, and what classifies them. `open_engine` takes them."""
    for option in (
        click.option(
            "--bind",
            type=Endpoint(_PORT),
            default=f":{_PORT}",
            show_default=True,
            help="Where to listen: an address of this computer, a port (0: any free one), or both. Without an "
            "address: all of them, IPv4 and IPv6.",
        ),
        click.option(
            "--allow",
            type=_Cidr(),
            multiple=True,
            help="Accept packets from this address or network only; repeatable. [default: all]",
        ),
        click.option(
            "--nodes",
            type=_Nodes(),
            default=(),
            help="Accept these nodes only, and keep a place for each: ids, ranges and ID@ADDRESS, such as "
            "1-4,7@192.168.1.21. [default: all]",
        ),
        click.option(
            "--model",
            type=ModelName(),
            help="Classify the nodes' frames with this model, and show the names of its classes.",
        ),
        click.option("--verify", type=ModelName(), help="Check each node's receipts with this model, bit for bit."),
        memory_option,
        layout_options,
    )[::-1]:
        command = option(command)
    return command


@click.command("listen")
@engine_options
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
        sys.setswitchinterval(SWITCH_INTERVAL)
        ctx.exit(_Session(options, cleanup).listen())


class _Session:
    """One call of the command."""

    def __init__(self, options: dict[str, Any], cleanup: ExitStack) -> None:
        self.options = options
        self.out = console()
        self.machine = bool(options["as_json"] or options["jsonl"])
        self.engine = open_engine(options)
        cleanup.callback(self.engine.close)
        self.events = Events(self.engine.model)
        if options["predictions"]:  # first: when it cannot be opened, no empty recording is left behind
            file = AppendFile.continue_lines(Path(options["predictions"]))
            self.engine.observe(PredictionsFile(file, self.events))
        if options["record"]:
            self.engine.observe(Capture(_capture_file(options["record"]), self.engine.where))
            if importlib.util.find_spec("dpkt") is None:
                _warn("to replay the recording, `aether run` needs dpkt: pip install dpkt")
        if options["jsonl"]:
            self.engine.observe(EventSink(self.events, self.events.add))

    def listen(self) -> int:
        """Listens until the duration is over or a signal arrives. Returns the exit status."""
        display = self._display()
        if not self.machine:
            greet(self.out, self.engine)
        with interruptible() as stop, display:
            seconds = self.engine.run(display, stop, duration=self.options["duration"], warn=_warn)
        self._report(seconds)
        if self.engine.failure is not None:
            raise self.engine.failure
        return 1 if self.engine.errors else 0

    def _display(self) -> StatusDisplay:
        if self.options["jsonl"]:
            return JsonLines(self.events)
        if self.options["as_json"]:
            return StatusDisplay()
        if not self.out.is_terminal:
            return Lines(self.out, self.engine.names)
        return NodesTable(self.out, self.engine.names, self.engine.recent if self.options["show"] == "csi" else None)

    def _report(self, seconds: float) -> None:
        status = self.engine.status(last=True)
        found = document(status, self.engine.names, seconds)
        if self.options["jsonl"]:
            print_json_line({"summary": found})
        elif self.options["as_json"]:
            print_json(found)
        else:
            print_summary(self.out, status, self.engine.names, seconds)


def open_engine(options: dict[str, Any]) -> Engine:
    """Opens the model and the socket that `engine_options` name. BlobError, InvalidArgumentError, OSError."""
    return Engine(
        options["bind"],
        allow=options["allow"],
        nodes=options["nodes"],
        model=None if options["model"] is None else open_model(options["model"]),
        model_name=options["model"] or "",
        verify=None if options["verify"] is None else open_model(options["verify"]),
        max_bytes=options["max_memory"],
        hints=hints_of(options),
    )


def greet(out: Console, engine: Engine) -> None:
    """Says where nodes are heard, and what the model may take."""
    host, port = engine.where
    out.print(f"Listening at {host} port {port} (UDP). Ctrl-C ends.")
    if engine.predictor is not None:
        streams, each = engine.predictor.max_streams, engine.predictor.stream_bytes
        out.print(
            f"{engine.model_name} classifies up to {streams} nodes: {bytes_text(each)} each, "
            f"{bytes_text(streams * each)} at most, and up to {bytes_text(WAITING_BYTES)} for frames that wait."
        )
    if engine.listener.buffer_bytes < _SMALL_BUFFER:
        out.print(
            f"The receive buffer has {engine.listener.buffer_bytes} bytes only; packets may be lost in a burst. "
            "On Linux, raise net.core.rmem_max with sysctl."
        )


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
