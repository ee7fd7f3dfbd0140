"""aether train activity|demo|prepare"""

from __future__ import annotations

import importlib
from typing import Any

import click

from .output import quantity
from .recipes import about, reading_of, reading_options, run_options, trainer, training_options, use_threads


@click.group("train")
def command() -> None:
    """Train models; they are scored on recordings that training has not seen."""


@command.command("activity")
@click.option(
    "--data", type=click.Path(exists=True), required=True, help="Labelled recordings: a file, or what `prepare` made."
)
@click.option("--out", type=click.Path(dir_okay=False), help="The blob to write.")
@click.option("--train-session", "train_sessions", multiple=True, help="Train on this session. [default: the first]")
@click.option("--test-session", "test_sessions", multiple=True, help="Test on this session. [default: all others]")
@click.option(
    "--test-person", "test_persons", multiple=True, help="Hold this person out instead, and train on all others."
)
@click.option(
    "--cross-validate",
    type=click.IntRange(2),
    metavar="FOLDS",
    help="Score every recording of the training session(s) held out.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Train with so many seeds, from --seed on.",
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
@reading_options
@run_options
@training_options
def activity(data: str, **options: Any) -> None:
    """Activities: trained on one session (or all persons but those held out), scored on the others."""
    train = trainer("activity_command")
    use_threads(options["threads"])
    if (options["out"] is None) == (options["cross_validate"] is None) and options["run_folder"] is None:
        raise click.UsageError("expected --out, --run or --cross-validate")
    if options["resume"] and options["run_folder"] is None:
        raise click.UsageError("--resume: expected together with --run")
    reading = reading_of(train, options)
    with about(data):
        train.main(data, reading, click.echo, **options)


@command.command("prepare")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--out", type=click.Path(), required=True, help="The folder to make.")
@reading_options
def prepare(files: tuple[str, ...], out: str, **options: Any) -> None:
    """Put recordings of FILES into a folder from which training maps them: a corpus need not fit in memory."""
    train = importlib.import_module("aether_temporal.train.corpus")
    rename = importlib.import_module("aether_temporal.train.labels").without_side
    reading = reading_of(train, options)
    corpus = train.prepare(files, out, rename=rename, reading=reading)
    click.echo(
        f"{out}: {len(corpus)} recordings, {quantity(corpus.frames)} frames of {corpus.width} features, "
        f"classes {', '.join(corpus.classes) or 'none'}"
    )


@command.command("demo")
@click.option(
    "--recordings", type=click.IntRange(1), default=600, show_default=True, help="Simulated recordings to train on."
)
@click.option("--test-recordings", type=click.IntRange(1), default=100, show_default=True, help="Unseen ones to score.")
@click.option("--out", type=click.Path(dir_okay=False), required=True, help="The blob to write.")
@training_options
def demo(
    recordings: int, test_recordings: int, out: str, seed: int, steps: int | None, threads: int, quiet: bool
) -> None:
    """The demo's classes: trained on simulated recordings, scored on simulated rooms and persons it has not met."""
    train = trainer("demo")
    use_threads(threads)
    _, scores = train.train_demo(
        out,
        seed=seed,
        recordings=recordings,
        test_recordings=test_recordings,
        config=train.FitConfig(steps=steps) if steps else None,
        show_progress=not quiet,
    )
    click.echo(f"unseen simulated recordings: {scores}")


@command.command("reid")
@click.option(
    "--data",
    type=click.Path(exists=True),
    required=True,
    help="Recordings that know their person and session: a file, or what `prepare` made.",
)
@click.option("--out", type=click.Path(dir_okay=False), help="The blob to write.")
@click.option(
    "--held-out",
    type=click.IntRange(0),
    default=15,
    show_default=True,
    help="Persons, drawn by the seed, that training does not meet. 0: train on all.",
)
@click.option(
    "--train-on",
    "captures",
    type=click.Choice(["gallery", "all"]),
    default="gallery",
    show_default=True,
    help="Captures of the other persons: those of the first session, or all.",
)
@click.option(
    "--inside-galleries",
    is_flag=True,
    help="Use gallery captures alone, their beginning as the gallery, their end as the probe: to choose settings by.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Train with so many seeds, from --seed on; only the first is written to --out.",
)
@reading_options
@run_options
@training_options
def reid(data: str, **options: Any) -> None:
    """Persons told apart by windows of frames: gallery against probe, persons trained on and persons unseen."""
    train = trainer("reid_command")
    use_threads(options["threads"])
    if options["out"] is None and options["run_folder"] is None:
        raise click.UsageError("expected --out or --run")
    if options["resume"] and options["run_folder"] is None:
        raise click.UsageError("--resume: expected together with --run")
    reading = reading_of(train, options)
    with about(data):
        train.main(data, reading, click.echo, **options)
