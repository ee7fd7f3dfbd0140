"""aether train activity|reid|demo|prepare|verify"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

from .output import quantity
from .recipes import about, reading_of, reading_options, recipe, recipe_options, seeds_option


@click.group("train")
def command() -> None:
    """Train models; they are scored on recordings that training has not seen."""


@command.command("activity")
@click.option(
    "--data", type=click.Path(exists=True), required=True, help="Labelled recordings: a file, or what `prepare` made."
)
@click.option("--train-session", "train_sessions", multiple=True, help="Train on this session. [default: the first]")
@click.option("--test-session", "test_sessions", multiple=True, help="Test on this session. [default: all others]")
@click.option(
    "--test-subject", "test_subjects", multiple=True, help="Hold this subject out instead, and train on all others."
)
@click.option(
    "--cross-validate",
    type=click.IntRange(2),
    metavar="FOLDS",
    help="Score every recording of the training session(s) held out; makes no blob.",
)
@click.option(
    "--balance",
    type=click.Choice(["none", "weights", "sampling"]),
    default="none",
    show_default=True,
    help="Against classes of unlike frequency: rare ones weigh more, or are drawn more often.",
)
@click.option(
    "--calibrate/--no-calibrate",
    default=True,
    show_default=True,
    help="Train once more without every fifth recording, and scale the logits so that confidence is right there.",
)
@seeds_option
@reading_options
@recipe_options
def activity(data: str, **options: Any) -> None:
    """Activities: trained on one session (or all subjects but those held out), scored on the others."""
    train = recipe("activity_command", options, "cross_validate")
    if options["cross_validate"] is not None and (options["out"] is not None or options["seeds"] > 1):
        raise click.UsageError("--cross-validate: expected without --out and --seeds, for it makes no blob")
    reading = reading_of(train, options)
    with about(data):
        train.main(data, reading, click.echo, **options)


@command.command("reid")
@click.option(
    "--data",
    type=click.Path(exists=True),
    required=True,
    help="Recordings with subject and session: a file, or what `prepare` made.",
)
@click.option(
    "--held-out",
    type=click.IntRange(0),
    default=15,
    show_default=True,
    help="Identities, drawn by the seed, that training does not meet. 0: train on all.",
)
@click.option(
    "--train-on",
    "captures",
    type=click.Choice(["gallery", "all"]),
    default="gallery",
    show_default=True,
    help="Captures of the other identities: those of the first session, or all.",
)
@click.option(
    "--inside-galleries",
    is_flag=True,
    help="Use gallery captures alone, their beginning as the gallery, their end as the probe: to choose settings by.",
)
@seeds_option
@reading_options
@recipe_options
def reid(data: str, **options: Any) -> None:
    """Identities told apart by windows of frames: gallery against probe, identities trained on and unseen."""
    train = recipe("reid_command", options)
    reading = reading_of(train, options)
    with about(data):
        train.main(data, reading, click.echo, **options)


@command.command("demo")
@click.option(
    "--recordings", type=click.IntRange(1), default=600, show_default=True, help="Simulated recordings to train on."
)
@click.option("--test-recordings", type=click.IntRange(1), default=100, show_default=True, help="Unseen ones to score.")
@recipe_options
def demo(**options: Any) -> None:
    """The demo's classes: trained on simulated recordings, scored on simulated rooms and subjects it has not met."""
    recipe("demo_recipe", options).main(click.echo, **options)


@command.command("prepare")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--out", type=click.Path(), required=True, help="The folder to make.")
@reading_options
def prepare(files: tuple[str, ...], out: str, **options: Any) -> None:
    """Put recordings of FILES into a folder from which training maps them: a dataset need not fit in memory."""
    prepared, reading_module = (
        importlib.import_module(f"aether_temporal.train.{name}") for name in ("prepared", "reading")
    )
    reading = reading_of(reading_module, options)
    dataset = prepared.prepare(files, out, rename=reading_module.without_side, reading=reading)
    click.echo(
        f"{out}: {len(dataset)} recordings, {quantity(dataset.frames)} frames of {dataset.width} features, "
        f"classes {', '.join(dataset.classes) or 'none'}"
    )


@command.command("verify")
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
def verify(folder: str) -> None:
    """Read all of FOLDER, which `prepare` made, and compare it with its checksums. Training does so by itself where it
    takes but a moment (up to 256 MiB)."""
    dataset = importlib.import_module("aether_temporal.train.prepared").Prepared.open(Path(folder))
    dataset.verify()
    click.echo(f"{folder}: {len(dataset)} recordings, {quantity(dataset.frames)} frames: whole")
