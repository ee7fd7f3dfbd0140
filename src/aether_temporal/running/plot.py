"""Draws the timeline of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aether_temporal._internal.figures import (
    COLOURS,
    Picture,
    Style,
    check_output,
    class_styles,
    new_figure,
    plain,
    runs_of_equal,
    text,
    time_axis,
    write,
)
from aether_temporal.errors import InvalidArgumentError

from .result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_OTHER = Style("0.85", "", "-")
"""Of classes without a line."""


def plot(result: Result, path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Writes a picture: predictions, labels, scores and margin over time. The ending (png, svg, html) chooses the
    format; the page has the summary's notes and a table by class too.

    Returns one line about characters that the font lacks, if there are any. MissingExtraError without matplotlib;
    InvalidArgumentError: no frames, or an unknown ending; OSError.
    """
    check_output(path, "plot")
    if not len(result):
        raise InvalidArgumentError.of("result", "at least one frame to draw", 0)
    shown = _most_important(result)
    every = class_styles(result.names)
    styles = {index: every[index] for index in shown}
    stamps = None if result.recording.timestamps is None else result.recording.timestamps[: len(result)]
    time, unit, step = time_axis(stamps, result.recording.frame_rate, len(result))
    figure = new_figure(11, 6.5)
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=[1.1, 2.4, 1])
    _strips(top, result, np.append(time, time[-1] + step), styles)
    for index in shown:
        own = styles[index]
        label = text(result.names[index])
        middle.plot(time, result.scores[:, index], color=own.colour, ls=own.line, lw=1, label=label)
    plain(middle, y="cosine similarity" if result.enrolled else "logit")
    middle.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), fontsize=8, frameon=False)
    bottom.fill_between(time, result.margins, color="0.6", linewidth=0)
    bottom.set_ylim(bottom=0)
    plain(bottom, x=unit, y="margin")
    top.margins(x=0)
    plain(top, text(_title(result)))
    return write(Picture(_title(result), figure, result.summary()["notes"], _table(result)), path)


def _table(result: Result) -> list[list[str]]:
    """Frames by prediction and by label."""
    predicted = np.bincount(result.predictions, minlength=len(result.names))
    labels = np.zeros(0, np.int64) if result.labels is None else result.labels[result.labels >= 0]
    labelled = np.bincount(labels, minlength=len(result.names))
    rows = zip(result.names, predicted.tolist(), labelled.tolist(), strict=True)
    return [["class", "frames predicted", "frames labelled"], *([name, str(p), str(n)] for name, p, n in rows)]


def _most_important(result: Result) -> list[int]:
    """Up to as many names as there are colours, labels before predictions and the most frequent first; in order."""
    weight = np.bincount(result.predictions, minlength=len(result.names)).astype(np.float64)
    if result.labels is not None:
        weight += len(result) * np.bincount(result.labels[result.labels >= 0], minlength=len(result.names))
    order = np.argsort(-weight, kind="stable")[: len(COLOURS)]
    return sorted(int(index) for index in order)


def _strips(axes: Axes, result: Result, edges: NDArray[np.float64], styles: dict[int, Style]) -> None:
    """Predictions and labels as spans between `edges` [T + 1]."""
    rows: list[tuple[str, NDArray[np.int64]]] = [("prediction", result.predictions)]
    if result.labels is not None:
        rows.append(("label", result.labels))
    for y, (_, values) in enumerate(reversed(rows)):
        for start, stop, value in runs_of_equal(values):
            if value >= 0:
                own = styles.get(value, _OTHER)
                span = [(edges[start], edges[stop] - edges[start])]
                axes.broken_barh(span, (y + 0.1, 0.8), facecolor=own.colour, hatch=own.hatch, edgecolor="white", lw=0)
    axes.set_yticks([y + 0.5 for y in range(len(rows))], [name for name, _ in reversed(rows)])
    axes.set_ylim(0, len(rows))


def _title(result: Result) -> str:
    name = f"{Path(result.recording.source).name} {result.recording.name}".strip()
    accuracy = result.summary()["accuracy"]
    return f"{name} — {len(result)} frames" + (f", {accuracy['fraction']:.1%} correct" if accuracy else "")
