"""Pictures to files: PNG, SVG, or one HTML page that needs nothing but itself. A file is the old one or the new one,
whole."""

from __future__ import annotations

import base64
import io
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from aether_temporal._files import write_atomic
from aether_temporal.errors import InvalidArgumentError
from aether_temporal.recordings import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".html")


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure, and what a page says beside it: `heading`, lines of text, and a table of figures (its first row the
    heads)."""

    heading: str
    figure: Figure
    lines: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()


def check_output(path: str | os.PathLike[str]) -> None:
    """What `write` will ask of a path, while there is nothing to draw yet: matplotlib, a known ending, a folder.

    MissingExtraError, InvalidArgumentError.
    """
    place = Path(path)
    if place.suffix.lower() not in ENDINGS:
        raise InvalidArgumentError.of("output", f"a file ending in {', '.join(ENDINGS)}", repr(place.name))
    if place.is_dir():
        raise InvalidArgumentError.of("output", "a file", f"a directory: {str(place)!r}")
    if not place.parent.is_dir():
        raise InvalidArgumentError.of("output", "a file in a folder that is there", repr(str(place)))
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            "drawing needs matplotlib, which is not installed: pip install 'aether-temporal[plot]'"
        ) from None


def write(picture: Picture, path: str | os.PathLike[str]) -> tuple[str, ...]:
    """By the file's ending; the same picture gives the same bytes. What could not be drawn as it is, in words.

    InvalidArgumentError, OSError.
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise InvalidArgumentError.of("output", f"a file ending in {', '.join(ENDINGS)}", repr(Path(path).name))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = _page(picture).encode("utf-8") if ending == ".html" else _saved(picture.figure, ending[1:])
    write_atomic(path, data)
    return _strange(caught)


def _strange(caught: Sequence[warnings.WarningMessage]) -> tuple[str, ...]:
    """What matplotlib warned of while it drew: characters its font lacks, in one sentence; all else is passed on."""
    lacking: dict[str, None] = {}
    for warning in caught:
        if found := re.match(r"Glyph (\d+) .* missing from", str(warning.message), re.DOTALL):
            lacking[chr(int(found[1]))] = None
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return (f"drawn as boxes, since the font lacks them: {' '.join(lacking)}",) if lacking else ()


def _saved(figure: Figure, kind: str) -> bytes:
    import matplotlib

    buffer = io.BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    with matplotlib.rc_context({"svg.hashsalt": "aether", "svg.fonttype": "path"}):
        figure.savefig(buffer, format=kind, dpi=130, facecolor="white", metadata=metadata)
    return buffer.getvalue() if kind == "png" else _numbered(buffer.getvalue())


def _numbered(svg: bytes) -> bytes:
    """Clip paths named by number: matplotlib takes where they lie in memory into their names."""
    found = dict.fromkeys(re.findall(rb"url\(#(p[0-9a-f]{10})\)", svg))
    names = {name: b"clip%d" % number for number, name in enumerate(found)}
    return re.sub(
        rb'(url\(#|id=")(p[0-9a-f]{10})(\)|")', lambda match: match[1] + names.get(match[2], match[2]) + match[3], svg
    )


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:80rem;margin:2rem auto;padding:0 1rem;color:#1f2937;background:#fff}
h1{font-size:1.5rem;margin-bottom:.3rem} img{max-width:100%;height:auto} figure{margin:1rem 0}
table{border-collapse:collapse;margin:.6rem 0;font-size:.9rem} td,th{padding:.25rem .9rem .25rem 0;text-align:right;
border-bottom:1px solid #e5e7eb;font-variant-numeric:tabular-nums} td:first-child,th:first-child{text-align:left}
p{color:#4b5563;margin:.2rem 0}
"""


def _text(words: str) -> str:
    """For a page: no markup, no control characters."""
    return escape("".join(c if c.isprintable() else "\ufffd" for c in words))


def _page(picture: Picture) -> str:
    drawn = base64.b64encode(_saved(picture.figure, "svg")).decode("ascii")
    heading = _text(picture.heading)
    parts = [
        f"<h1>{heading}</h1>",
        *(f"<p>{_text(line)}</p>" for line in picture.lines),
        f"<figure><img alt='{heading}' src='data:image/svg+xml;base64,{drawn}'></figure>",
    ]
    if picture.table:
        heads, *rows = picture.table
        parts.append(f"<table><tr>{''.join(f'<th>{_text(cell)}</th>' for cell in heads)}</tr>")
        parts += [f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows]
        parts.append("</table>")
    body = "\n".join(parts)
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{heading}</title>"
        f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )
