"""`aether train demo`: simulated recordings; scored on simulated rooms and subjects that were not trained on."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
from rich.progress import track as progress

from aether_temporal._internal.figures import NO_PLOTS, can_draw
from aether_temporal.blob import WeightBlob
from aether_temporal.model import TemporalModel
from aether_temporal.settings import PatternSettings, SubcarrierSettings, TimingSettings
from aether_temporal.simulation import ACTIVITIES, random_script, simulate
from aether_temporal.simulation.simulated import FRAME_RATE
from aether_temporal.torch.exchange import to_blob
from aether_temporal.torch.network import Description, NetworkConfig

from .configuration import RunSettings, Within, check_ranges
from .dataset import LabelledRecording
from .evaluation import Scores, confidence, predictions, say_classes, score
from .plots import draw_run
from .runs import Run, environment, expect_place, say_written
from .supervised import Augmentation, Crops, FitConfig, fit, some_frames

SUBCARRIERS = 52
LABEL_DELAY = 25
WARM_UP = 49
PATTERN = PatternSettings(history=128, global_tokens=())
STEPS = 3000
TEST_SEED = 1_000_000
"""Recordings from this seed on are for scoring; training seeds stay below."""
UNSEEN = "unseen simulated recordings"

PROVENANCE = (
    "Trained on {recordings} SIMULATED recordings (aether_temporal.simulation, seeds {first} to {last}); knows nothing "
    "of real channels. Training seed {seed}."
)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What decides the result. recordings, test_recordings: simulated ones to train on, and unseen ones to score.
    pattern: of the network's attention."""

    seed: Annotated[int, Within(0, 2**32 - 1)] = 0
    recordings: Annotated[int, Within(1, TEST_SEED)] = 600
    test_recordings: Annotated[int, Within(1, 10**6)] = 100
    fit: FitConfig = dataclasses.field(default_factory=lambda: FitConfig(steps=STEPS))
    pattern: PatternSettings = PATTERN

    def __post_init__(self) -> None:
        check_ranges(self)
        self.pattern.check()


def network_shape(pattern: PatternSettings = PATTERN) -> NetworkConfig:
    """Two layers of width 32 (under 50 KB) over the 52 amplitudes of the simulated receiver."""
    return NetworkConfig(
        input_dim=SUBCARRIERS,
        n_classes=len(ACTIVITIES),
        width=32,
        pattern=pattern,
        agc="mean",
        stem_taps=24,
        stem_activation="relu",
        zero_sum_stem=True,
        taps=8,
        hidden=24,
        pool_frames=25,
    )


def simulated_executions(first: int, count: int, *, show_progress: bool = False) -> list[LabelledRecording]:
    """Recordings of seeds first … first + count - 1, each with a room, a subject and a script of its own."""
    found = []
    for seed in progress(range(first, first + count), "simulating", disable=not show_progress):
        script = random_script(np.random.Generator(np.random.PCG64([seed, 1])))
        recording = simulate(script, seed)
        found.append(LabelledRecording(f"seed{seed}", "simulated", recording.frames, recording.labels))
    return found


def train(
    executions: Sequence[LabelledRecording],
    provenance: str,
    *,
    seed: int,
    config: FitConfig,
    pattern: PatternSettings = PATTERN,
    **training: Any,
) -> WeightBlob:
    """A blob trained on these simulated executions, its subcarriers set for the simulation's raw frames. training: as
    `fit` takes it (run, workers, show_progress …)."""
    crops = Crops(160, 16, LABEL_DELAY, WARM_UP, Augmentation(profile=0.0, jitter=0.0, noise=0.0, masked=0))
    draw = functools.partial(crops.draw, executions)
    network = fit(network_shape(pattern), some_frames(executions), draw, config, seed=seed, title="demo", **training)
    subcarriers = SubcarrierSettings(SUBCARRIERS, np.arange(SUBCARRIERS))
    return to_blob(network, Description(ACTIVITIES, FRAME_RATE, provenance, subcarriers, TimingSettings(LABEL_DELAY)))


def train_demo(
    recipe: Recipe,
    *,
    out: str | os.PathLike[str] | None = None,
    run: Run | None = None,
    show_progress: bool = True,
    **training: Any,
) -> tuple[WeightBlob, Scores]:
    """Simulates, trains, scores on recordings that were not trained on; writes the blob to `out` and, where there is a
    run folder, blob, result and plots there. CheckpointError, RunError, OSError."""
    executions = simulated_executions(0, recipe.recordings, show_progress=show_progress)
    text = PROVENANCE.format(recordings=recipe.recordings, first=0, last=recipe.recordings - 1, seed=recipe.seed)
    training |= {"run": run, "checkpoint": "model.pt", "show_progress": show_progress}
    blob = train(executions, text, seed=recipe.seed, config=recipe.fit, pattern=recipe.pattern, **training)
    model = TemporalModel.from_blob(blob)
    unseen = simulated_executions(TEST_SEED, recipe.test_recordings, show_progress=show_progress)
    scores = score(model, unseen, label_delay=LABEL_DELAY, context=model.default_context)
    if run is not None:
        run.write("model.rvne", blob.serialize())
        run.write("result.json", {"bytes": len(blob.serialize()), "scores": {UNSEEN: scores.document()}})
        given = predictions(model, unseen, label_delay=LABEL_DELAY, warm_up=WARM_UP, context=model.default_context)
        draw_run(run, ACTIVITIES, {UNSEEN: scores}, {UNSEEN: confidence(given, [1.0])})
    if out is not None:
        blob.save(out)
    return blob, scores


def main(recipe: Recipe, settings: RunSettings, say: Callable[[str], None], **options: Any) -> None:
    """The command; `options` by the names of its switches. All errors are the package's."""
    expect_place(options["out"])
    configuration = {"recipe": "demo", **dataclasses.asdict(recipe), "environment": environment()}
    folder, resume = options["run_folder"], options["resume"]
    with Run.open(folder, configuration, resume=resume, steps=("fit", "steps")) as run:
        if run.lengthened:
            say(run.lengthened)
        _, scores = train_demo(
            recipe,
            out=options["out"],
            run=run,
            checkpoint_every=settings.checkpoint_every,
            workers=settings.workers,
            show_progress=not options["quiet"],
        )
        say(f"{UNSEEN}: {scores}")
        say_classes(scores, say)
        if run.folder is not None and not can_draw():
            say(NO_PLOTS)
        say_written(options["out"], folder, say)
