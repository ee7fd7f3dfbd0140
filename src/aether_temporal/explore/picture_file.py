"""Writes pictures as PNG, SVG, or one self-contained HTML page. A file is replaced whole or not at all."""

from __future__ import annotations

import base64
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from aether_temporal._internal.atomic_files import write_atomic
from aether_temporal._internal.figures import MISSING, can_draw, file_bytes
from aether_temporal._internal.foreign_text import printable
from aether_temporal.errors import InvalidArgumentError
from aether_temporal.recordings import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".html")


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure with its heading, lines of text, and a table whose first row holds the column heads."""

    heading: str
    figure: Figure
    lines: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()


def check_output(path: str | os.PathLike[str]) -> None:
    """Checks, before anything is drawn, that `write` can write to the path: its ending, its folder, matplotlib.

    MissingExtraError, InvalidArgumentError.
    """
    place = Path(path)
    _ending(place)
    if place.is_dir():
        raise InvalidArgumentError.of("output", "a file", f"a directory: {str(place)!r}")
    if not place.parent.is_dir():
        raise InvalidArgumentError.of("output", "a file in an existing folder", repr(str(place)))
    if not can_draw():
        raise MissingExtraError(MISSING)


def write(picture: Picture, path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Writes the picture in the format of the file's ending; the same picture gives the same bytes.

    Returns one line about characters that the font lacks, if there are any. InvalidArgumentError, OSError.
    """
    ending = _ending(Path(path))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = _page(picture).encode("utf-8") if ending == ".html" else file_bytes(picture.figure, ending[1:])
    write_atomic(path, data)
    return _missing_glyphs(caught)


def _ending(place: Path) -> str:
    ending = place.suffix.lower()
    if ending not in ENDINGS:
        raise InvalidArgumentError.of("output", f"a file ending in {', '.join(ENDINGS)}", repr(place.name))
    return ending


def _missing_glyphs(caught: Sequence[warnings.WarningMessage]) -> tuple[str, ...]:
    """One line about the characters that matplotlib's font lacks. Other warnings are issued again."""
    lacking: dict[str, None] = {}
    for warning in caught:
        if found := re.match(r"Glyph (\d+) .* missing from", str(warning.message), re.DOTALL):
            lacking[chr(int(found[1]))] = None
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return (f"drawn as boxes, since the font lacks them: {' '.join(lacking)}",) if lacking else ()


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:80rem;margin:2rem auto;padding:0 1rem;color:#1f2937;background:#fff}
h1{font-size:1.5rem;margin-bottom:.3rem} img{max-width:100%;height:auto} figure{margin:1rem 0}
table{border-collapse:collapse;margin:.6rem 0;font-size:.9rem} td,th{padding:.25rem .9rem .25rem 0;text-align:right;
border-bottom:1px solid #e5e7eb;font-variant-numeric:tabular-nums} td:first-child,th:first-child{text-align:left}
p{color:#4b5563;margin:.2rem 0}
"""


def _html(words: str) -> str:
    """The words for a page, without markup or control characters."""
    return escape(printable(words))


def _page(picture: Picture) -> str:
    drawn = base64.b64encode(file_bytes(picture.figure, "svg")).decode("ascii")
    heading = _html(picture.heading)
    parts = [
        f"<h1>{heading}</h1>",
        *(f"<p>{_html(line)}</p>" for line in picture.lines),
        f"<figure><img alt='{heading}' src='data:image/svg+xml;base64,{drawn}'></figure>",
    ]
    if picture.table:
        heads, *rows = picture.table
        parts.append(f"<table><tr>{''.join(f'<th>{_html(cell)}</th>' for cell in heads)}</tr>")
        parts += [f"<tr>{''.join(f'<td>{_html(cell)}</td>' for cell in row)}</tr>" for row in rows]
        parts.append("</table>")
    body = "\n".join(parts)
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{heading}</title>"
        f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )
