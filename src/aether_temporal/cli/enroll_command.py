"""aether enroll MODEL RECORDING… -o GALLERY, and --enroll of other subcommands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from aether_temporal import TemporalModel
from aether_temporal.cache_types import Dtype
from aether_temporal.running import Gallery, default_context, enrol
from aether_temporal.running.gallery import is_gallery, recordings_to_enrol

from .options import NewFile, json_option, model_argument, open_model, select_option, stream_options
from .output import print_json

F = TypeVar("F", bound=Callable[..., Any])


@click.command("enroll")
@model_argument
@click.argument("sources", nargs=-1, required=True, metavar="RECORDING...")
@click.option("-o", "--output", type=NewFile(), required=True, help="The gallery to write (.npz).")
@click.option("--session", help="Enrol only the recordings of this session.")
@stream_options
@select_option
@json_option
def command(
    model: str,
    sources: tuple[str, ...],
    output: str,
    session: str | None,
    context: int | None,
    dtype: Dtype,
    select: Sequence[int] | None,
    as_json: bool,
) -> None:
    """Enrol identities: write an embedding of each to a gallery for `aether run --enroll`.

    RECORDING is NAME=FILE, or a file that names the subject of its recordings. MODEL must have an embedding.
    """
    opened = open_model(model)
    gallery = enrol(
        opened,
        recordings_to_enrol(sources, session),
        context=context or default_context(opened),
        dtype=dtype,
        select=select,
    )
    gallery.save(output)
    if as_json:
        print_json({"gallery": output, "identities": list(gallery.names), "embedding_dim": opened.embed_dim})
    else:
        click.echo(f"{output}: {len(gallery.names)} identities, embeddings of {opened.embed_dim} values")


def enroll_options(function: F) -> F:
    """--enroll and --enroll-session."""
    function = click.option("--enroll-session", help="Enrol only the recordings of this session.")(function)
    return click.option(
        "--enroll",
        multiple=True,
        metavar="GALLERY",
        help="Identities instead of classes: a gallery by `aether enroll`, recordings with subjects, or NAME=FILE; may "
        "be repeated.",
    )(function)


def check_enroll(sources: Sequence[str], session: str | None) -> None:
    """UsageError for --enroll-session without --enroll."""
    if session is not None and not sources:
        raise click.UsageError("--enroll-session: expected with --enroll, found alone")


def enrolled(model: TemporalModel, sources: Sequence[str], session: str | None, **how: Any) -> Gallery | None:
    """The gallery that --enroll names; None without --enroll. `how`: arguments of `enrol`.

    UsageError: a gallery together with other sources, or with a session.
    """
    if not sources:
        return None
    for source in sources:
        stored = None if "=" in source else stored_gallery(source)
        if stored is None:
            continue
        if len(sources) > 1:
            raise click.UsageError(f"--enroll: expected a gallery alone, or recordings; found {source} among others")
        if session is not None:
            raise click.UsageError(f"--enroll-session: expected with recordings, found the gallery {source}")
        return stored
    return enrol(model, recordings_to_enrol(sources, session), **how)


def stored_gallery(path: str) -> Gallery | None:
    """The gallery in a file; None where the file is not one."""
    try:
        stored = is_gallery(path)
    except OSError:  # the reader of recordings reports it
        return None
    return Gallery.load(path) if stored else None
