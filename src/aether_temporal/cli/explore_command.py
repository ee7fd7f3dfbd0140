"""aether explore recording, attention, embeddings, confusion, drift"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console

from aether_temporal import TemporalModel
from aether_temporal._internal.interruption import interruptible
from aether_temporal.recordings import Sources
from aether_temporal.running.result import WINDOW

from .enroll_command import enroll_option, enrolled, stored_gallery
from .options import MEMORY, expect_memory, hints_of, json_option, model_argument, open_model, recording_options
from .output import console, print_json, quantity, table

if TYPE_CHECKING:
    from aether_temporal._internal.figures import Picture

F = TypeVar("F", bound=Callable[..., Any])

_WINDOW = 100
"""Default length of a window that is drawn as a point."""


@click.group("explore")
def command() -> None:
    """Draw a recording, what a model attends to and confuses, where it places identities, and how sessions differ.

    The ending of --out chooses the format: .png, .svg, or .html, a self-contained page with the figures in a table.
    """


def _output(function: F) -> F:
    option = click.option(
        "-o",
        "--out",
        "output",
        type=click.Path(),
        required=True,
        help="Write the picture to this file, ending in .png, .svg or .html.",
    )
    return option(function)


def _choice(function: F) -> F:
    return click.option("--recording", "choice", metavar="NAME", help="Name or index of the recording in the file.")(
        function
    )


def _recordings(function: F) -> F:
    return click.argument("recordings", nargs=-1, required=True, type=click.Path(), metavar="RECORDINGS...")(function)


def _sessions(function: F) -> F:
    return click.option(
        "--session", "sessions", multiple=True, help="Use only recordings of this session; may be repeated."
    )(function)


def _window(default: int | None, text: str) -> Callable[[F], F]:
    return click.option(
        "--window", type=click.IntRange(min=1), default=default, show_default=default is not None, help=text
    )


def _begin(model: str, output: str) -> tuple[TemporalModel, int]:
    """Checks the output before any work. Returns the model and its context."""
    from aether_temporal._internal.figures import check_output

    check_output(output)
    opened = open_model(model)
    what = f"a stream with a context of {quantity(opened.default_context)} frames"
    expect_memory(opened.memory().ram, what, MEMORY, "use a blob that states a shorter history")
    return opened, opened.default_context


def _finish(picture: Picture, output: str, document: dict[str, Any], as_json: bool) -> None:
    from aether_temporal._internal.figures import write

    click.get_current_context().with_resource(interruptible())  # what is written is also printed
    remarks = write(picture, output)
    if as_json:
        print_json({"picture": output, **document})
        return
    out = console()
    _print_table(out, picture.table)
    for line in (*picture.lines, *remarks):
        out.print(line)
    out.print(f"wrote {output}")


def _print_table(out: Console, rows: Sequence[Sequence[str]]) -> None:
    heads, *lines = rows
    shown = table(heads[0], *(f">{head}" for head in heads[1:]))
    for line in lines:
        shown.add_row(*line)
    out.print(shown)


@command.command("recording")
@click.argument("file", type=click.Path())
@_choice
@recording_options
@_output
@json_option
def recording_(file: str, choice: str | None, output: str, as_json: bool, format_: str | None, **reading: Any) -> None:
    """Draw the recording in FILE: amplitude over time and subcarriers, labels, and how often frames came."""
    from aether_temporal._internal.figures import check_output
    from aether_temporal.explore.recording_figure import amplitude_map, recording_picture

    check_output(output)
    found = amplitude_map(Sources([file], format=format_, hints=hints_of(reading)).one(choice))
    _finish(recording_picture(found), output, found.document(), as_json)


@command.command("attention")
@model_argument
@click.argument("recording", type=click.Path())
@_choice
@click.option("--query", type=int, help="Show the weights of this frame; negative from the end. [default: the last]")
@click.option(
    "--layer", "layers", type=click.IntRange(min=0), multiple=True, help="Draw only this layer; may be repeated."
)
@click.option(
    "--head", "heads", type=click.IntRange(min=0), multiple=True, help="Draw only this head; may be repeated."
)
@_output
@json_option
def attention(model: str, recording: str, output: str, as_json: bool, **options: Any) -> None:
    """Draw which frames each frame of RECORDING attends to, by layer and head."""
    opened, context = _begin(model, output)
    from aether_temporal.explore.attention_figure import attention_picture
    from aether_temporal.explore.attention_weights import attention_of

    found = attention_of(
        opened,
        Sources([recording]).one(options["choice"]),
        query=options["query"],
        context=context,
    )
    _finish(attention_picture(found, options["layers"], options["heads"]), output, found.document(), as_json)


@command.command("embeddings")
@model_argument
@_recordings
@click.option(
    "--gallery-session", help="Enrol the identities from this session. [default: the first recording's session]"
)
@_sessions
@_window(_WINDOW, "Frames in a window, which is a point of the map.")
@_output
@json_option
def embeddings(
    model: str, recordings: tuple[str, ...], output: str, as_json: bool, sessions: tuple[str, ...], **options: Any
) -> None:
    """Draw a map of identities by their embeddings: principal components of a gallery, and a probe.

    Each of RECORDINGS needs an identity. The first may be a gallery that `aether enroll` wrote. MODEL needs an
    embedding.
    """
    opened, context = _begin(model, output)
    from aether_temporal.explore.embedding_map import embedding_picture, map_embeddings

    gallery = stored_gallery(recordings[0])
    if gallery is not None and options["gallery_session"] is not None:
        raise click.UsageError(f"--gallery-session: expected without a gallery file, found {recordings[0]}")
    files = recordings if gallery is None else recordings[1:]
    found = map_embeddings(
        opened,
        Sources(files, sessions=sessions) if files else (),
        gallery=gallery,
        gallery_session=options["gallery_session"],
        window=options["window"],
        context=context,
    )
    _finish(embedding_picture(found), output, found.document(), as_json)


def _scored(function: F) -> F:
    """Adds the options of the pictures that compare predictions with labels."""
    for option in (json_option, _output, enroll_option, _sessions, _recordings):
        function = option(function)
    return model_argument(function)


def _score(
    figures: Callable[..., Any],
    drawn: Callable[[Any], Picture],
    model: str,
    recordings: tuple[str, ...],
    output: str,
    as_json: bool,
    sessions: tuple[str, ...],
    **options: Any,
) -> None:
    opened, context = _begin(model, output)
    found = figures(
        opened,
        Sources(recordings, sessions=sessions),
        window=options["window"],
        gallery=enrolled(opened, options["enroll"], context=context),
        context=context,
    )
    _finish(drawn(found), output, found.document(), as_json)


@command.command("confusion")
@_scored
@_window(None, f"Count windows of this many frames, such as {WINDOW}. [default: count frames]")
def confusion(**options: Any) -> None:
    """Draw the confusion matrix of MODEL over RECORDINGS that have labels."""
    from aether_temporal.explore.confusion import confusion_of, confusion_picture

    _score(confusion_of, confusion_picture, **options)


@command.command("drift")
@_scored
@_window(_WINDOW, "Frames in a window, which is a point in time.")
def drift(**options: Any) -> None:
    """Draw how RECORDINGS differ by session: features, amplitude, confidence, margin, accuracy."""
    from aether_temporal.explore.drift import drift_of
    from aether_temporal.explore.drift_figure import drift_picture

    _score(drift_of, drift_picture, **options)
