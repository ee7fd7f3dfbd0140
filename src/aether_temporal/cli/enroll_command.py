"""aether enroll MODEL RECORDING… -o GALLERY, and --enroll of other subcommands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from aether_temporal import TemporalModel
from aether_temporal.recordings import Hints
from aether_temporal.recordings.recording_file import NOTHING
from aether_temporal.running import Gallery, enrol
from aether_temporal.running.gallery import is_gallery, recordings_to_enrol

from .options import (
    MEMORY,
    NewFile,
    expect_memory,
    json_option,
    model_argument,
    open_model,
)
from .output import print_json, quantity, say

F = TypeVar("F", bound=Callable[..., Any])


@click.command("enroll")
@model_argument
@click.argument("sources", nargs=-1, required=True, type=click.Path(), metavar="RECORDING...")
@click.option("-o", "--out", "output", type=NewFile(), required=True, help="The gallery to write (.npz).")
@click.option("--session", help="Enrol only the recordings of this session.")
@json_option
def command(
    model: str,
    sources: tuple[str, ...],
    output: str,
    session: str | None,
    as_json: bool,
) -> None:
    """Enrol identities: write an embedding of each to a gallery for `aether run --enroll`.

    RECORDING is NAME=FILE, or a file that names the subject of its recordings. MODEL must have an embedding; context
    and subcarriers are those that its blob states.
    """
    opened = open_model(model)
    context = opened.default_context
    what = f"a stream with a context of {quantity(context)} frames"
    expect_memory(opened.memory(context).ram, what, MEMORY, "use a blob that states a shorter history")
    gallery = enrol(opened, recordings_to_enrol(sources, session), context=context)
    gallery.save(output)
    if as_json:
        print_json({"gallery": output, "identities": list(gallery.names), "embedding_dim": opened.embed_dim})
    else:
        say(f"{output}: {len(gallery.names)} identities, embeddings of {opened.embed_dim} values")


def enroll_option(function: F) -> F:
    """--enroll"""
    return click.option(
        "--enroll",
        type=click.Path(),
        multiple=True,
        metavar="GALLERY",
        help="Identities instead of classes: a gallery of `aether enroll`, recordings with identities, or NAME=FILE; "
        "repeatable.",
    )(function)


def enrolled(
    model: TemporalModel,
    sources: Sequence[str],
    *,
    hints: Hints = NOTHING,
    **how: Any,
) -> Gallery | None:
    """The identities that --enroll names, None without it; `how` as `enrol` takes it.

    UsageError: a gallery among other sources.
    """
    if not sources:
        return None
    for source in sources:
        stored = None if "=" in source else stored_gallery(source)
        if stored is None:
            continue
        if len(sources) > 1:
            raise click.UsageError(f"--enroll: expected one gallery or recordings, found gallery {source} and others")
        return stored
    return enrol(model, recordings_to_enrol(sources, None, hints), **how)


def stored_gallery(path: str) -> Gallery | None:
    """The gallery in a file, None where the file is something else."""
    try:
        stored = is_gallery(path)
    except OSError:  # the reader of recordings reports it
        return None
    return Gallery.load(path) if stored else None
