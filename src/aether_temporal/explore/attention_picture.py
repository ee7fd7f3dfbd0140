"""Attention over a recording as a picture: a map for each layer and head, and the chosen query's own weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal.errors import InvalidArgumentError

from .attention import Attention, Stretch
from .files import Picture
from .sources import dropped_line
from .style import COLOURS, GREY, MAP, colour, new_figure, plain, seconds, stacked, stretches, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_PANELS = 12
"""Maps of single heads at most; of more heads their mean is drawn."""
_LEAST = 1e-4
"""Weights below are drawn as this one; what is not looked at stays white."""
_TOKEN, _BLOCK = COLOURS[0], COLOURS[1]


def attention_picture(
    found: Attention, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None
) -> Picture:
    """layers, heads: which ones (None: all layers; each head, or the mean where that were too many maps).

    InvalidArgumentError for one that is not there.
    """
    shown = _chosen("layer", layers, found.layers)
    each = _chosen("head", heads, found.heads)
    mean = heads is None and len(shown) * len(each) > _PANELS
    columns: list[tuple[str, list[int]]] = [("mean of heads", each)] if mean else [(f"head {h}", [h]) for h in each]
    time, unit, step = seconds(found.recording)
    back = _Distance.of(found, time, unit)
    width = max(11.0, 1.0 + 3.6 * len(columns))
    figure = new_figure(width, 0.9 + 2.3 * len(shown) + 0.5 + 2.4 * len(shown))
    top, bottom = stacked(figure, 0.5 + 2.3 * len(shown), 0.4 + 2.4 * len(shown))
    strip = 0.02 if found.answers is None and found.truth is None else 0.16
    ratios = [strip] + [1.0] * len(shown)
    grid = top.subplots(len(shown) + 1, len(columns), sharex=True, squeeze=False, height_ratios=ratios)
    maps = [_maps(found, layer, members) for layer in shown for _, members in columns]
    drawn: Any = None
    unnamed: set[int] = set()
    largest = max(float(values.max()) for parts in maps for values in parts)
    for place, (title, _) in zip(grid[0], columns, strict=True):
        unnamed |= _strip(place, found, np.append(time, time[-1] + step), title, (width - 2.0) / len(columns))
    for place, parts, index in zip(grid[1:].flat, maps, range(len(maps)), strict=True):
        drawn = _map(place, found, parts, time, step, back, largest)
        row, column = divmod(index, len(columns))
        label = f"layer {shown[row]}\n{back.unit} back" if column == 0 else ""
        plain(place, "", unit if row == len(shown) - 1 else "", label)
    top.colorbar(drawn, ax=list(grid[1:].flat), label="weight of a frame", shrink=0.9, pad=0.01, extend="min")
    top.suptitle(f"{text(_title(found))}: how far back each frame looks", fontsize=11, x=0.01, ha="left")
    _legend(top, found, unnamed)
    rows = bottom.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for place, layer in zip(rows, shown, strict=True):
        _query(place, found, layer, each, back, last=layer == shown[-1])
    rows[0].legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0.0, 0.98), ncols=2, borderpad=0)
    answer = "" if found.answer is None else f"; the model answers “{text(found.answer)}”"
    which = "head " + ", ".join(map(str, each)) if len(each) < found.heads else "mean of heads"
    at = f"{time[found.query]:.2f} s" if unit == "seconds" else "in all of the recording"
    bottom.suptitle(
        f"What frame {found.query} ({at}) looks at, {which}{answer}",
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
    return [stretch.maps[layer].heads[heads].mean(axis=0) for stretch in found.stretches]


@dataclass(frozen=True)
class _Distance:
    """How far frames lie from one another, where that is a time: `time` of each, `step` from one to the next, in
    `unit`; where they come in bursts (or there is but one), in frames."""

    time: NDArray[np.float64]
    step: float
    unit: str

    @classmethod
    def of(cls, found: Attention, time: NDArray[np.float64], unit: str) -> _Distance:
        steps = np.concatenate([np.diff(time[part.begin : part.end]) for part in found.stretches])
        if len(steps) and np.abs(steps - steps.mean()).max() < 0.2 * steps.mean():
            return cls(time, float(steps.mean()), unit)
        return cls(np.arange(len(time), dtype=np.float64), 1.0, "frames")


def _time_edges(stretch: Stretch, time: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """When the columns of a stretch begin, and when the last one ends."""
    inside = time[stretch.begin : stretch.end]
    last = float(inside[-1] - inside[0]) / (len(inside) - 1) if len(inside) > 1 else step
    return np.append(inside[stretch.edges[:-1]], inside[-1] + last)


def _map(
    axes: Axes,
    found: Attention,
    parts: list[NDArray[np.float64]],
    time: NDArray[np.float64],
    step: float,
    back: _Distance,
    largest: float,
) -> Any:
    from matplotlib.colors import LogNorm

    norm, drawn = LogNorm(_LEAST, max(largest, 10 * _LEAST)), None
    for stretch, values in zip(found.stretches, parts, strict=True):
        rows = np.arange(values.shape[0] + 1) * stretch.frames_a_row * back.step
        clipped = np.ma.masked_where(values <= 0, np.maximum(values, _LEAST))
        drawn = axes.pcolormesh(_time_edges(stretch, time, step), rows, clipped, norm=norm, cmap=MAP, rasterized=True)
    axes.axvline(time[found.query], color=COLOURS[5], lw=0.8)
    axes.set_xlim(time[0], time[-1] + step)
    axes.set_ylim(0, _farthest(found) * back.step)
    return drawn


def _farthest(found: Attention) -> int:
    """Frames back to the last one that anything looks at."""
    return max(
        (int(np.flatnonzero(layer.heads.max(axis=(0, 2))).max()) + 1) * stretch.frames_a_row
        for stretch in found.stretches
        for layer in stretch.maps
    )


def _strip(axes: Axes, found: Attention, edges: NDArray[np.float64], title: str, inches: float) -> set[int]:
    """Truth where it is known, else the model's answers, as coloured stretches between `edges` [T + 1]; their names
    where there is room in a strip of so many inches. What has its name nowhere."""
    values = found.answers if found.truth is None else found.truth
    plain(axes, title)
    axes.set_ylim(0, 1)
    axes.tick_params(length=0, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_yticks([])
    if values is None:
        return set()
    axes.set_yticks([0.5], ["answer" if found.truth is None else "truth"], fontsize=7)
    named: set[int] = set()
    for start, stop, value in stretches(values):
        if value < 0:
            continue
        left, right = edges[start], edges[stop]
        axes.axvspan(left, right, color=colour(value), alpha=0.55, lw=0)
        name = _short(found.names[value])
        if (right - left) / (edges[-1] - edges[0]) * inches > 0.1 + 0.065 * len(name):
            axes.text((left + right) / 2, 0.5, name, ha="center", va="center", fontsize=7)
            named.add(value)
    return {int(value) for value in np.unique(values) if value >= 0} - named


def _legend(part: SubFigure, found: Attention, unnamed: set[int]) -> None:
    """The colours that have no name in a strip. Beyond eight they would repeat, and say nothing."""
    from matplotlib.patches import Patch

    if 0 < len(unnamed) <= len(COLOURS):
        patches = [
            Patch(color=colour(value), alpha=0.55, label=_short(found.names[value])) for value in sorted(unnamed)
        ]
        part.legend(handles=patches, loc="outside upper right", ncols=len(patches), frameon=False, fontsize=8)


def _short(name: str) -> str:
    return text(name if len(name) <= 12 else name[:11] + "…").lower()


def _query(axes: Axes, found: Attention, layer: int, heads: list[int], back: _Distance, last: bool) -> None:
    """Weights of frames as bars, of block means as spans over the frames they are the mean of."""
    weights, stretch = found.weights(layer)
    size = stretch.attending[layer].pattern.block_size
    time, step = back.time, back.step
    tokens, blocks = weights.of_tokens[heads, 0].mean(axis=0), weights.of_blocks[heads, 0].mean(axis=0)
    seen = tokens > 0
    frames = weights.tokens[seen] + stretch.begin
    now, label = time[found.query], f"block means, {size} frames each"
    for block, weight in zip(weights.blocks, blocks, strict=True):
        if weight > 0:
            first = int(block) * size + stretch.begin
            left, right = time[first] - now, time[first + size - 1] + step - now
            axes.fill_between([left, right], [weight, weight], color=_BLOCK, alpha=0.35, lw=0, label=label)
            axes.plot([left, left, right, right], [0, weight, weight, 0], color=_BLOCK, lw=1)
            label = "_"
    axes.bar(time[frames] - now, tokens[seen], width=step, align="edge", color=_TOKEN, lw=0, label="frames")
    axes.margins(x=0.01)
    axes.set_ylim(bottom=0)
    share = float(blocks.sum())
    plain(axes, "", f"{back.unit} from the chosen frame" if last else "", f"layer {layer}\nweight")
    axes.text(
        1.0, 1.0, f"{1 - share:.0%} frames, {share:.0%} block means", transform=axes.transAxes, ha="right", va="bottom",
        fontsize=8, color=GREY,
    )  # fmt: skip


def _lines(found: Attention) -> list[str]:
    beyond = [float(np.mean([s.maps[layer].beyond.mean() for s in found.stretches])) for layer in range(found.layers)]
    lines = [
        "Softmax weights of the model's own attention. In the maps a block mean's weight is shared out equally among "
        "its frames; below, it is drawn over the frames it is the mean of. A layer looks at what the layer before made "
        "of the frames, not at the frames themselves.",
        f"Computed in binary64; what the model gives by them differs from the core's by {found.difference:.1e} of the "
        "largest.",
    ]
    if max(beyond) > 0:
        told = ", ".join(f"layer {layer}: {share:.1%}" for layer, share in enumerate(beyond))
        lines.append(f"Not in the maps, since they lie farther back: global frames, on average {told}.")
    return [*lines, *dropped_line(Counter(found.recording.dropped)), *found.notes]


def _table(found: Attention) -> list[list[str]]:
    """The chosen query by layer and head: where the weight goes."""
    rows = [["layer, head", "frames", "block means", "mean distance, frames", "largest weight of a frame"]]
    for layer in range(found.layers):
        weights, _ = found.weights(layer)
        back = weights.begin - weights.tokens
        for head in range(found.heads):
            tokens, blocks = weights.of_tokens[head, 0], weights.of_blocks[head, 0]
            total = tokens.sum()
            distance = f"{(tokens * back).sum() / total:.1f}" if total > 0 else ""
            rows.append([f"{layer}, {head}", f"{total:.3f}", f"{blocks.sum():.3f}", distance, f"{tokens.max():.3f}"])
    return rows
