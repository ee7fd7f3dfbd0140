"""aether recordings FILE"""

from __future__ import annotations

import os
from pathlib import Path

import click

from aether_temporal.recordings import Sources, recognise

from .options import format_option, json_option
from .output import console, print_json, table


@click.command("recordings")
@click.argument("file", type=click.Path())
@format_option
@json_option
def command(file: str, format_: str | None, as_json: bool) -> None:
    """List what recordings FILE holds: .npz and .npy, Espressif's CSI text, raw CSI frames, packet captures; or a
    manifest, a folder, or a wildcard in quotes."""
    sources = Sources([file], format=format_)
    found = sources.listing()
    several = [os.fspath(path) for path in sources.files] != [file]
    if as_json:
        entries = [
            {
                "index": info.index,
                "name": info.name,
                "frames": info.frames,
                "subject": info.subject,
                "session": info.session,
                **({"file": os.fspath(path)} if several else {}),
            }
            for path, info in found
        ]
        format_ = None if several else format_ or recognise(Path(file))
        print_json({"file": file, "format": format_, "recordings": entries, "notes": sources.notes})
        return
    out = console()
    columns = ("file",) if several else ()
    title = f"{len(sources.files)} files" if several else format_ or recognise(Path(file))
    shown = table(*columns, ">index", "name", ">frames", "subject", "session", title=f"{file} ({title})")
    for path, info in found:
        place = (os.fspath(path),) if several else ()
        shown.add_row(*place, str(info.index), info.name, str(info.frames), info.subject or "", info.session or "")
    out.print(shown)
    for note in sources.notes:
        out.print(note)
