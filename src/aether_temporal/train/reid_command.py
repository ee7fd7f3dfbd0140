"""What `aether train reid` does: one training or several seeds, each with a run folder if asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import reid
from .contrastive import ContrastConfig
from .dataset import Dataset, Reading
from .plots import NO_PLOTS, can_draw
from .reid import ATTRIBUTION, Recipe, Report
from .reid_plots import draw_reid
from .reid_protocol import inside_galleries
from .reid_report import summarise
from .run import Run, expect_place
from .windows import without_short_stretches

__all__ = ["Reading", "main"]

Say = Callable[[str], None]


def main(data: str, reading: Reading, say: Say, **options: Any) -> None:
    """The command; `options` by the names of its switches. All errors are the package's."""
    expect_place(options["out"])
    dataset = without_short_stretches(Dataset.read(data, reading=reading), Recipe().shape.length)
    if options["inside_galleries"]:
        dataset = inside_galleries(dataset)
    recipe = _recipe(data, dataset, options)
    seeds = range(options["seed"], options["seed"] + options["seeds"])
    alone = len(seeds) == 1
    reports = [_train(data, dataset, dataclasses.replace(recipe, seed=s), options, alone=alone, say=say) for s in seeds]
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


def _recipe(data: str, dataset: Dataset, options: dict[str, Any]) -> Recipe:
    steps = options["steps"]
    wiper = any("wiper" in Path(track.source).name for track in dataset)  # also in a prepared folder, or a table
    return Recipe(
        held_out=options["held_out"],
        captures=options["captures"],
        contrast=ContrastConfig(steps=steps) if steps is not None else ContrastConfig(),
        provenance=ATTRIBUTION if wiper else f"Trained on recordings of {Path(data).name}.",
    )


def _train(data: str, dataset: Dataset, recipe: Recipe, options: dict[str, Any], *, alone: bool, say: Say) -> Report:
    """One seed; of several each has a folder of its own."""
    folder = options["run_folder"]
    protocol = reid.expect_trainable(dataset, recipe)  # before anything is written
    configuration = reid.configuration(dataset, protocol, recipe, Path(data).name)
    place = folder if alone or folder is None else f"{folder}/seed{recipe.seed}"
    with Run.open(place, configuration, resume=options["resume"]) as run:
        report = reid.train_reid(
            dataset,
            recipe,
            run=run,
            title="reid" if alone else f"reid, seed {recipe.seed}",
            checkpoint_every=options["checkpoint_every"],
            workers=options["workers"],
            show_progress=not options["quiet"],
        )
        run.write("model.rvne", report.blob.serialize())
        draw_reid(run, report)
        if run.folder is not None and not can_draw():
            say(NO_PLOTS)
    return report
