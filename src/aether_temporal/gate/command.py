"""What `aether gate` does: a run folder with every training, the verdict as JSON, and the page."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aether_temporal._internal.figures import NO_PLOTS
from aether_temporal.head import AetherTemporalHead
from aether_temporal.train.dataset import Dataset, without_short_segments
from aether_temporal.train.distributed import each, processes
from aether_temporal.train.prepared import file_names, read_dataset
from aether_temporal.train.reading import Reading, RunSettings
from aether_temporal.train.reid_protocol import entry
from aether_temporal.train.runs import Run, environment

from .gate_config import GateConfig
from .latency import measure_latency
from .page import page
from .pictures import Metrics, draw
from .study import SPARSE, SeedResult, arranged, check, check_blob, check_identities, pairing, study
from .verdict import Verdict, verdict

RESULT, PAGE = "result.json", "gates.html"


def gate(
    data: Sequence[str],
    config: GateConfig,
    *,
    seeds: range,
    out: str,
    reading: Reading | None = None,
    resume: bool = False,
    run_settings: RunSettings | None = None,
    show_progress: bool = True,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Trains, asks and writes result.json, gates.html and plots into `out`; the document that result.json holds.

    Killed at any moment, it continues with `resume`: trainings that are done are kept, also where more seeds are asked
    for than before. Under torchrun, processes share the seeds. RecordingError, LeakError, GateError, CheckpointError,
    RunError, OSError.
    """
    dataset = without_short_segments(read_dataset(*data, reading=reading), config.window)
    check_identities(config, dataset, ", ".join(data))
    check(config, arranged(config, dataset, seeds[0]))
    pairing(config, dataset)  # all of them are frames that views can be made of
    check_blob(config, dataset.width)
    with Run.open(out, configuration(dataset, config, file_names(data)), resume=resume) as run:
        job = _Seed(config, dataset, out, run.configuration, run_settings or RunSettings(), show_progress)
        studied = each(job, seeds)
        found = [result for result, _ in studied]
        if show_progress:
            say("latency: both kernels take turns")
        judged = verdict(config, found, measure_latency(config, found[0].networks[SPARSE]))
        metrics = {result.seed: lines for result, lines in studied}
        return _write(run, config, judged, metrics, file_names(data), say)


@dataclasses.dataclass(frozen=True)
class _Seed:
    """What one seed finds, and its metrics. It has a run folder of its own, so any process can study it."""

    config: GateConfig
    dataset: Dataset
    out: str
    configuration: Mapping[str, Any]
    run_settings: RunSettings
    show_progress: bool

    def __call__(self, seed: int) -> tuple[SeedResult, list[dict[str, Any]]]:
        with Run.open(Path(self.out) / f"seed{seed}", self.configuration, resume=True) as run:
            shown = self.show_progress and processes().rank == 0
            found = study(self.config, self.dataset, seed, run=run, run_settings=self.run_settings, show_progress=shown)
            return found, run.metrics()


def configuration(dataset: Dataset, config: GateConfig, source: str) -> dict[str, Any]:
    """What every training of the run depends on."""
    return {
        "recipe": "gate",
        "data": source,
        "recordings": [entry(recording) for recording in dataset],
        "features": dataclasses.asdict(dataset.features),
        **config.training(),
        "environment": environment(),
    }


def _write(
    run: Run, config: GateConfig, found: Verdict, metrics: Metrics, source: str, say: Callable[[str], None]
) -> dict[str, Any]:
    settings = dataclasses.asdict(config)
    where = {**environment(), "kernels": AetherTemporalHead(config.head("sparse")).kernels}
    document = {
        "data": source,
        "features": run.configuration["features"],
        **found.document(),
        "configuration": settings,
        "environment": where,
    }
    pictures = draw(config, found, metrics)
    if not pictures:
        say(NO_PLOTS)
    for name, picture in pictures.items():
        run.write(f"plots/{name}.svg", picture)
    text = json.dumps({"configuration": settings, "environment": where}, indent=1)
    run.write(PAGE, page({**document, "text": text}, pictures).encode())
    run.write(RESULT, document)
    return document
