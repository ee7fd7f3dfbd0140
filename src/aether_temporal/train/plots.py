"""Pictures of a run (extra `plot`): loss, confusion, confidence. Without matplotlib there are none, and the run says
so."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .calibration import Answers, calibration_error, reliability
from .run import Run
from .scoring import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


NO_PLOTS = "plots: none; they need matplotlib: pip install 'aether-temporal[plot]'"


def can_draw() -> bool:
    """Whether matplotlib is there."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_run(
    run: Run, classes: Sequence[str], scores: Mapping[str, Scores], given: Mapping[str, Answers], temperature: float
) -> list[str]:
    """Writes plots/*.png into the run's folder; the names of the files. RunError for a full disk."""
    if run.folder is None or not can_draw():
        return []
    figures = {
        "plots/loss.png": loss_figure(run),
        "plots/confusion.png": _confusions(classes, scores),
        "plots/confidence.png": _confidence(given, temperature),
    }
    for name, figure in figures.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
        run.write(name, buffer.getvalue())
    return list(figures)


def figure_of(columns: int, width: float = 4.0, height: float = 3.8) -> tuple[Figure, list[Axes]]:
    """A figure of one row of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(1, columns) * width, height), layout="constrained")
    axes = [figure.add_subplot(1, columns, index + 1) for index in range(columns)]
    return figure, axes


def loss_figure(run: Run) -> Figure:
    """The loss that the run logged, by step."""
    figure, (axes,) = figure_of(1, 7.0)
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
    figure, axes = figure_of(len(scores), 4.6, 4.4)
    for place, (name, found) in zip(axes, scores.items(), strict=True):
        shares = found.confusion / np.maximum(found.confusion.sum(axis=1, keepdims=True), 1)
        place.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(found.confusion):
            dark = shares[row, column] > 0.5
            place.text(
                column, row, str(count), ha="center", va="center", color="white" if dark else "black", fontsize=8
            )
        place.set_xticks(range(len(classes)), [name.lower() for name in classes], rotation=40, ha="right", fontsize=8)
        place.set_yticks(range(len(classes)), [name.lower() for name in classes], fontsize=8)
        place.set_title(f"{name}: {found.streamed:.3f}", fontsize=9)
        place.set_xlabel("answer")
    axes[0].set_ylabel("truth")
    return figure


def _confidence(given: Mapping[str, Answers], temperature: float) -> Figure:
    figure, axes = figure_of(len(given), 3.8)
    for place, (name, found) in zip(axes, given.items(), strict=True):
        place.plot([0, 1], [0, 1], color="0.7", lw=1)
        scaled = {"before": 1.0, "after": temperature} if temperature != 1.0 else {"not calibrated": 1.0}
        for label, t in scaled.items():
            count, sure, right = reliability(found, t).T
            there = count > 0
            place.plot(
                sure[there], right[there], marker="o", ms=3, label=f"{label}: error {calibration_error(found, t):.3f}"
            )
        place.set_title(name, fontsize=9)
        place.set_xlabel("confidence")
        place.set_xlim(0, 1)
        place.set_ylim(0, 1)
        place.legend(frameon=False, fontsize=8)
    axes[0].set_ylabel("share of right answers")
    return figure
