"""The `aether` command, its subcommands, and how errors end.

Exit status: 0 success; 1 a check failed; 2 wrong usage or unusable input; 3 `gate` cannot decide; 130 interrupted; 141
standard output was closed.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from typing import Any

import click

from aether_temporal import TemporalError, __version__
from aether_temporal._internal.os_errors import describe
from aether_temporal._internal.summary import printable

from .output import STANDARD_OUTPUT, NamedOutput

# Imported when needed: `aether --help` imports neither torch nor matplotlib.
_COMMANDS = {
    "run": "Stream a recording through a model and show its predictions.",
    "compare": "List every prediction that changes from one model to another.",
    "calibrate": "Fit a motion model to a room, by a recording of it while nobody moves.",
    "enroll": "Enrol identities: write a gallery for `run --enroll`.",
    "listen": "Receive what nodes send over UDP; show, record and classify it.",
    "verify": "Check the receipts of nodes in a packet capture, bit for bit.",
    "serve": "Show that on a page; hand it on to MQTT and Prometheus (extra `live`).",
    "recordings": "Describe recordings, and warn of what would mislead.",
    "record": "Record a serial port or UDP, with a label and a live picture.",
    "inspect": "Describe a weight blob and check it.",
    "quantise": "Make a model in integers, for chips without floating point.",
    "init": "Write a blob of random weights, the same bytes everywhere.",
    "parity": "Check this host, a board or emulated chips against the golden vectors.",
    "device": "Put a model on a chip, and show what is there.",
    "demo": "Simulate a recording, classify it, and check this host.",
    "bench": "Measure speed beside the alternatives.",
    "train": "Train models on recordings; prepare and verify these (extra `train`).",
    "explore": "Pictures: recordings, attention, embeddings, confusion, drift (extra `plot`).",
    "gate": "Check by four gates whether sparse attention may replace dense (extra `train`).",
}

_WITH = {"init": "inspect"}
"""Commands that are in the module of another."""


class InputError(click.ClickException):
    """Unusable input: one or two lines on standard error, status 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"aether: {printable(self.format_message())}", file=file or sys.stderr)


def _input_error(error: OSError) -> InputError:
    """The error in words. Standard output that failed is discarded, so that the interpreter cannot fail on it."""
    if error.filename == STANDARD_OUTPUT:
        _discard_output()
    place = f"{error.filename}: " if error.filename else ""
    return InputError(f"{place}{describe(error)}")


def _discard_output() -> None:
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"aether_temporal.cli.{_WITH.get(cmd_name, cmd_name)}_command")
        command = getattr(module, cmd_name if cmd_name in _WITH else "command")
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun started this process and others
                recipes = importlib.import_module("aether_temporal.cli.recipes")
                return recipes.trainer("distributed").lead(lambda: click.Group.invoke(self, ctx))
            return super().invoke(ctx)
        except click.MissingParameter:
            raise
        except click.UsageError as error:
            raise click.UsageError(printable(error.format_message()), error.ctx) from None
        except BrokenPipeError:
            # The reader has closed the pipe: write nothing more, not even while the interpreter shuts down.
            _discard_output()
            ctx.exit(141)
        except KeyboardInterrupt:
            click.echo("aether: interrupted", err=True)
            ctx.exit(130)
        except TemporalError as error:
            raise InputError(f"{error}") from None
        except MemoryError:
            raise InputError("not enough memory for this input") from None
        except OSError as error:
            raise _input_error(error) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", prog_name="aether", message="%(prog)s %(version)s")
def aether() -> None:
    """AETHER temporal head for Wi-Fi sensing: recordings of channel state information through trained models."""


def main() -> None:
    """Runs the `aether` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # do not fail on a character that the encoding lacks
    sys.stdout = NamedOutput(sys.stdout)
    try:
        aether(prog_name="aether")
    except OSError as error:  # of --help and --version, before any command runs
        failure = _input_error(error)
        failure.show()
        sys.exit(failure.exit_code)
