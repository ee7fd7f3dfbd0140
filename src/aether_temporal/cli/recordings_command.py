"""aether recordings FILE"""

from __future__ import annotations

import os

import click

from aether_temporal.recordings import list_recordings, recognise

from .options import format_option, json_option
from .output import console, print_json, table


@click.command("recordings")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@format_option
@json_option
def command(file: str, format_: str | None, as_json: bool) -> None:
    """List what recordings FILE holds: .npz and .npy, Espressif's CSI text, raw CSI frames, packet captures."""
    infos = list_recordings(file, format=format_)
    if as_json:
        entries = [
            {"index": i.index, "name": i.name, "frames": i.frames, "subject": i.subject, "session": i.session}
            for i in infos
        ]
        print_json({"file": os.fspath(file), "format": format_ or _format(file), "recordings": entries})
        return
    out = console()
    shown = table(">index", "name", ">frames", "subject", "session", title=f"{file} ({format_ or _format(file)})")
    for info in infos:
        shown.add_row(str(info.index), info.name, str(info.frames), info.subject or "", info.session or "")
    out.print(shown)


def _format(file: str) -> str:
    from pathlib import Path

    return recognise(Path(file))
