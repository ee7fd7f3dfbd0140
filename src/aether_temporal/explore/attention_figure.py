"""The picture of attention over a recording: a map for each layer and head, and the weights of the chosen query."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aether_temporal._internal.figures import (
    COLOURS,
    GREY,
    Picture,
    band_patches,
    draw_band,
    new_figure,
    plain,
    stacked,
    text,
    time_axis,
    tinted,
)
from aether_temporal.errors import InvalidArgumentError

from .attention_weights import Attention, Segment
from .picture_sources import dropped_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import SubFigure

_PANELS = 12
"""Up to this many maps, each head has its own; of more, the mean over heads is drawn."""
_LEAST, _MOST = 1e-3, 0.3
"""Weights outside this range are drawn like its ends. What a query does not see stays white."""
_QUERY = COLOURS[5]
_TOKEN, _BLOCK = COLOURS[0], COLOURS[1]


def attention_picture(
    found: Attention, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None
) -> Picture:
    """layers, heads: which ones to draw. None: all layers; each head, or the mean over heads if there are too many.

    InvalidArgumentError for an index out of range.
    """
    shown = _chosen("layer", layers, found.layers)
    each = _chosen("head", heads, found.heads)
    mean = heads is None and len(shown) * len(each) > _PANELS
    columns: list[tuple[str, list[int]]] = [("mean over heads", each)] if mean else [(f"head {h}", [h]) for h in each]
    time, unit, step = time_axis(found.recording.timestamps, found.recording.frame_rate, found.frames)
    back = _Distance.of(found, time, unit)
    width = max(11.0, 1.0 + 3.6 * len(columns))
    figure = new_figure(width, 0.9 + 2.3 * len(shown) + 0.5 + 2.4 * len(shown))
    top, bottom = stacked(figure, 0.5 + 2.3 * len(shown), 0.4 + 2.4 * len(shown))
    strip = 0.02 if found.predictions is None and found.labels is None else 0.16
    ratios = [strip] + [1.0] * len(shown)
    grid = top.subplots(len(shown) + 1, len(columns), sharex=True, squeeze=False, height_ratios=ratios)
    maps = [_maps(found, layer, members) for layer in shown for _, members in columns]
    unnamed: set[int] = set()
    for place, (title, _) in zip(grid[0], columns, strict=True):
        unnamed |= _strip(place, found, np.append(time, time[-1] + step), title, (width - 2.0) / len(columns))
    for place, parts, index in zip(grid[1:].flat, maps, range(len(maps)), strict=True):
        mesh = _map(place, found, parts, time, step, back)
        row, column = divmod(index, len(columns))
        label = f"layer {shown[row]}\n{back.unit} back" if column == 0 else ""
        plain(place, "", unit if row == len(shown) - 1 else "", label)
    top.colorbar(mesh, ax=list(grid[1:].flat), label="weight of a frame", shrink=0.9, pad=0.01, extend="both")
    top.suptitle(f"{text(_title(found))}: attention weights by time and distance", fontsize=11, x=0.01, ha="left")
    _legend(top, found, unnamed)
    rows = bottom.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for place, layer in zip(rows, shown, strict=True):
        _query(place, found, layer, each, back, last=layer == shown[-1])
    rows[0].legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0.0, 0.98), ncols=2, borderpad=0)
    prediction = "" if found.prediction is None else f"; prediction: {text(found.prediction)}"
    which = "mean over " + ("heads" if len(each) == found.heads else "heads " + ", ".join(map(str, each)))
    if len(each) == 1:
        which = f"head {each[0]}"
    at = f" at {time[found.query]:.2f} s" if unit == "seconds" else ""
    bottom.suptitle(
        f"Attention weights of frame {found.query}{at} ({which}){prediction}",
        fontsize=11,
        x=0.01,
        ha="left",
    )
    return Picture(f"Attention: {_title(found)}", figure, _lines(found), _table(found))


def _chosen(what: str, wanted: Sequence[int] | None, count: int) -> list[int]:
    for index in wanted or ():
        if not 0 <= index < count:
            raise InvalidArgumentError.of(what, f"0 to {count - 1}, as the model has them", index)
    return sorted(set(wanted)) if wanted else list(range(count))


def _title(found: Attention) -> str:
    return f"{Path(found.recording.source).name} {found.recording.name}".strip()


def _maps(found: Attention, layer: int, heads: list[int]) -> list[NDArray[np.float64]]:
    return [segment.maps[layer].heads[heads].mean(axis=0) for segment in found.segments]


@dataclass(frozen=True)
class _Distance:
    """How distances between frames are drawn: `time` of each frame and the `step` between two, in `unit`. The unit is
    a time only if the frames come evenly, else frames."""

    time: NDArray[np.float64]
    step: float
    unit: str

    @classmethod
    def of(cls, found: Attention, time: NDArray[np.float64], unit: str) -> _Distance:
        steps = np.concatenate([np.diff(time[part.begin : part.end]) for part in found.segments])
        if len(steps) and np.abs(steps - steps.mean()).max() < 0.2 * steps.mean():
            return cls(time, float(steps.mean()), unit)
        return cls(np.arange(len(time), dtype=np.float64), 1.0, "frames")


def _time_edges(segment: Segment, time: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """When the columns of a segment's maps begin, and when the last one ends."""
    inside = time[segment.begin : segment.end]
    last = float(inside[-1] - inside[0]) / (len(inside) - 1) if len(inside) > 1 else step
    return np.append(inside[segment.edges[:-1]], inside[-1] + last)


def _map(
    axes: Axes,
    found: Attention,
    parts: list[NDArray[np.float64]],
    time: NDArray[np.float64],
    step: float,
    back: _Distance,
) -> QuadMesh:
    from matplotlib.colors import LogNorm

    norm, meshes = LogNorm(_LEAST, _MOST), []
    for segment, values in zip(found.segments, parts, strict=True):
        rows = np.arange(values.shape[0] + 1) * segment.frames_per_row * back.step
        seen = np.ma.masked_where(values <= 0, values)
        edges = _time_edges(segment, time, step)
        meshes.append(axes.pcolormesh(edges, rows, seen, norm=norm, cmap=tinted(), rasterized=True))
    axes.axvline(time[found.query], color=_QUERY, lw=1.2)
    axes.set_xlim(time[0], time[-1] + step)
    axes.set_ylim(0, _farthest(found) * back.step)
    return meshes[-1]


def _farthest(found: Attention) -> int:
    """Distance of the farthest frame with a weight, in frames."""
    return max(
        (int(np.flatnonzero(layer.heads.max(axis=(0, 2))).max()) + 1) * segment.frames_per_row
        for segment in found.segments
        for layer in segment.maps
    )


def _strip(axes: Axes, found: Attention, edges: NDArray[np.float64], title: str, inches: float) -> set[int]:
    """Draws the labels, or predictions if there are no labels, as coloured spans between `edges` [T + 1].

    A span has its class's name if the strip of this many inches has room for it. Returns the classes without a name.
    """
    values = found.predictions if found.labels is None else found.labels
    plain(axes, title)
    if values is None:
        axes.set_axis_off()
        return set()
    unnamed = draw_band(axes, edges, values, found.names, inches)
    axes.set_yticks([0.5], ["prediction" if found.labels is None else "label"], fontsize=7)
    return set(unnamed)


def _legend(part: SubFigure, found: Attention, unnamed: set[int]) -> None:
    """Names the line of the chosen frame, and the colours without a name in a strip (unless colours repeat)."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=_QUERY, lw=1.2, label=f"frame {found.query}"), *band_patches(unnamed, found.names)]
    part.legend(handles=handles, loc="outside upper right", ncols=len(handles), frameon=False, fontsize=8)


def _query(axes: Axes, found: Attention, layer: int, heads: list[int], back: _Distance, last: bool) -> None:
    """Draws the weights of frames as bars, and those of block means as spans over their frames."""
    weights, segment = found.weights(layer)
    time, step = back.time, back.step
    tokens, means = weights.of_tokens[heads, 0].mean(axis=0), weights.of_means[heads, 0].mean(axis=0)
    seen = tokens > 0
    frames = weights.tokens[seen] + segment.begin
    now, label = time[found.query], f"block means, {_lengths(weights.spans[means > 0])} frames each"
    for (first, last), weight in zip(weights.spans + segment.begin, means, strict=True):
        if weight > 0:
            left, right = time[first] - now, time[last - 1] + step - now
            axes.fill_between([left, right], [weight, weight], color=_BLOCK, alpha=0.35, lw=0, label=label)
            axes.plot([left, left, right, right], [0, weight, weight, 0], color=_BLOCK, lw=1)
            label = "_"
    axes.bar(time[frames] - now, tokens[seen], width=step, align="edge", color=_TOKEN, lw=0, label="frames")
    axes.margins(x=0.01)
    axes.set_ylim(bottom=0)
    share = float(means.sum())
    plain(axes, "", f"{back.unit} from the chosen frame" if last else "", f"layer {layer}\nweight")
    axes.text(
        1.0, 1.0, f"{1 - share:.0%} frames, {share:.0%} block means", transform=axes.transAxes, ha="right", va="bottom",
        fontsize=8, color=GREY,
    )  # fmt: skip


def _lengths(spans: NDArray[np.int64]) -> str:
    """How many frames a mean has, "4" or "4 to 64"."""
    lengths = np.unique(spans[:, 1] - spans[:, 0])
    return " to ".join(map(str, dict.fromkeys((lengths.min(), lengths.max())))) if len(lengths) else ""


def _lines(found: Attention) -> list[str]:
    beyond = [float(np.mean([s.maps[layer].beyond.mean() for s in found.segments])) for layer in range(found.layers)]
    lines = [
        "Softmax weights of the model's attention. In the maps, the weight of a block mean is divided equally among "
        "its frames; below, it is drawn over its frames. A layer after the first attends to the output of the layer "
        "before, not to the frames themselves.",
        f"Applied to the values, the weights give the core's own attention output to within {found.difference:.1e} of "
        "the largest.",
    ]
    if max(beyond) > 0:
        shares = ", ".join(f"layer {layer}: {share:.1%}" for layer, share in enumerate(beyond))
        lines.append(f"Not in the maps: the mean weight of global frames farther back ({shares}).")
    return [*lines, *dropped_line(Counter(found.recording.dropped)), *found.notes]


def _table(found: Attention) -> list[list[str]]:
    """Where the chosen query's weight goes, by layer and head."""
    rows = [["layer, head", "frames", "block means", "mean distance, frames", "largest weight of a frame"]]
    for layer in range(found.layers):
        weights, _ = found.weights(layer)
        back = weights.begin - weights.tokens
        for head in range(found.heads):
            tokens, means = weights.of_tokens[head, 0], weights.of_means[head, 0]
            total = tokens.sum()
            distance = f"{(tokens * back).sum() / total:.1f}" if total > 0 else ""
            rows.append([f"{layer}, {head}", f"{total:.3f}", f"{means.sum():.3f}", distance, f"{tokens.max():.3f}"])
    return rows
