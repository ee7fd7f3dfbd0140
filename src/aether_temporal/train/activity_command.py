"""What `aether train activity` does: one training, several seeds, or cross-validation; each with a run folder if
asked for."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aether_temporal._internal.figures import NO_PLOTS, can_draw
from aether_temporal.errors import RecordingShapeError

from . import activity, splits
from .activity import Recipe, Report
from .dataset import Dataset
from .evaluation import Mean, Scores, mean_of, say_classes, share_of, temperature_note
from .prepared import file_names
from .reading import Reading, RunSettings
from .runs import Run, expect_place, say_written, seed_folder
from .splits import Split

__all__ = ["Recipe", "main"]

Say = Callable[[str], None]


def main(data: Sequence[str], recipe: Recipe, reading: Reading, run: RunSettings, say: Say, **options: Any) -> None:
    """The command; `options` by the names of its switches. All errors are the package's."""
    expect_place(options["out"])
    dataset = activity.read_activities(*data, reading=reading)
    test = activity.read_activities(*options["test"], reading=reading) if options["test"] else None
    if test is not None and test.features.subcarriers != dataset.features.subcarriers:
        raise RecordingShapeError(
            f"{', '.join(options['test'])}: subcarriers: expected {dataset.features.subcarriers or 'none known'}, as "
            f"training has them, found {test.features.subcarriers or 'none known'}; choose some that both have "
            "(--subcarriers), or state the chip or the layout (--chip, --layout, or a manifest)"
        )
    folds = options["cross_validate"]
    for note in (*dataset.notes, *(test.notes if test else ())):
        say(note)
    dataset, split = activity.choose_split(
        dataset,
        test=test,
        train_sessions=options["train_sessions"],
        test_sessions=options["test_sessions"],
        test_subjects=options["test_subjects"],
        hold_out=not folds,
    )
    if split.how:
        say(split.how)
    if not recipe.provenance and any("geotec" in Path(recording.source).name for recording in dataset):
        recipe = dataclasses.replace(recipe, provenance=activity.ATTRIBUTION)
    job = _Job(data, dataset, split, recipe, run, options, say)
    if folds:
        job.cross_validate(folds)
        return
    activity.expect_trainable(dataset, split, recipe)  # before anything is written
    activity.expect_known_labels(dataset, split)
    seeds = range(recipe.seed, recipe.seed + options["seeds"])
    reports = [job.train(seed, alone=len(seeds) == 1, first=seed == seeds[0]) for seed in seeds]
    if len(seeds) > 1:
        job.summarise(reports)
    say_written(options["out"], seed_folder(options["run_folder"], seeds[0], len(seeds)), say)


@dataclasses.dataclass(frozen=True, eq=False)
class _Job:
    data: Sequence[str]
    dataset: Dataset
    split: Split
    recipe: Recipe
    run: RunSettings
    options: dict[str, Any]
    say: Say

    def _open(self, recipe: Recipe, folder: str | None, **more: Any) -> Run:
        """The run's folder; whatever decides the result is in its configuration."""
        configuration = activity.configuration(self.dataset, self.split, recipe, file_names(self.data))
        return Run.open(
            folder,
            {**configuration, **more},
            resume=self.options["resume"],
            steps=None if more else ("fit", "steps"),
            shards=self.run.shards,
        )

    @property
    def _training(self) -> dict[str, Any]:
        return {
            "checkpoint_every": self.run.checkpoint_every,
            "workers": self.run.workers,
        }

    def train(self, seed: int, *, alone: bool, first: bool) -> Report:
        """One seed. Of several only the first is written to --out; each has a folder of its own."""
        folder = self.options["run_folder"]
        recipe = dataclasses.replace(self.recipe, seed=seed)
        with self._open(recipe, seed_folder(folder, seed, 1 if alone else 2)) as run:
            for note in run.notes:
                self.say(note)
            out = self.options["out"] if first else None
            report = activity.train_activity(self.dataset, self.split, recipe, out=out, run=run, **self._training)
            if run.folder is not None and not can_draw():
                self.say(NO_PLOTS)
        lead = "" if alone else f"seed {seed}: "
        if report.held_out is not None and report.calibration is not None:
            c = report.calibration
            self.say(f"{lead}every fifth recording held out: {report.held_out}")
            self.say(
                f"{lead}temperature {c.temperature:.3f}; calibration error there "
                f"{c.error_before:.3f} -> {c.error_after:.3f}, "
                f"loss {c.loss_before:.3f} -> {c.loss_after:.3f}"
            )
            note = temperature_note(c.temperature)
            if note:
                self.say(f"{lead}{note}")
        for name, scores in report.scores.items():
            error = f"calibration error {report.uncalibrated[name]:.3f}"
            error += "" if report.calibration is None else f" -> {report.errors[name]:.3f}"
            self.say(f"{lead}{name}: {scores}; {error}")
            if alone:
                say_classes(scores, self.say)
        return report

    def summarise(self, reports: list[Report]) -> None:
        """Means over the seeds with their 95 % confidence intervals."""
        found: dict[str, dict[str, Mean]] = {}
        for name in reports[0].scores:
            parts = [report.scores[name] for report in reports]
            found[name] = {
                key: mean_of([getattr(part, key) for part in parts]) for key in ("fresh", "streamed", "frames")
            }
            found[name]["calibration_error"] = mean_of([report.errors[name] for report in reports])
            told = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in found[name].items())
            self.say(f"{name}, {len(reports)} seeds: {told}")
        folder = self.options["run_folder"]
        if folder is not None:
            Run(Path(folder), {}).write(
                "seeds.json", {name: {k: dataclasses.asdict(v) for k, v in row.items()} for name, row in found.items()}
            )

    def cross_validate(self, folds: int) -> None:
        """The recordings trained on, each held out once; what is tested on is not touched."""
        trained, _ = self.split.parts(self.dataset)
        recipe = dataclasses.replace(self.recipe, calibrate=False)
        for fold in splits.folds(trained, folds):  # before anything is written
            activity.expect_trainable(trained, fold, recipe)
        with self._open(recipe, self.options["run_folder"], folds=folds) as run:
            for note in run.notes:
                self.say(note)

            def told(number: int, scores: Scores) -> None:
                self.say(f"fold {number + 1} of {folds}: {scores}")

            found = activity.cross_validate(trained, recipe, folds, on_fold=told, run=run, **self._training)
            counts = [scores.windows for scores in found]
            result = {
                key: share_of([round(getattr(scores, key) * scores.windows) for scores in found], counts)
                for key in ("fresh", "streamed")
            }
            self.say(
                f"all {sum(counts)} windows held out: "
                + ", ".join(
                    f"{key} {value.mean:.3f} ({value.low:.3f} to {value.high:.3f})" for key, value in result.items()
                )
            )
            total = functools.reduce(operator.add, found)
            say_classes(total, self.say)
            run.write(
                "result.json",
                {
                    "total": total.document(),
                    "folds": [scores.document() for scores in found],
                    **{key: dataclasses.asdict(value) for key, value in result.items()},
                },
            )
