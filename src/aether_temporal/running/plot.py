"""Draws the timeline of a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import InvalidArgumentError
from aether_temporal.recordings import MissingExtraError

from .result import Result

_SHOWN = 12
"""Names that get a line; where there are more, the most frequent ones."""


def check_plot(path: str | os.PathLike[str]) -> None:
    """Checks early what `plot` needs: matplotlib, a known file ending, an existing folder.

    MissingExtraError, InvalidArgumentError.
    """
    _matplotlib()
    from matplotlib.backend_bases import FigureCanvasBase

    place = Path(path)
    if place.suffix.removeprefix(".").lower() not in FigureCanvasBase.filetypes:
        raise InvalidArgumentError.of("plot", "a file ending such as .png, .svg or .pdf", repr(place.name))
    if place.is_dir():
        raise InvalidArgumentError.of("plot", "a file", f"a directory: {str(place)!r}")
    if not place.parent.is_dir():
        raise InvalidArgumentError.of("plot", "a file in an existing folder", repr(str(place)))


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise MissingExtraError(
            "drawing needs matplotlib, which is not installed: pip install 'aether-temporal[plot]'"
        ) from None
    return matplotlib


def plot(result: Result, path: str | os.PathLike[str]) -> None:
    """Writes a picture: predictions, labels, scores and margin over time. The file's ending (png, svg, pdf …)
    chooses the format.

    MissingExtraError without matplotlib; InvalidArgumentError: no frames, or an unknown ending; OSError.
    """
    if not len(result):
        raise InvalidArgumentError.of("result", "at least one frame to draw", 0)
    matplotlib = _matplotlib()
    from matplotlib.figure import Figure  # no pyplot: no window, no global state

    shown = _most_important(result)
    colours = {
        index: matplotlib.colormaps["tab10" if len(shown) <= 10 else "tab20"](i) for i, index in enumerate(shown)
    }
    time, unit = _time(result)
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=[1.1, 2.4, 1])
    _strips(top, result, time, colours)
    for index in shown:
        middle.plot(time, result.scores[:, index], color=colours[index], linewidth=1, label=result.names[index])
    middle.set_ylabel("cosine similarity" if result.enrolled else "logit")
    middle.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), fontsize="small", frameon=False)
    bottom.fill_between(time, result.margins, color="0.6", linewidth=0)
    bottom.set_ylabel("margin")
    bottom.set_ylim(bottom=0)
    bottom.set_xlabel(unit)
    top.margins(x=0)
    top.set_title(_title(result), fontsize="medium", loc="left")
    try:
        figure.savefig(path, dpi=120)
    except ValueError as error:
        raise InvalidArgumentError.of(
            "plot", "a file ending such as .png, .svg or .pdf", f"{Path(path).name!r} ({error})"
        ) from None


def _most_important(result: Result) -> list[int]:
    """Names that occur as labels, else as predictions, the most frequent first; in the order of the names."""
    weight = np.bincount(result.predictions, minlength=len(result.names)).astype(np.float64)
    if result.labels is not None:
        weight += len(result) * np.bincount(result.labels[result.labels >= 0], minlength=len(result.names))
    order = np.argsort(-weight, kind="stable")[:_SHOWN]
    return sorted(int(index) for index in order)


def _time(result: Result) -> tuple[NDArray[np.float64], str]:
    stamps, period = result.recording.timestamps, result.period
    if stamps is not None:
        return stamps[: len(result)] - stamps[0], "seconds"
    if period is not None:
        return np.arange(len(result), dtype=np.float64) * period, "seconds"
    return np.arange(len(result), dtype=np.float64), "frames"


def _strips(axes: Any, result: Result, time: NDArray[np.float64], colours: dict[int, Any]) -> None:
    rows: list[tuple[str, NDArray[np.int64]]] = [("prediction", result.predictions)]
    if result.labels is not None:
        rows.append(("label", result.labels))
    edges = np.append(time, time[-1] + (time[-1] - time[0]) / max(1, len(time) - 1))
    for y, (_, values) in enumerate(reversed(rows)):
        for start, stop, value in _runs(values):
            if value >= 0:
                axes.broken_barh(
                    [(edges[start], edges[stop] - edges[start])], (y + 0.1, 0.8), color=colours.get(value, "0.85")
                )
    axes.set_yticks([y + 0.5 for y in range(len(rows))], [name for name, _ in reversed(rows)])
    axes.set_ylim(0, len(rows))


def _runs(values: Sequence[int] | NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """(start, stop, value) of each run of equal values."""
    array = np.asarray(values)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(array)) + 1])
    stops = np.append(starts[1:], len(array))
    return [(int(a), int(b), int(array[a])) for a, b in zip(starts, stops, strict=True)]


def _title(result: Result) -> str:
    name = f"{Path(result.recording.source).name} {result.recording.name}".strip()
    accuracy = result.summary()["accuracy"]
    return f"{name} — {len(result)} frames" + (f", {accuracy['fraction']:.1%} correct" if accuracy else "")
