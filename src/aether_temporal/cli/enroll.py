"""aether enroll MODEL RECORDING… -o GALLERY"""

from __future__ import annotations

from typing import Any

import click

from aether_temporal.running import default_context, enrol
from aether_temporal.running.gallery import recordings_to_enrol

from .files import NewFile
from .models import open_model
from .options import json_option, model_argument, select_option, stream_options
from .output import print_json


@click.command("enroll")
@model_argument
@click.argument("sources", nargs=-1, required=True, metavar="RECORDING...")
@click.option("-o", "--output", type=NewFile(), required=True, help="The gallery to write (.npz).")
@click.option("--session", help="Of files with several recordings, only those of this session.")
@stream_options
@select_option
@json_option
def command(
    model: str,
    sources: tuple[str, ...],
    output: str,
    session: str | None,
    context: int | None,
    dtype: Any,
    select: Any,
    as_json: bool,
) -> None:
    """Enrol persons: write one embedding for each to a gallery that `aether run --enroll` takes.

    RECORDING is NAME=FILE, or a file whose recordings know their person. MODEL needs an embedding.
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
        print_json({"gallery": output, "persons": list(gallery.names), "embedding_dim": opened.embed_dim})
    else:
        click.echo(f"{output}: {len(gallery.names)} persons, embeddings of {opened.embed_dim} values")
