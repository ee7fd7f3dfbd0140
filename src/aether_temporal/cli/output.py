"""How things are printed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Self, TextIO, TypeVar

import click
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table

from aether_temporal._internal.summary import printable

STANDARD_OUTPUT = "standard output"

T = TypeVar("T")


@contextlib.contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = STANDARD_OUTPUT
        raise


class NamedOutput:
    """A stream of text whose errors say that it is standard output."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with _named():
            return self._stream.write(text)

    def flush(self) -> None:
        with _named():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def write_bytes(data: bytes) -> None:
    """To standard output. OSError."""
    with _named():
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


class _Console(Console):
    """Prints each text as one line: names in files and blobs are neither markup, nor lines, nor commands to the
    terminal."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(printable(found) if isinstance(found, str) else found for found in objects), **options)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class _Table(Table):
    def add_row(self, *cells: Any, **options: Any) -> None:
        super().add_row(*(printable(cell) if isinstance(cell, str) else cell for cell in cells), **options)


def say(text: str, *, err: bool = False) -> None:
    """One line of plain text, whatever names are in it; on a terminal wrapped between words."""
    line = printable(text)
    if (sys.stderr if err else sys.stdout).isatty():
        line = wrapped(line, shutil.get_terminal_size().columns)
    click.echo(line, err=err)


def wrapped(line: str, width: int, indent: int | None = None) -> str:
    """The line in as many as it takes, cut between words only. indent: of those after the first (None: two more)."""
    if cell_len(line) <= width:
        return line
    lead = len(line) - len(line.lstrip()) + 2 if indent is None else indent
    parts = textwrap.wrap(line, width, subsequent_indent=" " * lead, break_long_words=False, break_on_hyphens=False)
    return "\n".join(parts)


def console() -> Console:
    """Standard output: colours on a terminal, plain text of any length of line elsewhere."""
    found = _Console(highlight=False, markup=False, emoji=False)
    if found.is_terminal:
        return found
    return _Console(highlight=False, markup=False, emoji=False, width=200, no_color=True, legacy_windows=False)


def print_json(document: Mapping[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2, allow_nan=False))


def print_json_line(document: Mapping[str, Any]) -> None:
    click.echo(json.dumps(document, allow_nan=False))


def table(*columns: str, title: str | None = None) -> Table:
    """A plain table; names that begin with '>' are right-aligned."""
    heading = None if title is None else printable(title)
    found = _Table(
        title=heading, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for name in columns:
        number = name.startswith(">")
        found.add_column(name.removeprefix(">"), justify="right" if number else "left", overflow="fold", no_wrap=number)
    return found


def print_table(
    out: Console, columns: Sequence[tuple[str, int]], rows: Sequence[Sequence[str]], *, title: str | None = None
) -> None:
    """Prints a plain table within the width. Columns (heading, rank) go where room is short: empty ones first, then by
    falling rank; never those of rank 0, of which the longest text is then shortened."""
    lines = [[name.removeprefix(">") for name, _ in columns], *([printable(cell) for cell in row] for row in rows)]
    natural = [max(cell_len(line[at]) for line in lines) for at in range(len(columns))]
    empty = [not any(line[at] for line in lines[1:]) for at in range(len(columns))]
    kept = list(range(len(columns)))
    dropped = sorted((at for at in kept if columns[at][1]), key=lambda at: (not empty[at], -columns[at][1]))

    def beyond() -> int:
        return sum(natural[at] + 2 for at in kept) - 2 - out.width

    left_out = []
    while beyond() > 0 and dropped:
        kept.remove(at := dropped.pop(0))
        left_out += [] if empty[at] else [at]
    texts = [at for at in kept if not columns[at][0].startswith(">")]
    if beyond() > 0 and texts:
        at = max(texts, key=natural.__getitem__)
        length = max(8, natural[at] - beyond())
        for line in lines[1:]:
            line[at] = shortened(line[at], length)
    found = table(*(columns[at][0] for at in kept), title=title)
    for line in lines[1:]:
        found.add_row(*(line[at] for at in kept))
    out.print(found)
    if left_out:
        out.print(f"(for want of room without: {', '.join(lines[0][at] for at in sorted(left_out))})", style="dim")


def shortened(text: str, length: int) -> str:
    """The beginning and the end of `text`, in at most `length` characters."""
    if len(text) <= length:
        return text
    end = length // 2
    return f"{text[: length - end - 1]}…{text[-end:]}"


class Screen:
    """What is shown inside a `with`. With `console`, lines of a terminal that `redraw` replaces and that are gone at
    the end."""

    _live: Live | None = None

    def __init__(self, console: Console | None = None) -> None:
        if console is not None:
            self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*error)

    def redraw(self, content: RenderableType) -> None:
        if self._live is not None:
            self._live.update(content, refresh=True)


class Display(Screen, Generic[T]):
    """Shows each thing that comes. This one shows nothing."""

    def show(self, shown: T, /) -> None:
        return None


def names_within(files: Iterable[str | os.PathLike[str]]) -> Callable[[str, str], str]:
    """How to name a recording, from its file and its name: of several files, by the path from the folder they share."""
    paths = {os.fspath(file): os.path.abspath(file) for file in files}
    if len(paths) < 2:
        return lambda source, name: name or Path(source).name
    folder = os.path.commonpath([os.path.dirname(path) for path in paths.values()])

    def named(source: str, name: str) -> str:
        path = os.path.relpath(source, folder)
        return path if name in ("", Path(source).stem) else f"{path} {name}"

    return named


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


def seconds_text(seconds: float) -> str:
    """0.0195 → '19.5 ms', 83.2 → '83.2 s', 754 → '12.6 min'."""
    if seconds < 120:
        return micros(seconds * 1e6)
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def micros(us: float) -> str:
    """A duration given in microseconds, three digits."""
    if us >= 1e6:
        return f"{us / 1e6:.3g} s"
    return f"{us / 1e3:.3g} ms" if us >= 1e3 else f"{us:.3g} µs"
