"""aether quantise MODEL --data RECORDING… -o FILE"""

from __future__ import annotations

import click
import numpy as np
from numpy.typing import NDArray

from aether_temporal import WeightBlob
from aether_temporal.blob_tools import integer_cost, quantise
from aether_temporal.recordings import Sources
from aether_temporal.running.inputs import model_input

from .options import NewFile, model_argument, open_model
from .output import bytes_text, quantity, say


@click.command("quantise")
@model_argument
@click.option(
    "--data",
    "sources",
    multiple=True,
    required=True,
    type=click.Path(),
    metavar="RECORDING",
    help="Recordings that MODEL was trained on; may be repeated.",
)
@click.option("--session", help="Use only the recordings of this session.")
@click.option("-o", "--out", "output", type=NewFile(), required=True, help="The blob to write.")
def command(model: str, sources: tuple[str, ...], session: str | None, output: str) -> None:
    """Make a model in integers of MODEL, which must have the pyramid pattern, and say how far its outputs move.

    The recordings say how large the numbers inside become, so use what MODEL was trained on, not what it is tested on.
    """
    opened = open_model(model)
    recordings: list[NDArray[np.float32]] = []
    notes: set[str] = set()
    for recording in Sources(list(sources), sessions=() if session is None else (session,)):
        made = model_input(opened, recording)
        notes.update(made.notes)
        recordings.append(made.frames)
    for note in sorted(notes):
        say(f"note: {note}", err=True)
    before = WeightBlob.parse(opened.blob)
    after = quantise(before, recordings)
    cost = integer_cost(before, after, recordings)
    after.save(output)
    say(f"{output}: {bytes_text(len(after.serialize()))} in int8, from {bytes_text(len(opened.blob))}")
    say(
        f"{quantity(cost.frames)} frames of {len(recordings)} recordings: {100 * cost.changed:.2f} % of the "
        f"predictions change; logits move by {cost.logits:.1e} of the largest (root mean square)"
    )
    if cost.embeddings is not None:
        say(f"embeddings: cosine with those of MODEL {cost.embeddings:.4f} on average")
