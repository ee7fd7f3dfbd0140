"""The enrolled persons that --enroll and --enroll-session name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from aether_temporal import TemporalModel
from aether_temporal.running import Gallery
from aether_temporal.running.gallery import enrol, is_gallery, recordings_to_enrol

F = TypeVar("F", bound=Callable[..., Any])


def enroll_options(function: F) -> F:
    """--enroll and --enroll-session."""
    function = click.option("--enroll-session", help="Of a file of recordings, enrol only those of this session.")(
        function
    )
    return click.option(
        "--enroll",
        multiple=True,
        metavar="GALLERY",
        help="Persons instead of classes: what `aether enroll` wrote, recordings with persons, or NAME=FILE; may be "
        "repeated.",
    )(function)


def check_enroll(sources: Sequence[str], session: str | None) -> None:
    """UsageError, before any work, for a session of nothing."""
    if session is not None and not sources:
        raise click.UsageError("--enroll-session: expected with --enroll, found alone")


def enrolled(model: TemporalModel, sources: Sequence[str], session: str | None, **how: Any) -> Gallery | None:
    """What --enroll names, None for nothing; `how` as `enrol` takes it. UsageError: a gallery among others, or with a
    session to choose from it."""
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
    """The gallery in a file, None where it is something else."""
    try:
        stored = is_gallery(path)
    except OSError:  # the reader of recordings says it better
        return None
    return Gallery.load(path) if stored else None
