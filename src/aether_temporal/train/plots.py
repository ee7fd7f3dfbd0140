"""Pictures of a run (extra `plot`): loss, confusion, confidence. Without matplotlib there are none, and the run says
so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from aether_temporal._internal.figures import SHARES, can_draw, file_bytes, row_of_axes

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


def loss_figure(run: Run) -> Figure:
    """The loss that the run logged, by step."""
    figure, (axes,) = row_of_axes(1, 7.0)
    parts: dict[str, list[tuple[int, float]]] = {}
    for line in run.metrics():
        if line.get("loss") is not None:
            parts.setdefault(str(line.get("part", "")), []).append((line["step"], line["loss"]))
    for name, points in parts.items():
        steps, losses = np.array(points).T
        axes.plot(steps, losses, lw=1, label=name)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    if parts:
        axes.legend(frameon=False)
    return figure


def _confusions(classes: Sequence[str], scores: Mapping[str, Scores]) -> Figure:
    figure, axes = row_of_axes(len(scores), 4.6, 4.4)
    for place, (name, found) in zip(axes, scores.items(), strict=True):
        shares = found.confusion / np.maximum(found.confusion.sum(axis=1, keepdims=True), 1)
        place.imshow(shares, cmap=SHARES, vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(found.confusion):
            dark = shares[row, column] > 0.5
            place.text(
                column, row, str(count), ha="center", va="center", color="white" if dark else "black", fontsize=8
            )
        place.set_xticks(range(len(classes)), [name.lower() for name in classes], rotation=40, ha="right", fontsize=8)
        place.set_yticks(range(len(classes)), [name.lower() for name in classes], fontsize=8)
        place.set_title(f"{name}: {found.streamed:.3f}", fontsize=9)
        place.set_xlabel("prediction")
    axes[0].set_ylabel("label")
    return figure


def _confidence(sure: Mapping[str, Sequence[Confidence]]) -> Figure:
    figure, axes = row_of_axes(len(sure), 3.8)
    for place, (name, found) in zip(axes, sure.items(), strict=True):
        place.plot([0, 1], [0, 1], color="0.7", lw=1)
        labels = ("before", "after") if len(found) == 2 else ("not calibrated",)
        for label, one in zip(labels, found, strict=True):
            there = one.reliability[one.reliability[:, 0] > 0]
            place.plot(there[:, 1], there[:, 2], marker="o", ms=3, label=f"{label}: error {one.error:.3f}")
        place.set_title(name, fontsize=9)
        place.set_xlabel("confidence")
        place.set_xlim(0, 1)
        place.set_ylim(0, 1)
        place.legend(frameon=False, fontsize=8)
    axes[0].set_ylabel("share of correct predictions")
    return figure
