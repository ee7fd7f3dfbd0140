"""aether train activity|motion|reid|demo|distill|prepare|verify"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

from .options import label_option, layout_options, model_argument, subcarriers_option
from .output import quantity, say
from .recipes import (
    NoRecipe,
    about,
    config_option,
    data_option,
    override,
    recipe,
    recipe_options,
    result_options,
    resumable,
    seeds_option,
    settings_of,
)


@click.group("train")
def command() -> None:
    """Train models; they are scored on recordings that training has not seen."""


@command.command("activity")
@data_option("Labelled recordings")
@click.option(
    "--test",
    type=click.Path(),
    multiple=True,
    help="Recordings to test on, named as those of --data; training then uses all of --data. May be repeated.",
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
    "--calibrate/--no-calibrate",
    default=None,
    help="Train once more without every fifth recording, and scale the logits so that confidence is accuracy there.",
)
@seeds_option
@label_option
@layout_options
@subcarriers_option
@recipe_options
def activity(data: tuple[str, ...], **options: Any) -> None:
    """Activities: trained on one session (or all subjects but those held out), scored on the others; of one session,
    on a part held out."""
    train = recipe("activity_command", options, "cross_validate")
    if options["cross_validate"] is not None and (options["out"] is not None or options["seeds"] > 1):
        raise click.UsageError("--cross-validate: expected without --out and --seeds, for it makes no blob")
    made, reading, run = settings_of(train.Recipe(), options)
    made = override(
        made,
        calibrate=options.pop("calibrate"),
        fit=override(made.fit, steps=options.pop("steps")),
    )
    with about((*data, *options["test"])), resumable(options["run_folder"]):
        train.main(data, made, reading, run, say, **options)


@command.command("motion")
@data_option("Recordings labelled at rest or otherwise")
@recipe_options
def motion(data: tuple[str, ...], **options: Any) -> None:
    """Is somebody moving? Trained on the first session, scored on the other sessions and on simulated rooms."""
    train = recipe("motion_recipe", options)
    made, reading, run = settings_of(train.Recipe(), options)
    made = override(made, fit=override(made.fit, steps=options.pop("steps")))
    with about(data), resumable(options["run_folder"]):
        train.main(data, made, reading, run, say, **options)


@command.command("reid")
@data_option("Recordings with subject and session")
@result_options
def reid(data: tuple[str, ...], **options: Any) -> None:
    """Identities told apart by windows of frames: gallery against probe, each day's identities held out in turn."""
    train = recipe("reid_command", options)
    made, reading, run = settings_of(train.Recipe(), options)
    with about(data):
        train.main(data, made, reading, run, say, **options)


@command.command("demo")
@recipe_options
def demo(**options: Any) -> None:
    """The demo's classes: trained on simulated recordings, scored on simulated rooms and subjects it has not met."""
    train = recipe("demo_recipe", options)
    made, _, run = settings_of(train.Recipe(), options)
    made = override(made, fit=override(made.fit, steps=options.pop("steps")))
    with resumable(options["run_folder"]):
        train.main(made, run, say, **options)


@command.command("distill")
@model_argument
@data_option("Recordings like those that MODEL was trained on; labels are not used")
@recipe_options
def distill(model: str, data: tuple[str, ...], **options: Any) -> None:
    """Give the weights of MODEL a sparse attention pattern, and teach them to predict as MODEL does. By default the
    pyramid; [pattern] in --config says another."""
    train = recipe("distillation", options)
    made, reading, run = settings_of(train.Recipe(), options)
    changes = override(made.distillation, steps=options.pop("steps"))
    made = override(made, distillation=changes)
    with about(data), resumable(options["run_folder"]):
        train.main(model, data, made, reading, run, say, **options)


@command.command("prepare")
@click.argument("files", nargs=-1, required=True, type=click.Path())
@click.option("--out", type=click.Path(), required=True, help="The folder to make.")
@config_option
@label_option
def prepare(files: tuple[str, ...], out: str, **options: Any) -> None:
    """Put recordings of FILES into a folder from which training maps them: a dataset need not fit in memory."""
    prepared, labels = (importlib.import_module(f"aether_temporal.train.{name}") for name in ("prepared", "reading"))
    _, reading, _ = settings_of(NoRecipe(), options)
    dataset = prepared.prepare(files, out, rename=labels.without_side, reading=reading)
    for note in dataset.notes:
        say(note)
    say(
        f"{out}: {len(dataset)} recordings, {quantity(dataset.frames)} frames of {dataset.width} features, "
        f"classes {', '.join(dataset.classes) or 'none'}"
    )
    if not dataset.classes and all(recording.subject is None for recording in dataset):
        say("warning: no recording has labels or a subject: state them by --label-from or in a manifest")


@command.command("verify")
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
def verify(folder: str) -> None:
    """Read all of FOLDER, which `prepare` made, and compare it with its checksums. Training does so by itself where it
    takes but a moment (up to 256 MiB)."""
    dataset = importlib.import_module("aether_temporal.train.prepared").Prepared.open(Path(folder))
    dataset.verify()
    say(f"{folder}: {len(dataset)} recordings, {quantity(dataset.frames)} frames: whole")
