"""aether train activity|demo"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import click

from aether_temporal.recordings import MissingExtraError, RecordingError

F = TypeVar("F", bound=Callable[..., Any])


def _trainer(name: str) -> ModuleType:
    """The module that trains, or a message that says what to install."""
    try:
        importlib.import_module("torch")
    except ImportError:
        raise MissingExtraError(
            "training needs torch, which is not installed: pip install 'aether-temporal[train]'"
        ) from None
    return importlib.import_module(f"aether_temporal.train.{name}")


def _options(command: F) -> F:
    threads = "Threads of torch; the weights depend on it."
    for option in (
        click.option("--quiet", is_flag=True, help="No progress bar."),
        click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True, help=threads),
        click.option("--steps", type=click.IntRange(1), help="Steps of the optimiser. [default: as shipped]"),
        click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True),
        click.option("--out", type=click.Path(dir_okay=False), required=True, help="The blob to write."),
    ):
        command = option(command)
    return command


@click.group("train")
def command() -> None:
    """Train the shipped models again; they are scored on sessions or rooms that training has not seen."""


@command.command("activity")
@click.option(
    "--data", type=click.Path(exists=True, dir_okay=False), required=True, help="The activity recordings (.npz)."
)
@_options
def activity(data: str, out: str, seed: int, steps: int | None, threads: int, quiet: bool) -> None:
    """Activities: trained on the first session of the recordings, scored on all of them."""
    trainer = _trainer("activity")
    _threads(threads)
    config = trainer.FitConfig(steps=steps) if steps else trainer.FitConfig()
    try:
        report = trainer.train_activity(data, out, seed=seed, config=config, show_progress=not quiet)
    except ValueError as error:  # recordings that no model can be trained on
        raise RecordingError(f"{data}: {error}") from None
    for name, scores in report.scores.items():
        click.echo(f"{name}: {scores}")


@command.command("demo")
@click.option(
    "--recordings", type=click.IntRange(1), default=600, show_default=True, help="Simulated recordings to train on."
)
@click.option("--test-recordings", type=click.IntRange(1), default=100, show_default=True, help="Unseen ones to score.")
@_options
def demo(
    recordings: int, test_recordings: int, out: str, seed: int, steps: int | None, threads: int, quiet: bool
) -> None:
    """The demo's classes: trained on simulated recordings, scored on simulated rooms and persons it has not met."""
    trainer = _trainer("demo")
    _threads(threads)
    _, scores = trainer.train_demo(
        out,
        seed=seed,
        recordings=recordings,
        test_recordings=test_recordings,
        config=trainer.FitConfig(steps=steps) if steps else None,
        show_progress=not quiet,
    )
    click.echo(f"unseen simulated recordings: {scores}")


def _threads(count: int) -> None:
    importlib.import_module("torch").set_num_threads(count)
