"""What the recipes of `aether train` and `aether gate` have in common: switches, and how recordings are read."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, TypeVar

import click

from aether_temporal.errors import NonFiniteError, ResultOverflowError
from aether_temporal.recordings import MissingExtraError, RecordingError
from aether_temporal.settings import MAX_DUE, MAX_GAP
from aether_temporal.train.splits import LeakError

from .options import FiniteRange, Indices, NewFile

F = TypeVar("F", bound=Callable[..., Any])


def trainer(name: str) -> ModuleType:
    """The module that trains, or a message that says what to install."""
    try:
        importlib.import_module("torch")
    except ImportError:
        raise MissingExtraError(
            "training needs torch, which is not installed: pip install torch"
        ) from None
    return importlib.import_module(f"aether_temporal.train.{name}")


def use_threads(count: int) -> None:
    """Threads of torch."""
    importlib.import_module("torch").set_num_threads(count)


@contextlib.contextmanager
def about(data: str) -> Iterator[None]:
    """Recordings that no model can be trained on, as an error that names them."""
    try:
        yield
    except (RecordingError, LeakError) as error:
        if data in str(error):
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


def recipe_options(command: F) -> F:
    """What every recipe takes."""
    for option in (
        click.option("--quiet", is_flag=True, help="No progress bar."),
        click.option(
            "--threads",
            type=click.IntRange(1, 256),
            default=1,
            show_default=True,
            help="Threads of torch; the weights depend on it.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(0, 64),
            default=0,
            show_default=True,
            help="Processes that make batches; the weights do not depend on it.",
        ),
        click.option("--steps", type=click.IntRange(1), help="Steps of the optimiser. [default: as shipped]"),
        click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True),
        click.option(
            "--checkpoint-every",
            type=click.IntRange(1),
            default=100,
            show_default=True,
            help="Steps between checkpoints.",
        ),
        click.option(
            "--resume", is_flag=True, help="Go on with the run in --run; the result is that of one uninterrupted."
        ),
        click.option(
            "--run",
            "run_folder",
            type=click.Path(file_okay=False),
            help="Folder for configuration, metrics, checkpoints, plots.",
        ),
        click.option("--out", type=NewFile(), help="The blob to write."),
    ):
        command = option(command)
    return command


def seeds_option(command: F) -> F:
    """--seeds, of recipes that say how far their results differ."""
    return click.option(
        "--seeds",
        type=click.IntRange(1, 100),
        default=1,
        show_default=True,
        help="Train with so many seeds, from --seed on; only the first is written to --out.",
    )(command)


def recipe(name: str, options: dict[str, Any], *instead: str) -> ModuleType:
    """The module of a recipe, its threads set. UsageError for options that would have nothing to do: no result is
    asked for (`instead`: options that make up for --out and --run), or nothing is there to resume."""
    if all(options[key] is None for key in ("out", "run_folder", *instead)):
        *names, last = ("--out", "--run", *(f"--{key.replace('_', '-')}" for key in instead))
        raise click.UsageError(f"expected {', '.join(names)} or {last}")
    if options["resume"] and options["run_folder"] is None:
        raise click.UsageError("--resume: expected together with --run")
    found = trainer(name)
    use_threads(options["threads"])
    return found


def reading_options(command: F) -> F:
    """How recordings become frames."""
    for option in (
        click.option("--select", type=Indices(), help="Which features or I/Q pairs make a frame, such as 0-27,36-63."),
        click.option(
            "--leave-out-damaged", is_flag=True, help="Leave out frames with NaN or infinity instead of refusing."
        ),
        click.option(
            "--max-gap", type=FiniteRange(0.0, min_open=True), help="Seconds that the grid bridges. [default: 1]"
        ),
        click.option("--grid", type=FiniteRange(0.0, min_open=True), help="Put frames on a grid of so many a second."),
    ):
        command = option(command)
    return command


def reading_of(train: ModuleType, options: dict[str, Any]) -> Any:
    """Takes the switches of `reading_options` out of `options`."""
    grid, max_gap, select = (options.pop(name) for name in ("grid", "max_gap", "select"))
    if grid is None and max_gap is not None:
        raise click.UsageError("--max-gap: expected together with --grid")
    period = None if grid is None else max(1, round(1e6 / grid))
    gap = None if period is None else max(period, round((max_gap or 1.0) * 1e6))
    if period is not None and gap is not None and gap > (most := min(MAX_GAP, MAX_DUE * period)):
        raise click.UsageError(f"--max-gap: expected at most {most / 1e6:g} with --grid {grid:g}, found {gap / 1e6:g}")
    return train.Reading(
        select=None if select is None else tuple(select),
        period_us=period,
        max_gap_us=gap,
        damaged=options.pop("leave_out_damaged"),
    )
