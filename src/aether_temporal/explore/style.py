"""What the pictures have in common: colours that colour-blind people can tell apart, time in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aether_temporal.recordings import Recording

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#6B4C9A", "#8C6D31")
"""Okabe and Ito's, without black and yellow, which white paper and lines of text leave no room for; two more."""

MAP = "cividis"
GREY = "0.45"


def new_figure(width: float, height: float) -> Figure:
    """Inches. No pyplot: no window, no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def stacked(figure: Figure, *heights: float) -> list[SubFigure]:
    """Parts of a figure, one above the other, of these relative heights."""
    return list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])


def colour(index: int) -> str:
    """The same for every eighth."""
    return COLOURS[index % len(COLOURS)]


def plain(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Title, labels, and no box around."""
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def text(name: str) -> str:
    """A name out of a file or blob, as text: no formulas, no control characters."""
    return "".join(c if c.isprintable() else "�" for c in name).replace("$", r"\$")


def seconds(recording: Recording) -> tuple[NDArray[np.float64], str, float]:
    """Time of each frame from the first one's, its unit, and the mean distance of one frame from the next: by
    timestamps where they do not go back, else by the frame rate, else frames."""
    stamps = recording.timestamps
    if stamps is not None and len(stamps) > 1 and stamps[-1] > stamps[0] and (np.diff(stamps) >= 0).all():
        return stamps - stamps[0], "seconds", float(stamps[-1] - stamps[0]) / (len(stamps) - 1)
    index = np.arange(len(recording), dtype=np.float64)
    rate = recording.frame_rate
    return (index / rate, "seconds", 1 / rate) if rate else (index, "frames", 1.0)


def stretches(values: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """(start, stop, value) of each run of equal values."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1])
    stops = np.append(starts[1:], len(values))
    return [(int(a), int(b), int(values[a])) for a, b in zip(starts, stops, strict=True)]


def apart(centres: NDArray[np.float64], sizes: NDArray[np.float64], rounds: int = 300) -> NDArray[np.float64]:
    """Centres [N, 2] of boxes of these sizes [N, 2], moved until they hardly lie on one another; free ones stay."""
    places = centres + 1e-6 * np.arange(len(centres))[:, None]  # of two in one place one goes up
    reach = (sizes[:, None] + sizes[None]) / 2
    for _ in range(rounds):
        away = places[:, None] - places[None]
        over = reach - np.abs(away)
        over[np.arange(len(places)), np.arange(len(places))] = 0.0
        both = (over > 0).all(axis=2)
        if not both.any():
            break
        shorter = over.argmin(axis=2)[..., None] == np.arange(2)  # the way out that is the shorter
        places = places + (np.where(both[..., None] & shorter, over * np.sign(away), 0.0) * 0.3).sum(axis=1)
    return places


def listed(names: Sequence[str], most: int = 8) -> str:
    """'a, b, c, …'"""
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
