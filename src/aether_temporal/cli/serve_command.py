"""aether serve"""

from __future__ import annotations

import importlib
import os
import secrets
import signal
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import click
from rich.console import Console

from aether_temporal import crc32
from aether_temporal._internal.interruption import interruptible
from aether_temporal.errors import InvalidArgumentError, MissingExtraError
from aether_temporal.listening.engine import Engine
from aether_temporal.live.recording_desk import RecordingDesk
from aether_temporal.live.serve_settings import ServeSettings, serve_settings
from aether_temporal.live.state import LiveState
from aether_temporal.recordings import describe

from .listen_command import SWITCH_INTERVAL, Endpoint, engine_options, greet, open_engine
from .output import console, quantity, say

_PORT = 8080
_SHORTEST_TOKEN = 16


@click.command("serve")
@engine_options
@click.option(
    "--http",
    type=Endpoint(_PORT),
    default=f"127.0.0.1:{_PORT}",
    show_default=True,
    help="Where the page is: an address of this computer, a port (0: any free one), or both. Without an address: all "
    "of them, which needs --token.",
)
@click.option(
    "--token",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Ask for the token in this file, which is made where there is none.",
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="TOML: MQTT broker, log of changes, history, folder of recordings.",
)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Show on a page what nodes send over UDP, and hand it on: MQTT, Prometheus, SQLite (extra `live`).

    Takes what `listen` takes. The page shows each node's class, the last hour, movement, losses and amplitudes, and
    starts and stops recordings; metrics are at /metrics. Ctrl-C ends with a summary and exit
    status 0.
    UDP packets prove nothing about who sent them: use a network that you trust, and --allow.
    """
    ctx.with_resource(interruptible(signal.SIGTERM))
    with ExitStack() as cleanup:
        cleanup.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(SWITCH_INTERVAL)
        ctx.exit(_serve(options, cleanup))


def _serve(options: dict[str, Any], cleanup: ExitStack) -> int:
    settings = serve_settings(options["config"])
    token = None if options["token"] is None else _token(Path(options["token"]))
    server = _live("page_server")
    out = console()
    engine = open_engine(options)
    cleanup.callback(engine.close)
    desk = RecordingDesk(Path(settings.recordings.folder), engine.where)
    state = LiveState(
        engine.names, moving_above=settings.server.moving_above, silent_after=settings.server.silent_after
    )
    engine.observe(state)
    engine.observe(desk)
    _hand_on(settings, engine, state)
    host, port = options["http"]
    page = server.PageServer(state, desk, host, port, token=token)
    cleanup.callback(page.close)
    state.sinks.append(page)
    engine.observe(page)
    greet(out, engine)
    out.print(f"The page is at {page.url}" + ("" if token is None else f" (token: {options['token']})"))
    sys.stdout.flush()
    with interruptible() as stop:
        seconds = engine.run(state, stop, warn=lambda text: say(f"aether: {text}", err=True))
    _summarise(out, engine, desk, seconds)
    if engine.failure is not None:
        raise engine.failure
    return 1 if engine.errors else 0


def _summarise(out: Console, engine: Engine, desk: RecordingDesk, seconds: float) -> None:
    status = engine.status(last=True)
    packets = quantity(sum(status.snapshot.accepted.values()))
    out.print(f"{packets} packets of {len(status.snapshot.nodes)} nodes in {seconds:.1f} s")
    out.print(f"rejected     {describe(status.snapshot.rejected)}")
    if status.model is not None:
        out.print(f"predictions  {quantity(status.model.predicted)}")
    out.print(f"recordings   {', '.join(desk.written) or 'none'}")


def _hand_on(settings: ServeSettings, engine: Engine, state: LiveState) -> None:
    """Opens log, history and broker, where the settings name them."""
    made: list[Any] = []
    if settings.log.file is not None:
        made.append(_live("exports").ChangeLog(settings.log))
    if settings.history.file is not None:
        made.append(_live("exports").HistoryFile(settings.history))
    if settings.mqtt.host:
        broker = _live("mqtt_publisher").MqttPublisher(
            settings.mqtt, settings.server.name, classes=engine.names, model=model_said(engine)
        )
        state.notes.append(lambda: broker.trouble)
        made.append(broker)
    for each in made:
        engine.observe(each)
        state.sinks.append(each)
        state.notes.append(partial(getattr, each, "error"))


def model_said(engine: Engine) -> str:
    """The model by name and CRC, as `inspect` prints it: that is its version."""
    if engine.model is None:
        return ""
    return f"{Path(engine.model_name).stem} 0x{crc32(engine.model.blob[:-4]):08X}"


def _live(module: str) -> ModuleType:
    """A module of the extra. MissingExtraError."""
    try:
        return importlib.import_module(f"aether_temporal.live.{module}")
    except ImportError as error:
        if (error.name or "").partition(".")[0].startswith("aether_temporal"):
            raise
        raise MissingExtraError(
            f"serve: expected the extra `live`, found no {error.name}; pip install 'aether-temporal[live]'"
        ) from None


def _token(path: Path) -> str:
    """The first line of the file; a new one where there is no file. InvalidArgumentError, OSError."""
    if not path.exists():
        made = secrets.token_urlsafe(24)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{made}\n")
        return made
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    found = lines[0].strip() if lines else ""
    if len(found) < _SHORTEST_TOKEN or not found.isascii() or not found.isprintable():
        raise InvalidArgumentError.of(
            str(path),
            f"a token of at least {_SHORTEST_TOKEN} letters and digits in the first line",
            f"{len(found)} characters; remove the file, and a token is made",
        )
    return found
