"""aether calibrate MODEL RECORDING --out BLOB"""

from __future__ import annotations

from typing import Any

import click

from aether_temporal.bundled import model_path
from aether_temporal.recordings import open_recording
from aether_temporal.running.motion_threshold import calibrated

from .options import NewFile, hints_of, layout_options, model_argument
from .output import say


@click.command("calibrate")
@model_argument
@click.argument("recording", type=click.Path())
@click.option("--out", type=NewFile(), required=True, help="The blob to write.")
@layout_options
def command(model: str, recording: str, out: str, **layout: Any) -> None:
    """Fit MODEL, which says whether somebody moves, to a room. RECORDING: ten seconds of it while nobody moves;
    the first two are left out.

    The blob written is MODEL with the threshold of this room in place of its own.
    """
    found = calibrated(model_path(model), open_recording(recording, hints=hints_of(layout)))
    found.blob.save(out)
    for note in found.notes:
        say(note)
    say(
        f"{out}: threshold moved by {found.threshold:+.2f} after {found.frames} predictions in a quiet room, of which "
        f"{found.before} were false alarms"
    )
