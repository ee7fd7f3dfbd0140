"""The pictures of a verdict (extra `plot`), as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aether_temporal._internal.figures import COLOURS as PALETTE
from aether_temporal._internal.figures import can_draw, file_bytes, row_of_axes, tinted

from .gate_config import GateConfig
from .kernel_comparison import attention_map
from .latency import MODEL, PREFILL, PUSH, STEP
from .study import (
    BACKENDS,
    BROKEN_DISTILLED,
    DENSE_NAME,
    EXCHANGED,
    SPARSE,
    TRAINED,
    exchanged,
)
from .verdict import LATENCY_LIMIT, ORDER_LIMIT, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Metrics = Mapping[int, Sequence[Mapping[str, Any]]]
"""By seed, the lines of its run."""

COLOURS = {"dense": PALETTE[5], "sparse": PALETTE[0]}


def draw(config: GateConfig, found: Verdict, metrics: Metrics) -> dict[str, bytes]:
    """SVG by name; none without matplotlib."""
    if not can_draw():
        return {}
    figures = {
        "loss": losses(found, metrics),
        "neighbours": neighbours(config, found),
        "latency": latencies(config, found),
        "attention": attention(config, found),
    }
    return {name: file_bytes(figure, "svg", 144) for name, figure in figures.items()}


def losses(found: Verdict, metrics: Metrics) -> Figure:
    """The contrastive term by step, a thin line a seed, and the mean over seeds."""
    figure, (axes,) = row_of_axes(1, 7.5, 3.6)
    for backend in BACKENDS:
        curves = []
        for result in found.seeds:
            part = [line for line in metrics[result.seed] if line.get("part") == backend]
            lines = [line for line in part if line.get("contrast") is not None]
            steps, values = np.array([[line["step"], line["contrast"]] for line in lines]).reshape(-1, 2).T
            axes.plot(steps, values, color=COLOURS[backend], lw=0.6, alpha=0.35)
            curves.append(values)
        shortest = min(map(len, curves))
        mean = np.mean([curve[:shortest] for curve in curves], axis=0)
        axes.plot(steps[:shortest], mean, color=COLOURS[backend], lw=1.8, label=f"{backend}, training")
        name = DENSE_NAME if backend == "dense" else TRAINED
        held_out = float(np.mean([result.measured[name].loss for result in found.seeds]))
        axes.axhline(
            held_out, color=COLOURS[backend], lw=1.2, ls=":", label=f"{backend}, held-out identities at the end"
        )
    axes.set_xlabel("step")
    axes.set_ylabel("contrastive loss (NT-Xent)")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return figure


def neighbours(config: GateConfig, found: Verdict) -> Figure:
    """Where sparse networks put the dense one's nearest, and how far each probe's order agrees."""
    figure, axes = row_of_axes(3, 3.7, 3.7)
    colours = {EXCHANGED: PALETTE[1], SPARSE: PALETTE[0], BROKEN_DISTILLED: "0.5"}
    for place, name in zip(axes[:2], colours, strict=False):
        ranks = np.concatenate([result.measured[name].orders.ranks for result in found.seeds])
        chosen = np.random.default_rng(0).permutation(len(ranks))[:200]
        across, up = np.random.default_rng(1).uniform(-0.4, 0.4, (2, len(chosen), config.neighbours))
        x = np.arange(1, config.neighbours + 1) + across
        place.scatter(x, ranks[chosen] + up, s=2, alpha=0.15, lw=0, color=colours[name], rasterized=True)
        place.plot([1, config.neighbours], [1, config.neighbours], color="black", lw=1)
        place.plot(range(1, config.neighbours + 1), np.median(ranks, axis=0), color="0.35", lw=1.5, label="median")
        place.set_ylim(0, max(1.1 * config.neighbours, float(np.quantile(ranks, 0.99))))
        place.set_xlabel("rank by the dense network")
        place.set_ylabel("rank by the sparse network")
        place.set_title(name, fontsize=9)
        place.legend(frameon=False, fontsize=8)
    bins = np.linspace(-0.2, 1, 61).tolist()
    for name, shade in colours.items():
        values = np.concatenate([result.measured[name].orders.spearman for result in found.seeds])
        axes[2].hist(np.maximum(values, -0.2), bins, color=shade, histtype="step", label=name)
    axes[2].axvline(ORDER_LIMIT, color="black", lw=1, ls="--", label=f"limit {ORDER_LIMIT}")
    axes[2].set_xlabel("Spearman of one probe's neighbours")
    axes[2].set_ylabel("probes")
    axes[2].legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def latencies(config: GateConfig, found: Verdict) -> Figure:
    """Seconds, and the ratio with the limit, against the window."""
    figure, (seconds, ratios) = row_of_axes(2, 4.6, 3.7)
    frames = sorted({ratio.frames for ratio in found.latency})
    by = {(ratio.job, ratio.frames): ratio for ratio in found.latency}
    for name, job, backend, style in (
        ("dense, whole window", PREFILL, "dense", "-"),
        ("sparse, whole window", PREFILL, "sparse", "-"),
        ("sparse, one step", STEP, "sparse", "--"),
    ):
        values = [getattr(by[job, n], backend) * 1e6 for n in frames]
        seconds.plot(frames, values, style, marker="o", ms=3, color=COLOURS[backend], label=name)
    for job, style in ((PREFILL, "-"), (STEP, "--"), (MODEL, ":"), (PUSH, "-.")):
        values, low, high = ([getattr(by[job, n], field) for n in frames] for field in ("ratio", "low", "high"))
        lines = ratios.plot(frames, values, style, marker="o", ms=3, label=job)
        ratios.fill_between(frames, low, high, color=lines[0].get_color(), alpha=0.15)
    ratios.axhline(LATENCY_LIMIT, color="black", lw=1, ls="--", label=f"limit {LATENCY_LIMIT:g}")
    ratios.axvline(config.deployed, color="0.7", lw=1)
    seconds.set_ylabel("microseconds")
    ratios.set_ylabel("dense / sparse")
    for axes in (seconds, ratios):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(frames, [str(n) for n in frames])
        axes.minorticks_off()
        axes.set_xlabel("frames of the window")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    return figure


def attention(config: GateConfig, found: Verdict) -> Figure:
    """The first layer on one held-out window, under the weights trained dense: by both kernels."""
    figure, axes = row_of_axes(2, 4.9, 4.2)
    result = found.seeds[0]
    for place, backend in zip(axes, BACKENDS, strict=True):
        network = exchanged(result.networks[DENSE_NAME], config.head(backend))
        weights = attention_map(network, result.window.numpy())
        _show(place, weights.values.mean(axis=0), len(weights.tokens))
        place.set_title(f"{backend} kernel", fontsize=9)
    return figure


def _show(axes: Axes, weights: NDArray[np.float64], tokens: int) -> None:
    """Logarithmic colours; what is not seen stays white. Columns right of a line are block means."""
    from matplotlib.colors import LogNorm

    shown = np.ma.masked_where(weights <= 0, weights)
    picture = axes.imshow(shown, cmap=tinted(), norm=LogNorm(1e-3, 1), aspect="auto", interpolation="nearest")
    if weights.shape[1] > tokens:
        axes.axvline(tokens - 0.5, color="black", lw=1)
        axes.text(tokens + 0.5, -1, "block means", fontsize=7, va="bottom", ha="center")
    axes.set_xlabel("token")
    axes.set_ylabel("query")
    assert axes.figure is not None
    axes.figure.colorbar(picture, ax=axes, label="weight, mean over heads")
