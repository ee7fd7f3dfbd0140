"""The embedding map as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .embeddings import EmbeddingMap, Floats
from .files import Picture
from .sources import counted, dropped_line
from .style import COLOURS, GREY, apart, colour, listed, new_figure, plain, text

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_NAMED = 100
"""Persons up to which each has its name at its place."""

_PANEL = np.array([6.5, 5.9])
"""Inches that a map is wide and high, about."""

_WORTH = 0.01
"""Share of the variance from which the third component is worth a map."""


def embeddings_picture(found: EmbeddingMap) -> Picture:
    """Persons by colour and name, gallery and probe by mark, in the first components and, where there are more, the
    next two."""
    share = found.projection.share
    pairs = [(0, 1), (2, 3)] if len(share) >= 4 and share[2] >= _WORTH else [(0, 1)]
    figure = new_figure(7.4 * len(pairs), 7.0)
    for place, (x, y) in zip(figure.subplots(1, len(pairs), squeeze=False)[0], pairs, strict=True):
        _map(place, found, x, y)
    columns = 5 if len(pairs) == 2 else 2
    figure.legend(*_legend(found), loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    right, known = found.rank1
    told = f"; {right} of {known} probe windows ({right / known:.1%}) nearest to their own person" if known else ""
    figure.suptitle(
        f"{counted(len(found.names), 'person')}, windows of {found.window} frames{told}", fontsize=11, x=0.01, ha="left"
    )
    return Picture("Embedding map", figure, _lines(found), _table(found))


def _map(axes: Axes, found: EmbeddingMap, x: int, y: int) -> None:
    gallery, probe = found.projection(found.gallery.rows), found.projection(found.probe.rows)
    means, share = found.projection(found.means), found.projection.share
    colours = [colour(index) for index in range(len(found.names))]
    own = [colours[who] for who in found.gallery.person]
    axes.scatter(gallery[:, x], gallery[:, y], s=16, c=own, alpha=0.55, lw=0)
    known = found.probe.person >= 0
    wrong = known & (found.nearest != found.probe.person)
    edge = [colours[who] for who in found.probe.person[known]]
    axes.scatter(probe[known, x], probe[known, y], s=26, marker="^", facecolors="none", edgecolors=edge, lw=1)
    axes.scatter(probe[~known, x], probe[~known, y], s=26, marker="^", facecolors="none", edgecolors=GREY, lw=1)
    axes.scatter(probe[wrong, x], probe[wrong, y], s=22, marker="x", c="black", lw=0.9)
    _widen(axes)
    _names(axes, found, means[:, [x, y]], colours)
    plain(
        axes, "", f"component {x + 1} ({share[x]:.0%} of variance)", f"component {y + 1} ({share[y]:.0%} of variance)"
    )
    axes.axhline(0, color="0.9", lw=0.8, zorder=0)
    axes.axvline(0, color="0.9", lw=0.8, zorder=0)


def _widen(axes: Axes) -> None:
    """An axis along which nothing but rounding lies gets a tenth of the other's length."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    if right - left < 1e-6 * (high - low):
        axes.set_xlim((left + right) / 2 - 0.05 * (high - low), (left + right) / 2 + 0.05 * (high - low))
    if high - low < 1e-6 * (right - left):
        axes.set_ylim((low + high) / 2 - 0.05 * (right - left), (low + high) / 2 + 0.05 * (right - left))


def _names(axes: Axes, found: EmbeddingMap, places: Floats, colours: list[str]) -> None:
    from matplotlib.patheffects import withStroke

    if len(found.names) > _NAMED:
        axes.scatter(places[:, 0], places[:, 1], s=60, marker="*", c=colours, edgecolors="white", lw=0.5)
        return
    size = 11 if len(found.names) <= 12 else 8.5
    names = [name if len(name) <= 14 else name[:13] + "…" for name in found.names]
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    inch = (high - low) / _PANEL
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))  # names do not move them
    boxes = np.array([(0.62 * len(name) + 0.3, 1.25) for name in names]) * size / 72
    moved = apart(places / inch, boxes) * inch
    for name, place, true, own in zip(names, moved, places, colours, strict=True):
        if np.linalg.norm((place - true) / inch) > 0.1:
            axes.plot(*zip(true, place, strict=True), color=own, lw=0.7, alpha=0.8, zorder=2.5)
        label = axes.text(
            place[0], place[1], text(name), color=own, fontsize=size, weight="bold", ha="center", va="center"
        )
        label.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def _legend(found: EmbeddingMap) -> tuple[list[Artist], list[str]]:
    from matplotlib.lines import Line2D

    named = len(found.names) <= _NAMED
    entries: list[tuple[Artist, str]] = [
        (
            Line2D([], [], ls="", marker="$A$" if named else "*", ms=8, color="0.2"),
            ("name: " if named else "")
            + "mean of an enrolled person"
            + (" (colours repeat)" if len(found.names) > len(COLOURS) else ""),
        )
    ]
    if len(found.gallery):
        entries.append((Line2D([], [], ls="", marker="o", ms=4, color="0.2"), "gallery window"))
    if len(found.probe):
        entries.append((Line2D([], [], ls="", marker="^", ms=5, color="0.2", mfc="none"), "probe window"))
    if (found.probe.person < 0).any():
        entries.append((Line2D([], [], ls="", marker="^", ms=5, color=GREY, mfc="none"), "probe window, not enrolled"))
    known = found.probe.person >= 0
    if (found.nearest[known] != found.probe.person[known]).any():
        entries.append((Line2D([], [], ls="", marker="x", ms=5, color="black"), "nearest to another person"))
    return [mark for mark, _ in entries], [label for _, label in entries]


def _lines(found: EmbeddingMap) -> list[str]:
    shares = listed([f"{share:.1%}" for share in found.projection.share])
    where = "the gallery's windows" if len(found.gallery) > len(found.names) else "all that is drawn"
    return [
        f"Principal components of {where}, with {shares} of the variance: distances in the picture are less than the "
        "true ones. Which person is nearest is found in all dimensions, by cosine.",
        *dropped_line(found.dropped),
        *found.notes,
    ]


def _table(found: EmbeddingMap) -> list[list[str]]:
    rows = [["person", "gallery windows", "probe windows", "nearest to own", "most taken for"]]
    for index, name in enumerate(found.names):
        mine = found.probe.person == index
        taken = found.nearest[mine & (found.nearest != index)]
        most = found.names[int(np.bincount(taken).argmax())] if len(taken) else ""
        right = int((found.nearest[mine] == index).sum())
        share = f"{right} ({right / mine.sum():.0%})" if mine.any() else ""
        rows.append([name, str(int((found.gallery.person == index).sum())), str(int(mine.sum())), share, most])
    return rows
