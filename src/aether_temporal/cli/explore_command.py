"""aether explore attention, embeddings, confusion, drift"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console

from aether_temporal import TemporalModel
from aether_temporal.recordings import open_recording
from aether_temporal.running import default_context
from aether_temporal.running.result import WINDOW

from .enroll_command import check_enroll, enroll_options, enrolled, stored_gallery
from .options import format_option, json_option, model_argument, open_model, select_option, stream_options
from .output import console, print_json, table

if TYPE_CHECKING:
    from aether_temporal.explore.files import Picture

F = TypeVar("F", bound=Callable[..., Any])

_POINT = 100
"""Frames a window, where a point or a line needs one."""


@click.group("explore")
def command() -> None:
    """Pictures: what a model looks at, where it puts persons, what it confuses, how sessions differ.

    By the ending of --output: .png, .svg, or .html, one page that needs nothing else.
    """


def _output(function: F) -> F:
    option = click.option(
        "-o", "--output", type=click.Path(), required=True, help="The picture: a file ending in .png, .svg or .html."
    )
    return option(function)


def _recordings(function: F) -> F:
    return click.argument("recordings", nargs=-1, required=True, metavar="RECORDINGS...")(function)


def _sessions(function: F) -> F:
    return click.option(
        "--session", "sessions", multiple=True, help="Only recordings of this session; may be repeated."
    )(function)


def _window(default: int | None, text: str) -> Callable[[F], F]:
    return click.option(
        "--window", type=click.IntRange(min=1), default=default, show_default=default is not None, help=text
    )


def _lag(function: F) -> F:
    return click.option(
        "--lag",
        type=click.IntRange(0, 10**9),
        help="Compare an answer with the label of so many frames before. [default: the delay the blob states, else 0]",
    )(function)


def _begin(model: str, output: str, options: dict[str, Any]) -> tuple[TemporalModel, dict[str, Any]]:
    """The model, and what all pictures take of the options. What is wrong with the output is said before any work."""
    from aether_temporal.explore.files import check_output

    check_output(output)
    opened = open_model(model)
    context = options["context"] or default_context(opened)
    return opened, {"context": context, "dtype": options["dtype"], "select": options["select"]}


def _finish(picture: Picture, output: str, document: dict[str, Any], as_json: bool) -> None:
    from aether_temporal.explore.files import write

    strange = write(picture, output)
    if as_json:
        print_json({"picture": output, **document})
        return
    out = console()
    _print_table(out, picture.table)
    for line in (*picture.lines, *strange):
        out.print(line)
    out.print(f"drawn to {output}")


def _print_table(out: Console, rows: Sequence[Sequence[str]]) -> None:
    heads, *lines = rows
    shown = table(heads[0], *(f">{head}" for head in heads[1:]))
    for line in lines:
        shown.add_row(*line)
    out.print(shown)


@command.command("attention")
@model_argument
@click.argument("recording", type=click.Path())
@click.option("--recording", "choice", metavar="NAME", help="Which recording of the file, by name or index.")
@click.option("--query", "--frame", type=int, help="The frame whose weights are shown one by one. [default: the last]")
@click.option("--layer", "layers", type=click.IntRange(min=0), multiple=True, help="Only this layer; may be repeated.")
@click.option("--head", "heads", type=click.IntRange(min=0), multiple=True, help="Only this head; may be repeated.")
@_output
@stream_options
@select_option
@format_option
@json_option
def attention(model: str, recording: str, output: str, as_json: bool, **options: Any) -> None:
    """Which frames each frame of RECORDING attends to, layer by layer and head by head."""
    opened, common = _begin(model, output, options)
    from aether_temporal.explore.attention import attend
    from aether_temporal.explore.attention_picture import attention_picture

    found = attend(
        opened,
        open_recording(recording, recording=options["choice"], format=options["format_"]),
        query=options["query"],
        **common,
    )
    _finish(attention_picture(found, options["layers"], options["heads"]), output, found.document(), as_json)


@command.command("embeddings")
@model_argument
@_recordings
@click.option("--gallery-session", help="Enrol the persons from this session. [default: that of the first recording]")
@_sessions
@_window(_POINT, "Frames a window, a point in the map.")
@_output
@stream_options
@select_option
@json_option
def embeddings(
    model: str, recordings: tuple[str, ...], output: str, as_json: bool, sessions: tuple[str, ...], **options: Any
) -> None:
    """A map of persons by their embeddings: principal components, gallery and probe marked.

    RECORDINGS know their person; the first may be a gallery that `aether enroll` wrote. MODEL needs an embedding.
    """
    opened, common = _begin(model, output, options)
    from aether_temporal.explore.embeddings import map_embeddings
    from aether_temporal.explore.embeddings_picture import embeddings_picture
    from aether_temporal.explore.sources import open_sources

    gallery = stored_gallery(recordings[0])
    if gallery is not None and options["gallery_session"] is not None:
        raise click.UsageError("--gallery-session: expected with recordings alone, found a gallery")
    files = recordings if gallery is None else recordings[1:]
    found = map_embeddings(
        opened,
        open_sources(files, sessions) if files else (),
        gallery=gallery,
        gallery_session=options["gallery_session"],
        window=options["window"],
        **common,
    )
    _finish(embeddings_picture(found), output, found.document(), as_json)


def _scored(function: F) -> F:
    """Options of the pictures that hold a model's answers against what is true."""
    for option in (json_option, select_option, stream_options, _output, _lag, enroll_options, _sessions, _recordings):
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
    check_enroll(options["enroll"], options["enroll_session"])
    opened, common = _begin(model, output, options)
    from aether_temporal.explore.sources import open_sources

    found = figures(
        opened,
        open_sources(recordings, sessions),
        window=options["window"],
        gallery=enrolled(opened, options["enroll"], options["enroll_session"], **common),
        lag=options["lag"],
        **common,
    )
    _finish(drawn(found), output, found.document(), as_json)


@command.command("confusion")
@_scored
@_window(None, f"Count windows of so many frames, such as {WINDOW}. [default: frames]")
def confusion(**options: Any) -> None:
    """What MODEL answers where something else is true: the confusion matrix over RECORDINGS that have labels."""
    from aether_temporal.explore.confusion import confuse
    from aether_temporal.explore.confusion_picture import confusion_picture

    _score(confuse, confusion_picture, **options)


@command.command("drift")
@_scored
@_window(_POINT, "Frames a window, a point over time.")
def drift(**options: Any) -> None:
    """How RECORDINGS change from session to session: features, gain, confidence, margin, accuracy."""
    from aether_temporal.explore.drift import drift as find_drift
    from aether_temporal.explore.drift_picture import drift_picture

    _score(find_drift, drift_picture, **options)
