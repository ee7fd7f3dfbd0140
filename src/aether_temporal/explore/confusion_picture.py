"""The confusion matrix as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .confusion import Confusion
from .files import Picture
from .sources import counted, dropped_line
from .style import listed, new_figure, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COUNTED = 16
"""Classes up to which every cell has its count."""
_TICKS = 80


def confusion_picture(found: Confusion) -> Picture:
    """Colour: share of the row, which is the class's truth; in each cell the count, where there is room."""
    many = len(found.names)
    side = min(15.0, max(4.2, 0.62 * many if many <= _COUNTED else 3.0 + 0.19 * many))
    figure = new_figure(side + 2.4, side + 1.3)
    axes = figure.add_subplot()
    total = found.counts.sum(axis=1, keepdims=True)
    shares = np.ma.masked_where(np.broadcast_to(total == 0, found.counts.shape), found.counts / np.maximum(total, 1))
    drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    if many <= _COUNTED:
        _cells(axes, found, shares)
    _ticks(axes, found)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("share of the truth", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    unit = "frames" if found.window is None else f"windows of {found.window} frames"
    count = f"{found.counts.sum():,}".replace(",", " ")
    title = [
        f"{found.accuracy:.1%} of {count} {unit} right",
        f"{found.balanced:.1%} where each {'person' if found.enrolled else 'class'} counts the same",
        *([f"compared with the truth {found.lag} frames before"] if found.lag else []),
    ]
    figure.suptitle("\n".join(title), fontsize=10, x=0.02, ha="left")
    return Picture("Confusion", figure, _lines(found), _table(found))


def _cells(axes: Axes, found: Confusion, shares: np.ma.MaskedArray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    for (row, column), count in np.ndenumerate(found.counts):
        if count:
            share = float(shares[row, column])
            dark = "white" if share > 0.55 else "black"
            axes.text(
                column, row, f"{count}\n{share:.0%}", ha="center", va="center", color=dark, fontsize=8, linespacing=1.1
            )


def _ticks(axes: Axes, found: Confusion) -> None:
    many = len(found.names)
    size = 9 if many <= _COUNTED else 7
    step = -(-many // _TICKS)
    names = [text(name if len(name) <= 24 else name[:23] + "…") for name in found.names[::step]]
    long = max(map(len, names)) > 3
    axes.set_xticks(range(0, many, step), names, rotation=45 if long else 0, ha="right" if long else "center")
    axes.set_yticks(range(0, many, step), names)
    axes.tick_params(labelsize=size, length=2)
    axes.set_xlabel("answer", fontsize=10)
    axes.set_ylabel("truth", fontsize=10)
    axes.set_xticks(np.arange(many + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(many + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="0.92", lw=0.6)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)


def _lines(found: Confusion) -> list[str]:
    kind = "person" if found.enrolled else "class"
    lines = [f"{counted(found.recordings, 'recording')}, each from its beginning."]
    if not found.counts.sum(axis=1).all():
        lines.append(f"The row of a {kind} that does not occur is empty.")
    if found.unmatched:
        what = "Not enrolled" if found.enrolled else "Not classes of this model"
        lines.append(f"{what}, and not counted: {listed(found.unmatched, 20)}.")
    if left := found.recordings - found.counted:
        lines.append(f"Not counted, since nothing is known of them: {counted(left, 'recording')}.")
    return [*lines, *dropped_line(found.dropped), *found.notes]


def _table(found: Confusion) -> list[list[str]]:
    unit = "frames" if found.window is None else "windows"
    rows = [["", unit, "right", "precision", "most taken for"]]
    for index, name in enumerate(found.names):
        row, answered = found.counts[index], int(found.counts[:, index].sum())
        others = np.delete(row, index)
        most = found.names[[i for i in range(len(row)) if i != index][int(others.argmax())]] if others.any() else ""
        right = f"{row[index] / row.sum():.1%}" if row.sum() else ""
        rows.append([name, str(int(row.sum())), right, f"{row[index] / answered:.1%}" if answered else "", most])
    return rows
