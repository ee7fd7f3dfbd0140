"""Pictures of a re-identification run (extra `plot`): loss, cumulative match, verification."""

from __future__ import annotations

import io
from collections.abc import Mapping

from .plots import can_draw, figure_of, loss_figure
from .reid import Report
from .reid_report import METHODS
from .retrieval import Matches, roc
from .run import Run

MOST = 20


def draw_reid(run: Run, report: Report) -> None:
    """Writes plots/*.png into the run's folder; nothing without one, or without matplotlib. RunError for a full
    disk."""
    if run.folder is None or not can_draw():
        return
    pictures = {"plots/loss.png": loss_figure(run), "plots/retrieval.png": _retrieval(report.matches)}
    for name, figure in pictures.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
        run.write(name, buffer.getvalue())


def _retrieval(parts: Mapping[str, Mapping[str, Matches]]):  # type: ignore[no-untyped-def]
    figure, axes = figure_of(2 * len(parts), 4.0)
    for index, (name, methods) in enumerate(parts.items()):
        found, verified = axes[2 * index], axes[2 * index + 1]
        for method, matches in methods.items():
            most = min(MOST, len(matches.persons))
            found.plot(range(1, most + 1), matches.cumulative(most), marker="o", ms=3, lw=1, label=METHODS[method])
            strangers, right = roc(matches.near, matches.truth)
            verified.plot(strangers, right, lw=1, label=METHODS[method])
        found.set_title(name, fontsize=9)
        found.set_xlabel("person among the first")
        found.locator_params(axis="x", integer=True)
        found.set_ylabel("share of probe windows")
        found.set_ylim(None, 1.005)
        verified.set_xscale("log")
        verified.set_xlim(1e-4, 1)
        verified.set_title(f"verification, {name}", fontsize=9)
        verified.set_xlabel("strangers let in")
        verified.set_ylabel("right persons let in")
        for place in (found, verified):
            place.grid(alpha=0.3)
            place.legend(frameon=False, fontsize=8)
    return figure
