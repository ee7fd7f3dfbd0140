"""What `aether train reid` does, with a run folder if asked for; the report as text, JSON and pictures (extra
`plot`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aether_temporal._internal.figures import NO_PLOTS, can_draw, colour, file_bytes, plain, row_of_axes

from . import reid
from .dataset import without_short_segments
from .prepared import file_names, read_dataset
from .reading import Reading, RunSettings
from .reid import ATTRIBUTION, TRAINED, Recipe, Report
from .retrieval import Interval, Matches, compare, evaluate, roc
from .runs import Run, expect_place, say_written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS = ("model", "LDA", "cosine")
TITLES = {
    "rank1": "rank-1",
    "rank5": "rank-5",
    "map": "mAP",
    "auc": "AUC",
    "enrolled_rank1": "rank-1 of enrolled means",
}
SHOWN = ("rank1", "rank5", "map", "auc", "enrolled_rank1")
DRAWS = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class Summary:
    """One part, over all trainings that were asked for it. rows: figures of each method; gains: the model less each
    baseline; lda_decisions: LDA as a classifier of trained identities."""

    name: str
    identities: int
    probes: int
    rows: dict[str, dict[str, Interval]]
    gains: dict[str, dict[str, Interval]]
    lda_decisions: float | None

    def lines(self) -> list[str]:
        """As text."""
        head = f"{self.name} ({self.identities} identities, {self.probes} probe windows)"
        found = [head, " " * 18 + "".join(f"{TITLES[name]:<25}" for name in SHOWN)]
        rows = list(self.rows.items()) + [(f"model - {method}", row) for method, row in self.gains.items()]
        found += [f"  {title:<16}" + "".join(f"{row[name]!s:<25}" for name in SHOWN) for title, row in rows]
        if self.lda_decisions is not None:
            found.append(f"  LDA as a classifier of the identities it was fitted on: {self.lda_decisions:.3f}")
        return [line.rstrip() for line in found]

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        return dataclasses.asdict(self)


def summarise(report: Report) -> list[Summary]:
    """Each part with intervals over identities."""
    found = []
    for name, methods in report.matches.items():
        model = methods["model"]
        found.append(
            Summary(
                name,
                len({identity for matches in model for identity in matches.identities}),
                sum(len(matches.labels) for matches in model),
                {method: evaluate(methods[method], draws=DRAWS) for method in METHODS},
                {method: compare(model, methods[method], draws=DRAWS) for method in METHODS if method != "model"},
                report.lda_decisions if name == TRAINED else None,
            )
        )
    return found


MOST = 20


def draw_reid(run: Run, report: Report) -> None:
    """Writes plots/*.png into the run's folder; nothing without one, or without matplotlib. RunError for a full
    disk."""
    if run.folder is None or not can_draw():
        return
    run.write("plots/retrieval.png", file_bytes(_retrieval(report.matches), "png", 110))


def _retrieval(parts: Mapping[str, Mapping[str, Sequence[Matches]]]) -> Figure:
    figure, axes = row_of_axes(2 * len(parts), 4.0)
    for (name, methods), found, verified in zip(parts.items(), axes[::2], axes[1::2], strict=True):
        for index, method in enumerate(METHODS):
            every = methods[method]
            most = min(MOST, *(len(matches.identities) for matches in every))
            ranks = np.concatenate([matches.ranks for matches in every])
            shares = [(ranks <= k).mean() for k in range(1, most + 1)]
            found.plot(range(1, most + 1), shares, marker="o", ms=3, lw=1, color=colour(index), label=method)
            for number, matches in enumerate(every):
                wrong, right = roc(matches.near, matches.labels)
                label = method if number == 0 else None
                verified.plot(100 * wrong, 100 * right, lw=1, color=colour(index), label=label)
        plain(found, name, "identity among the first", "share of probe windows")
        found.locator_params(axis="x", integer=True)
        found.set_ylim(None, 1.005)
        plain(verified, f"verification, {name}", "others accepted, %", "identities recognised, %")
        verified.set_xscale("symlog", linthresh=1)
        verified.set_xticks([0, 0.5, 1, 2, 5, 10, 20, 50, 100], ["0", "0.5", "1", "2", "5", "10", "20", "50", "100"])
        verified.minorticks_off()
        verified.set_xlim(0, 100)
        for place in (found, verified):
            place.grid(alpha=0.3)
            place.legend(frameon=False, fontsize=8)
    return figure


__all__ = ["Recipe", "main"]

Say = Callable[[str], None]


def main(data: Sequence[str], recipe: Recipe, reading: Reading, _: RunSettings, say: Say, **options: Any) -> None:
    """The command; `options` by the names of its switches. All errors are the package's."""
    expect_place(options["out"])
    found = read_dataset(*data, reading=reading)
    for note in found.notes:
        say(note)
    dataset = without_short_segments(found, recipe.length)
    if not recipe.provenance:
        wiper = any("wiper" in Path(recording.source).name for recording in dataset)
        text = ATTRIBUTION if wiper else f"Trained on recordings of {file_names(data)}."
        recipe = dataclasses.replace(recipe, provenance=text)
    report = reid.train_reid(dataset, recipe)
    with Run.open(options["run_folder"], reid.configuration(dataset, recipe, file_names(data))) as run:
        for line in report.held_out.lines():
            say(line)
        summaries = summarise(report)
        for summary in summaries:
            for line in summary.lines():
                say(line)
        say(f"model of all identities: {len(report.blob.serialize())} bytes; a stream: {report.ram} bytes of RAM")
        run.write("model.rvne", report.blob.serialize())
        run.write(
            "result.json",
            {
                "ram": report.ram,
                "held_out": dataclasses.asdict(report.held_out),
                **{summary.name: summary.document() for summary in summaries},
            },
        )
        draw_reid(run, report)
        if run.folder is not None and not can_draw():
            say(NO_PLOTS)
    if options["out"] is not None:
        report.blob.save(options["out"])
    say_written(options["out"], options["run_folder"], say, enrols=True)
