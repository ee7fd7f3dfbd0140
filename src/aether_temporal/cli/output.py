"""How things are printed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.table import Table


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console() -> Console:
    """Standard output: colours on a terminal, plain text of any length of line elsewhere."""
    found = _Console(highlight=False)
    return found if found.is_terminal else _Console(highlight=False, width=200, no_color=True, legacy_windows=False)


def print_json(document: Mapping[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def print_json_line(document: Mapping[str, Any]) -> None:
    click.echo(json.dumps(document, ensure_ascii=False, allow_nan=False))


def table(*columns: str, title: str | None = None) -> Table:
    """A plain table; names that begin with '>' are right-aligned."""
    found = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        found.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    return found


def quantity(count: int) -> str:
    """41244 → '41 244'."""
    return f"{count:,}".replace(",", " ")


def bytes_text(count: int) -> str:
    """41244 → '41 244 bytes (40.3 KiB)'."""
    if count < 1024:
        return f"{count} bytes"
    return (
        f"{quantity(count)} bytes ({count / 1024:.1f} KiB)"
        if count < 1 << 20
        else f"{quantity(count)} bytes ({count / 2**20:.1f} MiB)"
    )


def micros(us: float) -> str:
    """A duration given in microseconds, three digits."""
    if us >= 1e6:
        return f"{us / 1e6:.3g} s"
    return f"{us / 1e3:.3g} ms" if us >= 1e3 else f"{us:.3g} µs"
