"""What `aether train reid` does: one training or several seeds, each with a run folder if asked for; the report as
text, JSON and pictures (extra `plot`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aether_temporal._internal.figures import NO_PLOTS, can_draw, file_bytes, row_of_axes

from . import reid
from .configuration import RunSettings
from .dataset import Dataset, without_short_segments
from .evaluation import Mean, mean_of
from .plots import loss_figure
from .prepared import file_names, read_dataset
from .reading import Reading
from .reid import ATTRIBUTION, Recipe, Report
from .reid_protocol import inside_galleries
from .retrieval import Interval, Matches, compare, evaluate, figures, roc
from .runs import Run, expect_place, say_written, seed_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS = {"model": "model", "start": "before contrast", "LDA": "LDA", "cosine": "cosine"}
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
    """One part over all reports. rows: figures of each method; gains: the model less each baseline; seeds: rank-1 of
    the model, the mean over seeds with Student's interval; lda_decisions: LDA as a classifier, its mean."""

    name: str
    identities: int
    probes: int
    rows: dict[str, dict[str, Interval]]
    gains: dict[str, dict[str, Interval]]
    seeds: Mean
    lda_decisions: float | None

    def lines(self) -> list[str]:
        """As text."""
        where = f"{self.identities} identities" + (f", {self.seeds.count} seeds" if self.seeds.count > 1 else "")
        head = f"{self.name} ({where}, {self.probes} probe windows)"
        found = [head, " " * 26 + "".join(f"{TITLES[name]:<25}" for name in SHOWN)]
        rows = [(METHODS[method], row) for method, row in self.rows.items()]
        rows += [(f"model - {METHODS[method]}", row) for method, row in self.gains.items()]
        found += [f"  {title:<24}" + "".join(f"{row[name]!s:<25}" for name in SHOWN) for title, row in rows]
        if self.lda_decisions is not None:
            found.append(f"  LDA as a classifier of the identities it was fitted on: {self.lda_decisions:.3f}")
        if self.seeds.count > 1:
            found.append(f"  rank-1 of the model over seeds: {self.seeds}")
        return [line.rstrip() for line in found]

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        return dataclasses.asdict(self)


def summarise(reports: Sequence[Report]) -> list[Summary]:
    """Each part that all reports have: means over the reports (one a seed), intervals over identities."""
    found = []
    for name in reports[0].matches:
        by_method: Mapping[str, list[Matches]] = {
            method: [report.matches[name][method] for report in reports] for method in METHODS
        }
        model = by_method["model"]
        decided = [report.lda_decisions for report in reports if report.lda_decisions is not None]
        identities = len({identity for matches in model for identity in matches.identities})
        found.append(
            Summary(
                name,
                identities,
                sum(len(matches.labels) for matches in model),
                {method: evaluate(matches, draws=DRAWS) for method, matches in by_method.items()},
                {
                    method: compare(model, matches, draws=DRAWS)
                    for method, matches in by_method.items()
                    if method != "model"
                },
                mean_of([float(figures(matches)["rank1"].mean()) for matches in model]),
                sum(decided) / len(decided) if name == "trained identities" and decided else None,
            )
        )
    return found


MOST = 20


def draw_reid(run: Run, report: Report) -> None:
    """Writes plots/*.png into the run's folder; nothing without one, or without matplotlib. RunError for a full
    disk."""
    if run.folder is None or not can_draw():
        return
    pictures = {"plots/loss.png": loss_figure(run), "plots/retrieval.png": _retrieval(report.matches)}
    for name, figure in pictures.items():
        run.write(name, file_bytes(figure, "png", 110))


def _retrieval(parts: Mapping[str, Mapping[str, Matches]]) -> Figure:
    figure, axes = row_of_axes(2 * len(parts), 4.0)
    for index, (name, methods) in enumerate(parts.items()):
        found, verified = axes[2 * index], axes[2 * index + 1]
        for method, matches in methods.items():
            most = min(MOST, len(matches.identities))
            found.plot(range(1, most + 1), matches.cumulative(most), marker="o", ms=3, lw=1, label=METHODS[method])
            false_positives, true_positives = roc(matches.near, matches.labels)
            verified.plot(false_positives, true_positives, lw=1, label=METHODS[method])
        found.set_title(name, fontsize=9)
        found.set_xlabel("identity among the first")
        found.locator_params(axis="x", integer=True)
        found.set_ylabel("share of probe windows")
        found.set_ylim(None, 1.005)
        verified.set_xscale("log")
        verified.set_xlim(1e-4, 1)
        verified.set_title(f"verification, {name}", fontsize=9)
        verified.set_xlabel("share of others accepted")
        verified.set_ylabel("identities recognised")
        for place in (found, verified):
            place.grid(alpha=0.3)
            place.legend(frameon=False, fontsize=8)
    return figure


__all__ = ["Recipe", "main"]

Say = Callable[[str], None]


def main(data: Sequence[str], recipe: Recipe, reading: Reading, run: RunSettings, say: Say, **options: Any) -> None:
    """The command; `options` by the names of its switches. All errors are the package's."""
    expect_place(options["out"])
    found = read_dataset(*data, reading=reading)
    for note in found.notes:
        say(note)
    dataset = without_short_segments(found, recipe.shape.length)
    if options["inside_galleries"]:
        dataset = inside_galleries(dataset)
    if not recipe.provenance:
        wiper = any("wiper" in Path(recording.source).name for recording in dataset)
        text = ATTRIBUTION if wiper else f"Trained on recordings of {file_names(data)}."
        recipe = dataclasses.replace(recipe, provenance=text)
    seeds = range(recipe.seed, recipe.seed + options["seeds"])
    alone = len(seeds) == 1
    reports = [
        _train(data, dataset, dataclasses.replace(recipe, seed=seed), run, options, alone=alone, say=say)
        for seed in seeds
    ]
    first = reports[0]
    if options["out"] is not None:
        first.blob.save(options["out"])
    say(f"model: {len(first.blob.serialize())} bytes; a stream on a 32-bit chip: {first.ram} bytes of RAM")
    summaries = summarise(reports)
    for summary in summaries:
        for line in summary.lines():
            say(line)
    folder = options["run_folder"]
    if folder is not None:
        Run(Path(folder), {}).write(
            "result.json",
            {"seeds": list(seeds), "ram": first.ram, **{summary.name: summary.document() for summary in summaries}},
        )
    say_written(options["out"], seed_folder(folder, seeds[0], len(seeds)), say)


def _train(
    data: Sequence[str],
    dataset: Dataset,
    recipe: Recipe,
    settings: RunSettings,
    options: dict[str, Any],
    *,
    alone: bool,
    say: Say,
) -> Report:
    """One seed; of several each has a folder of its own."""
    folder = options["run_folder"]
    protocol = reid.expect_trainable(dataset, recipe)  # before anything is written
    configuration = reid.configuration(dataset, protocol, recipe, file_names(data))
    place = seed_folder(folder, recipe.seed, 1 if alone else 2)
    with Run.open(place, configuration, resume=options["resume"], steps=("contrast", "steps")) as run:
        if run.lengthened:
            say(run.lengthened)
        report = reid.train_reid(
            dataset,
            recipe,
            run=run,
            title="reid" if alone else f"reid, seed {recipe.seed}",
            checkpoint_every=settings.checkpoint_every,
            workers=settings.workers,
            show_progress=not options["quiet"],
        )
        run.write("model.rvne", report.blob.serialize())
        draw_reid(run, report)
        if run.folder is not None and not can_draw():
            say(NO_PLOTS)
    return report
