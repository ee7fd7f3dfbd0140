"""Pictures of a run (extra `plot`): loss, confusion, confidence. Without matplotlib there are none, and the run says
so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aether_temporal._internal.figures import SHARES, can_draw, colour, file_bytes, plain, row_of_axes, text

from .evaluation import Confidence, Scores
from .runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_run(
    run: Run, classes: Sequence[str], scores: Mapping[str, Scores], sure: Mapping[str, Sequence[Confidence]]
) -> list[str]:
    """Writes plots/*.png into the run's folder; the names of the files. sure: by what was scored, before calibration
    and, where there was one, after it. RunError for a full disk."""
    if run.folder is None or not can_draw():
        return []
    figures = {
        "plots/loss.png": loss_figure(run),
        "plots/confusion.png": _confusions(classes, scores),
        "plots/confidence.png": _confidence(sure),
    }
    for name, figure in figures.items():
        run.write(name, file_bytes(figure, "png", 110))
    return list(figures)


SMOOTHED = 0.05
"""Share of the points that a smoothed loss is a mean over."""


def loss_figure(run: Run) -> Figure:
    """The loss that the run logged, by step: as logged, faint, and smoothed."""
    figure, (axes,) = row_of_axes(1, 7.0)
    parts: dict[str, list[tuple[int, float]]] = {}
    for line in run.metrics():
        if line.get("loss") is not None:
            parts.setdefault(str(line.get("part", "")), []).append((line["step"], line["loss"]))
    for index, (name, points) in enumerate(parts.items()):
        steps, losses = np.array(points).T
        axes.plot(steps, losses, lw=0.6, alpha=0.35, color=colour(index))
        axes.plot(steps, smoothed(losses, max(1, round(SMOOTHED * len(losses)))), color=colour(index), label=name)
    plain(axes, "Training loss, smoothed; faint: as logged", "step", "loss")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if len(parts) > 1:
        axes.legend(frameon=False, fontsize=8)
    return figure


def smoothed(values: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    """For each value the mean of it and up to `half` before and after it."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    found: NDArray[np.float64] = (sums[high] - sums[low]) / (high - low)
    return found


def _confusions(classes: Sequence[str], scores: Mapping[str, Scores]) -> Figure:
    names = [text(name if len(name) <= 16 else name[:15] + "…") for name in classes]
    side = max(3.4, 0.62 * len(classes) + 1.6)
    figure, axes = row_of_axes(len(scores), side, side)
    for place, (name, found) in zip(axes, scores.items(), strict=True):
        shares = found.fresh_windows / np.maximum(found.fresh_windows.sum(axis=1, keepdims=True), 1)
        place.imshow(shares, cmap=SHARES, vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(found.fresh_windows):
            if count:
                ink = "white" if shares[row, column] > 0.5 else "black"
                words = f"{count}\n{shares[row, column]:.0%}"
                place.text(column, row, words, ha="center", va="center", color=ink, fontsize=7)
        plain(place, f"{name}: {found.fresh:.1%} of fresh windows", "prediction")
        place.set_xticks(range(len(names)), names, rotation=40, ha="right")
        place.set_yticks(range(len(names)), names)
        place.spines[:].set_visible(False)
    axes[0].set_ylabel("label", fontsize=9)
    return figure


def _confidence(sure: Mapping[str, Sequence[Confidence]]) -> Figure:
    figure, axes = row_of_axes(len(sure), 3.8)
    for place, (name, found) in zip(axes, sure.items(), strict=True):
        place.plot([0, 1], [0, 1], color="0.7", lw=1)
        labels = ("before", "after") if len(found) == 2 else ("not calibrated",)
        for label, one in zip(labels, found, strict=True):
            there = one.reliability[one.reliability[:, 0] > 0]
            place.plot(there[:, 1], there[:, 2], marker="o", ms=3, label=f"{label}: error {one.error:.3f}")
        plain(place, name, "confidence")
        place.set_xlim(0, 1)
        place.set_ylim(0, 1)
        place.legend(frameon=False, fontsize=8)
    axes[0].set_ylabel("share of correct predictions", fontsize=9)
    return figure
