"""What the pictures of all commands share: colours, plain axes, axes of time, and files: PNG, SVG, or one
self-contained HTML page, replaced whole or not at all. Needs matplotlib (extra `plot`) only when something is drawn."""

from __future__ import annotations

import base64
import importlib.util
import io
import os
import re
import warnings
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import InvalidArgumentError, MissingExtraError

from .atomic_files import write_atomic
from .summary import plain_name, printable

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#6B4C9A", "#8C6D31")
"""Okabe and Ito's palette without black and yellow, and two more: colour-blind people can tell them apart."""

SHARES = "Blues"
"""Colour map of shares and weights: the darker, the larger."""

GREY = "0.45"
NO_PLOTS = "plots: none, for matplotlib is not installed; pip install matplotlib"
MISSING = "matplotlib: expected it for drawing, found none; pip install matplotlib"


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def colour(index: int) -> str:
    """The colour of the line or session of this index in one picture; colours repeat after eight."""
    return COLOURS[index % len(COLOURS)]


@dataclass(frozen=True)
class Style:
    """How a class or identity is drawn: `line` and `hatch` tell apart those that share a colour."""

    colour: str
    hatch: str
    line: str


_STYLES = (("", "-"), ("////", "--"), ("....", ":"), ("xx", "-."))
"""Hatches of areas and styles of lines, in the order in which they are used."""

_USUAL = {
    "empty": 0,
    "still": 1,
    "walking": 2,
    "waving": 3,
    "falling": 4,
    "seated": 5,
    "sitting_down": 6,
    "standing_up": 7,
    "turn": 3,
    "moving": 5,
}
"""Colours of the classes of the bundled models. They never change, also not those of names that begin so."""


def class_styles(names: Sequence[str]) -> list[Style]:
    """The style of each class or identity, by its name: case, punctuation and place in the list do not matter.

    Where other names than the usual ones would share a colour, the later one in the alphabet takes the next free one.
    Where none is free, and where a usual colour is shared, hatches differ; styles repeat after 32. So give all names
    of a file or model, not only those that are drawn.
    """
    plain = [plain_name(name) for name in names]
    usual = [
        max((known for known in _USUAL if f"{name}_".startswith(f"{known}_")), key=len, default="") for name in plain
    ]
    order = sorted(range(len(names)), key=lambda at: (usual[at] != plain[at], not usual[at], plain[at], names[at]))
    taken = [0] * len(COLOURS)
    found: dict[int, Style] = {}
    for at in order:
        known = usual[at]
        place = _USUAL[known] if known else zlib.crc32(plain[at].encode()) % len(COLOURS)
        if not known:
            ring = [(place + step) % len(COLOURS) for step in range(len(COLOURS))]
            place = min(ring, key=taken.__getitem__)
        found[at] = Style(COLOURS[place], *_STYLES[taken[place] % len(_STYLES)])
        taken[place] += 1
    return [found[at] for at in range(len(names))]


def tinted(least: float = 0.15) -> Colormap:
    """`SHARES` without its lightest part, so that a small value differs from the white of a missing one."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    return ListedColormap(matplotlib.colormaps[SHARES](np.linspace(least, 1.0, 256)))


def new_figure(width: float, height: float) -> Figure:
    """A figure of this size in inches. It does not use pyplot: no window opens, and no global state changes."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def row_of_axes(columns: int, width: float = 4.0, height: float = 3.8) -> tuple[Figure, list[Axes]]:
    """A figure of one row of axes, each `width` by `height` inches."""
    figure = new_figure(max(1, columns) * width, height)
    axes = [figure.add_subplot(1, columns, index + 1) for index in range(columns)]
    for place in axes:
        place.set_prop_cycle(color=COLOURS)
    return figure, axes


def stacked(figure: Figure, *heights: float) -> list[SubFigure]:
    """Parts of a figure, one above the other, with these relative heights."""
    return list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])


def plain(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Sets the title and the labels, and removes the box around the axes."""
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def text(name: str) -> str:
    """A name from a file or blob as plain text, without formulas or control characters."""
    return printable(name).replace("$", r"\$")


def time_axis(
    timestamps: NDArray[np.float64] | None, frame_rate: float | None, frames: int
) -> tuple[NDArray[np.float64], str, float]:
    """Time of each frame since the first one [frames], its unit ("seconds" or "frames"), and the mean step.

    Uses the timestamps if they never go back, else the frame rate, else the frame's index.
    """
    if timestamps is not None and frames > 1 and timestamps[-1] > timestamps[0] and (np.diff(timestamps) >= 0).all():
        return timestamps - timestamps[0], "seconds", float(timestamps[-1] - timestamps[0]) / (frames - 1)
    index = np.arange(frames, dtype=np.float64)
    return (index / frame_rate, "seconds", 1 / frame_rate) if frame_rate else (index, "frames", 1.0)


def runs_of_equal(values: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """(start, stop, value) of each run of equal values."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1])
    stops = np.append(starts[1:], len(values))
    return [(int(a), int(b), int(values[a])) for a, b in zip(starts, stops, strict=True)]


def short(name: str) -> str:
    """A class's name for a place with little room."""
    return text(name if len(name) <= 12 else name[:11] + "…").lower()


def draw_band(
    axes: Axes, edges: NDArray[np.float64], values: NDArray[np.int64], names: Sequence[str], inches: float
) -> list[int]:
    """Draws classes (-1: none) as a band of coloured spans between `edges` [T + 1].

    A span has its class's name if a band of this many inches has room for it. Returns the classes without a name.
    """
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.tick_params(length=0, labelbottom=False)
    axes.spines[:].set_visible(False)
    named: set[int] = set()
    styles = class_styles(names)
    for start, stop, value in runs_of_equal(values):
        if value < 0:
            continue
        left, right = edges[start], edges[stop]
        axes.axvspan(left, right, **_filled(styles[value]))
        name = short(names[value])
        if (right - left) / (edges[-1] - edges[0]) * inches > 0.1 + 0.065 * len(name):
            axes.text((left + right) / 2, 0.5, name, ha="center", va="center", fontsize=7)
            named.add(value)
    return [int(value) for value in np.unique(values) if value >= 0 and value not in named]


def _filled(style: Style) -> dict[str, Any]:
    """How a span of a band, and its patch in a legend, are drawn."""
    from matplotlib.colors import to_rgba

    return {"facecolor": to_rgba(style.colour, 0.55), "hatch": style.hatch, "edgecolor": "white", "lw": 0}


def band_patches(unnamed: Iterable[int], names: Sequence[str]) -> list[Artist]:
    """What a legend shows of the classes without a name in a band."""
    from matplotlib.patches import Patch

    styles = class_styles(names)
    return [Patch(**_filled(styles[value]), label=short(names[value])) for value in sorted(unnamed)]


def file_bytes(figure: Figure, kind: str, dpi: int = 130) -> bytes:
    """The figure as a file of this kind ("png", "svg", …) on white; the same figure gives the same bytes.

    ValueError for a kind that matplotlib cannot write.
    """
    import matplotlib

    _settle_layout(figure)
    buffer = io.BytesIO()
    metadata: dict[str, None] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}.get(kind, {})
    with matplotlib.rc_context({"svg.hashsalt": "aether", "svg.fonttype": "path"}):
        figure.savefig(buffer, format=kind, dpi=dpi, facecolor="white", metadata=metadata or None)
    return _with_numbered_clips(buffer.getvalue()) if kind == "svg" else buffer.getvalue()


def _settle_layout(figure: Figure) -> None:
    """Lays the figure out once and rounds all places: the solver's last digits vary from call to call."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for part in figure.subfigs:
        part.bbox_relative.set_points(np.round(part.bbox_relative.get_points(), 4))
    for place in figure.axes:
        place.set_position(np.round(place.get_position().bounds, 4).tolist())
    for title in [title for part in (figure, *figure.subfigs) for title in part.texts]:
        x, y = title.get_position()
        title.set_position((round(x, 4), round(y, 4)))


def _with_numbered_clips(svg: bytes) -> bytes:
    """The SVG with its clip paths numbered: matplotlib derives their names from memory addresses."""
    found = dict.fromkeys(re.findall(rb"url\(#(p[0-9a-f]{10})\)", svg))
    names = {name: b"clip%d" % number for number, name in enumerate(found)}
    return re.sub(
        rb'(url\(#|id=")(p[0-9a-f]{10})(\)|")', lambda match: match[1] + names.get(match[2], match[2]) + match[3], svg
    )


ENDINGS = (".png", ".svg", ".html")


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure with its heading, lines of text, and a table whose first row holds the column heads."""

    heading: str
    figure: Figure
    lines: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()


def check_output(path: str | os.PathLike[str], field: str = "output") -> None:
    """Checks, before anything is drawn, that `write` can write to the path: its ending, its folder, matplotlib.

    MissingExtraError, InvalidArgumentError.
    """
    place = Path(path)
    _ending(place, field)
    if place.is_dir():
        raise InvalidArgumentError.of(field, "a file", f"a directory: {str(place)!r}")
    if not place.parent.is_dir():
        raise InvalidArgumentError.of(field, "a file in an existing folder", repr(str(place)))
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


def _ending(place: Path, field: str = "output") -> str:
    ending = place.suffix.lower()
    if ending not in ENDINGS:
        raise InvalidArgumentError.of(field, f"a file ending in {', '.join(ENDINGS)}", repr(place.name))
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
