"""aether record FILE"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.text import Text

from aether_temporal._internal.interruption import interruptible
from aether_temporal.errors import InvalidArgumentError, PortError, RecordingError
from aether_temporal.listening.recorder import NewRecording, PacketSource, TextSource
from aether_temporal.recordings import Sources, describe
from aether_temporal.recordings.manifest import add_to_manifest
from aether_temporal.recordings.quality import RecordingQuality, quality_of

from .listen_display import waterfall
from .options import FiniteRange, NewFile, json_option
from .output import Screen, console, print_json, quantity, say
from .recordings_command import describe_quality

MANIFEST = "recordings.csv"
_POLL = 0.05
_REDRAW = 0.2
_WAIT = 10.0
"""Seconds within which a first frame must come where a length is given."""
_LARGEST = 1 << 28
"""Bytes up to which a recording is described when it ends."""


class _Place(click.ParamType[tuple[str | None, int]]):
    """PORT or HOST:PORT, as (host or None, port)."""

    name = "[HOST:]PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str | None, int]:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        host, _, port = value.rpartition(":")
        if not port.isdecimal() or len(port) > 5 or int(port) > 65535:
            self.fail(f"expected a port from 0 to 65535, or an address and a port, found {value!r}", param, ctx)
        return host.strip("[]") or None, int(port)


def _word(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and (not value.strip() or not value.isprintable()):
        raise click.BadParameter(f"expected a name in one line, found {value!r}")
    return value


@click.command("record")
@click.argument("file", type=NewFile())
@click.option("--port", help="Record the CSI text of this serial port, such as /dev/ttyACM0 (needs pyserial).")
@click.option("--baud", type=click.IntRange(min=300), default=921600, show_default=True, help="Speed of the port.")
@click.option("--udp", type=_Place(), help="Record what nodes send to this UDP port (5005 by default) instead.")
@click.option("--label", callback=_word, help="What was done: a row of the manifest states it.")
@click.option("--subject", callback=_word, help="Who did it.")
@click.option("--session", callback=_word, help="On which occasion.")
@click.option(
    "--seconds", type=FiniteRange(min=0, min_open=True), help="How long, from the first frame on. [default: to Ctrl-C]"
)
@click.option("--force", is_flag=True, help="Replace FILE where there is one.")
@json_option
@click.pass_context
def command(ctx: click.Context, /, file: str, **options: Any) -> None:
    """Record FILE from a serial port or from UDP, with a live picture of the amplitudes.

    FILE holds every byte that came, and `run`, `train` and the other commands read it. Label, subject and session are
    stated in the manifest `recordings.csv` beside it, which training takes as --data. Ctrl-C ends the recording and
    keeps it.
    """
    if (options["port"] is None) == (options["udp"] is None):
        raise click.UsageError("expected --port or --udp, one of them")
    ctx.with_resource(interruptible(signal.SIGTERM))
    ctx.exit(_Take(Path(file), options).record())


class _Take:
    """One call of the command."""

    def __init__(self, path: Path, options: dict[str, Any]) -> None:
        self._path, self._options = path, options
        self._machine = bool(options["as_json"])
        self._out = console()
        self._told = {name: options[name] for name in ("label", "subject", "session") if options[name] is not None}
        if self._told and path.name == MANIFEST:
            raise InvalidArgumentError.of("FILE", f"another name than that of the manifest, {MANIFEST}", path.name)

    def record(self) -> int:
        """Records until the time is over, a signal arrives, or it cannot continue. Returns the exit status."""
        with ExitStack() as cleanup:
            source = self._source(cleanup)
            recording = NewRecording(self._path, source.head, force=self._options["force"])
            try:
                trouble = self._run(source, recording)
                nothing = self._nothing(source)  # while the source is open
            finally:
                recording.close()
        trouble = trouble or recording.error
        if not recording.frames:
            raise RecordingError(trouble or nothing)
        if self._told:
            add_to_manifest(self._path.parent / MANIFEST, {"file": self._path.name, **self._told})
        self._report(recording)
        if trouble:
            say(f"aether: {trouble}", err=True)
        return 1 if trouble else 0

    def _source(self, cleanup: ExitStack) -> TextSource | PacketSource:
        if self._options["port"] is None:
            packets = PacketSource(*self._options["udp"])
            cleanup.callback(packets.close)
            self._say(f"Listening at {packets.where[0]} port {packets.where[1]} (UDP). Ctrl-C ends.")
            return packets
        from aether_temporal.device.port import SerialPort

        port = cleanup.enter_context(SerialPort(self._options["port"], self._options["baud"]))
        self._say(f"Recording {port.name}. Ctrl-C ends.")
        return TextSource(port, time.monotonic)

    def _run(self, source: TextSource | PacketSource, recording: NewRecording) -> str | None:
        """Why the recording ended early, if it did."""
        began, first, length = time.monotonic(), None, self._options["seconds"]
        with interruptible() as stop, _Picture(self._out, self._machine) as picture:
            while not stop.is_set() and recording.error is None:
                now = time.monotonic()
                first = now if first is None and recording.frames else first
                if length is not None and now - (began if first is None else first) >= (
                    max(length, _WAIT) if first is None else length
                ):
                    return None
                try:
                    source.poll(recording, _POLL)
                except PortError as error:
                    return f"{error}; the recording ends there"
                picture.show(partial(self._status, source, recording, first), recording)
        return None

    def _status(self, source: TextSource | PacketSource, recording: NewRecording, first: float | None) -> str:
        if first is None:
            return f"no frame yet; {describe(source.dropped)} dropped"
        seconds = time.monotonic() - first
        whole = "" if self._options["seconds"] is None else f" of {self._options['seconds']:g}"
        rate = f", {recording.frames / seconds:.3g} a second" if seconds > 1 else ""
        frames = f"{quantity(recording.frames)} frames{rate}"
        return f"{seconds:.1f}{whole} s  ·  {frames}  ·  {describe(source.dropped)} dropped"

    def _nothing(self, source: TextSource | PacketSource) -> str:
        """The error of a recording without frames."""
        advice = "is this the speed of the firmware (--baud), and does it print CSI?"
        if isinstance(source, PacketSource):
            advice = f"do nodes send to port {source.where[1]} of this computer?"
        return f"{self._path}: frames: expected CSI frames, found none ({describe(source.dropped)} dropped); {advice}"

    def _report(self, recording: NewRecording) -> None:
        large = os.path.getsize(self._path) > _LARGEST
        found: list[RecordingQuality] = []
        with suppress(RecordingError):  # of a full disk, say, before a whole frame was stored
            found = [] if large else [quality_of(each) for each in Sources([self._path])]
        if self._machine:
            document = {"file": os.fspath(self._path), "frames": recording.frames, "lost": recording.lost}
            print_json({**document, **self._told, "recordings": [each.document() for each in found]})
            return
        for each in found:
            describe_quality(self._out, each)
        if large:
            self._say(f"{quantity(recording.frames)} frames; `aether recordings {self._path}` describes them")
        if recording.lost:
            self._say(f"{quantity(recording.lost)} pieces were lost: the disk was too slow")
        if self._told:
            told = ", ".join(f"{name} {value}" for name, value in self._told.items())
            self._say(f"{self._path.parent / MANIFEST}: {self._path.name}, {told}")

    def _say(self, text: str) -> None:
        if not self._machine:
            self._out.print(text)


class _Picture(Screen):
    """On a terminal, the status and a waterfall of the newest frames, redrawn in place."""

    def __init__(self, out: Console, silent: bool) -> None:
        self._out = out
        super().__init__(out if out.is_terminal and not silent else None)
        self._shown = 0.0

    def show(self, status: Callable[[], str], recording: NewRecording) -> None:
        if self._live is None or time.monotonic() - self._shown < _REDRAW:
            return
        self._shown = time.monotonic()
        found = recording.recent.recordings()
        drawn = waterfall(self._out, found[-1], max(4, min(16, self._out.height - 6))) if found else []
        told = recording.recent.warnings()[:2]
        warnings = [Text(text, style="yellow", no_wrap=True, overflow="ellipsis") for text in told]
        head = Text(status(), style="bold", no_wrap=True, overflow="ellipsis")
        self.redraw(Group(head, *drawn, *warnings))
