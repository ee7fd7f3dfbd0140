"""What the recipes of `aether train` and `aether gate` share: options, the configuration file, and errors."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import click

from aether_temporal._internal.interruption import interrupted
from aether_temporal._internal.toml_settings import load_settings
from aether_temporal.errors import NonFiniteError, ResultOverflowError
from aether_temporal.recordings import MissingExtraError, RecordingError
from aether_temporal.subcarriers import SubcarrierMap
from aether_temporal.train.splits import LeakError

from .options import NewFile
from .output import say

F = TypeVar("F", bound=Callable[..., Any])


NO_TORCH = "torch: expected it for training, found none; pip install torch scipy"
NO_SCIPY = "scipy: expected it for training, found none; pip install torch scipy"


def trainer(name: str) -> ModuleType:
    """The module that trains, or a message that says what to install."""
    for library, missing in (("torch", NO_TORCH), ("scipy", NO_SCIPY)):
        try:
            importlib.import_module(library)
        except ImportError:
            raise MissingExtraError(missing) from None
    return importlib.import_module(f"aether_temporal.train.{name}")


@contextlib.contextmanager
def about(names: Sequence[str]) -> Iterator[None]:
    """Recordings that no model can be trained on, as an error that names them."""
    data = ", ".join(names)
    try:
        yield
    except (RecordingError, LeakError) as error:
        if any(name in str(error) for name in names):
            raise
        raise type(error)(f"{data}: {error}") from None
    except (NonFiniteError, ResultOverflowError) as error:
        raise RecordingError(
            f"{data}: frames: expected numbers that stay within binary32 through the model, found others ({error}): "
            "look for values far beyond the rest, or frames whose mean is nearly zero, and leave them out"
        ) from None
    except ValueError as error:
        if type(error).__module__.startswith("aether_temporal"):
            raise
        raise RecordingError(f"{data}: {error}") from None


def config_option(command: F) -> F:
    """--config: everything that has no switch of its own."""
    return click.option(
        "--config",
        "config_file",
        type=click.Path(exists=True, dir_okay=False),
        help="TOML file: settings of the recipe, [reading] of recordings, [run] threads, workers, checkpoints.",
    )(command)


def result_options(command: F) -> F:
    """What becomes of a training's result."""
    for option in (
        click.option(
            "--run",
            "run_folder",
            type=click.Path(file_okay=False),
            help="Folder for configuration, metrics, checkpoints, plots.",
        ),
        click.option("--out", type=NewFile(), help="The blob to write."),
        config_option,
    ):
        command = option(command)
    return command


def recipe_options(command: F) -> F:
    """The options of every recipe that goes step by step."""
    for option in (
        click.option("--steps", type=click.IntRange(1), help="Steps of the optimiser. [default: the recipe's]"),
        click.option("--resume", is_flag=True, help="Resume the run in --run, to the result of an uninterrupted one."),
        result_options,
    ):
        command = option(command)
    return command


@contextlib.contextmanager
def resumable(folder: str | None) -> Iterator[None]:
    """Says after Ctrl-C how far the training came, and how to resume it."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as stopped:  # an Exception: what a library made of it
        if not (isinstance(stopped, KeyboardInterrupt) or interrupted()):
            raise
        where = str(stopped) if isinstance(stopped, KeyboardInterrupt) else ""
        done = f"interrupted; {where}" if where else "interrupted"
        if folder is None:
            kept = "nothing is kept: --run FOLDER keeps a training"
        elif any(Path(folder).rglob("*.pt")):
            kept = f"--resume continues the run in {folder}"
        else:
            kept = "nothing is kept: no step was done"
        say(f"aether: {done}; {kept}", err=True)
        click.get_current_context().exit(130)


def seeds_option(command: F) -> F:
    """--seeds, of recipes that report how far their results differ."""
    return click.option(
        "--seeds",
        type=click.IntRange(1, 100),
        default=1,
        show_default=True,
        help="Train with this many seeds, from the recipe's `seed` on; only the first is written to --out.",
    )(command)


def data_option(what: str) -> Callable[[F], F]:
    """--data; `what` recordings must be."""
    return click.option(
        "--data",
        type=click.Path(),
        multiple=True,
        required=True,
        help=f"{what}: a file, folder, manifest, wildcard in quotes, or what `prepare` made; may be repeated.",
    )


def recipe(name: str, options: dict[str, Any], *instead: str) -> ModuleType:
    """The module of a recipe. UsageError for options without effect: no result is asked for (`instead`: options that
    replace --out and --run), or there is nothing to resume."""
    if all(options[key] is None for key in ("out", "run_folder", *instead)):
        *names, last = ("--out", "--run", *(f"--{key.replace('_', '-')}" for key in instead))
        raise click.UsageError(f"expected {', '.join(names)} or {last}")
    if options.get("resume") and options["run_folder"] is None:
        raise click.UsageError("--resume: expected together with --run")
    return trainer(name)


@dataclasses.dataclass(frozen=True)
class NoRecipe:
    """Of a command that only reads recordings."""


def settings_of(start: Any, options: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Recipe (`start` is its default), reading and run settings: those of --config, then the switches, which are taken
    out of `options`; torch's threads are set. InvalidConfigError."""
    reading = importlib.import_module("aether_temporal.train.reading")
    file = options.pop("config_file")
    found = (start, reading.Reading(), reading.RunSettings())
    if file is not None:
        found = load_settings(file, start, reading=found[1], run=found[2])
    made, how, run = found
    select, chip, layout, label_from = (options.pop(name, None) for name in ("select", "chip", "layout", "label_from"))
    if label_from is not None:
        how = dataclasses.replace(how, label_from=label_from)
    if isinstance(select, SubcarrierMap):
        how = dataclasses.replace(how, subcarriers=str(select), select=None)
    elif select is not None:
        how = dataclasses.replace(how, select=tuple(select), subcarriers=None)
    how = override(how, chip=chip, layout=None if layout is None else str(layout))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(run.threads)
    return made, how, run


def override(settings: Any, **changes: Any) -> Any:
    """A copy of a dataclass with the changes that are not None."""
    return dataclasses.replace(settings, **{name: value for name, value in changes.items() if value is not None})
