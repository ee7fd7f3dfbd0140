"""`aether train demo`: simulated recordings; scored on simulated rooms and subjects that were not trained on."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from aether_temporal._internal.figures import NO_PLOTS, can_draw
from aether_temporal._internal.toml_settings import Within, check_ranges
from aether_temporal.blob import WeightBlob
from aether_temporal.errors import InvalidConfigError
from aether_temporal.model import TemporalModel
from aether_temporal.settings import PatternSettings, SubcarrierNumberSettings, SubcarrierSettings, TimingSettings
from aether_temporal.simulation import ACTIVITIES, Subcarriers, random_script, simulate
from aether_temporal.simulation.simulated import FRAME_RATE
from aether_temporal.torch.exchange import to_blob
from aether_temporal.torch.network import Description, NetworkConfig, TemporalClassifier

from .dataset import LabelledRecording, class_counts, class_weights
from .evaluation import (
    Scores,
    confidence,
    fit_temperature,
    predictions,
    say_classes,
    score,
    stored,
    with_temperature,
)
from .plots import draw_run
from .reading import RunSettings
from .runs import Run, environment, expect_place, say_written
from .supervised import Augmentation, Batches, Crops, FitConfig, Mixture, fit, some_frames

SUBCARRIERS = Subcarriers("lltf")
WINDOW = 100
"""Frames of a window, two seconds: a fall and what comes after it."""

LABEL_DELAY = WINDOW // 2
WARM_UP = WINDOW - 1
PATTERN = PatternSettings(history=128, global_tokens=())
STEPS = 3500
RARE = 0.8
"""Strength of `class_weights`: falls are one frame in twenty."""
SENSITIVE = 4.0
"""Gain of the projection: who stands still changes the amplitude by a hundredth of what rooms differ in."""
TEST_SEED = 1_000_000
"""Recordings from this seed on are for scoring; training seeds stay below."""
UNSEEN = "unseen simulated recordings"

PROVENANCE = (
    "Trained on {recordings} SIMULATED recordings (aether_temporal.simulation, seeds {first} to {last}); knows nothing "
    "of real channels. Training seed {seed}."
)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What decides the result. recordings: simulated ones to train on; calibration_recordings: the next seeds, to fit
    the temperature by; test_recordings: unseen ones to score. pattern: of the network's attention."""

    seed: Annotated[int, Within(0, 2**32 - 1)] = 0
    recordings: Annotated[int, Within(1, TEST_SEED)] = 800
    calibration_recordings: Annotated[int, Within(1, TEST_SEED)] = 100
    test_recordings: Annotated[int, Within(1, 10**6)] = 300
    fit: FitConfig = dataclasses.field(default_factory=lambda: FitConfig(steps=STEPS))
    pattern: PatternSettings = PATTERN

    def __post_init__(self) -> None:
        check_ranges(self)
        self.pattern.check()
        if self.recordings + self.calibration_recordings > TEST_SEED:
            expected = f"at most {TEST_SEED - self.recordings}, so that none is scored"
            raise InvalidConfigError.of("calibration_recordings", expected, self.calibration_recordings)


def network_shape(pattern: PatternSettings = PATTERN) -> NetworkConfig:
    """Two layers of width 32 (under 50 KB) over the 52 amplitudes of the simulated receiver."""
    return NetworkConfig(
        input_dim=len(SUBCARRIERS.indices),
        n_classes=len(ACTIVITIES),
        width=32,
        pattern=pattern,
        agc="mean",
        stem_taps=24,
        stem_activation="relu",
        zero_sum_stem=True,
        taps=8,
        hidden=24,
        pool_frames=10,
    )


def smooth_directions(network: TemporalClassifier) -> None:
    """The projection begins with cosines over the subcarriers, those of few periods first: the paths of a room change
    neighbouring subcarriers alike, and noise does not."""
    assert network.projection is not None
    features, width = network.projection["weight"].shape
    place = (torch.arange(features)[:, None] + 0.5) / features
    waves = torch.cos(torch.pi * place * torch.arange(width)) * math.sqrt(2 / features)
    network.projection["weight"].copy_(SENSITIVE * waves)


def simulated_executions(first: int, count: int, *, show_progress: bool = False) -> list[LabelledRecording]:
    """Recordings of seeds first … first + count - 1, each with a room, a subject and a script of its own."""
    found = []
    console = Console(stderr=True)
    shown = show_progress and console.is_terminal
    for seed in track(range(first, first + count), "simulating", console=console, disable=not shown):
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
    plain = Augmentation(profile=0.0, jitter=0.0, noise=0.0, masked=0)
    crops = Mixture(
        (Crops(WINDOW + 12, 32, LABEL_DELAY, WARM_UP, plain), Crops(200, 16, LABEL_DELAY, WARM_UP, plain)),
        (0.7, 0.3),
    )
    network = fit(
        network_shape(pattern),
        some_frames(executions),
        Batches(crops, executions),
        config,
        seed=seed,
        class_weights=class_weights(class_counts(executions, len(ACTIVITIES)), RARE),
        begin=smooth_directions,
        title="demo",
        **training,
    )
    pairs = len(SUBCARRIERS.indices)
    description = Description(
        ACTIVITIES,
        FRAME_RATE,
        provenance,
        SubcarrierSettings(pairs, np.arange(pairs)),
        TimingSettings(LABEL_DELAY),
        SubcarrierNumberSettings.of(SUBCARRIERS.map()),
    )
    return to_blob(network, description)


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
    held_out = simulated_executions(recipe.recordings, recipe.calibration_recordings, show_progress=show_progress)
    model = TemporalModel.from_blob(blob)
    timed = {"label_delay": LABEL_DELAY, "context": model.default_context}
    given = stored(predictions(model, held_out, warm_up=WARM_UP, **timed))
    blob = with_temperature(blob, fit_temperature(given))
    model = TemporalModel.from_blob(blob)
    unseen = simulated_executions(TEST_SEED, recipe.test_recordings, show_progress=show_progress)
    scores = score(model, unseen, window=WINDOW, **timed)
    if run is not None:
        run.write("model.rvne", blob.serialize())
        run.write("result.json", {"bytes": len(blob.serialize()), "scores": {UNSEEN: scores.document()}})
        sure = confidence(predictions(model, unseen, warm_up=WARM_UP, **timed), [1.0])
        draw_run(run, ACTIVITIES, {UNSEEN: scores}, {UNSEEN: sure})
    if out is not None:
        blob.save(out)
    return blob, scores


def main(recipe: Recipe, settings: RunSettings, say: Callable[[str], None], **options: Any) -> None:
    """The command; `options` by the names of its switches. All errors are the package's."""
    expect_place(options["out"])
    configuration = {"recipe": "demo", **dataclasses.asdict(recipe), "environment": environment()}
    folder, resume = options["run_folder"], options["resume"]
    with Run.open(folder, configuration, resume=resume, steps=("fit", "steps"), shards=settings.shards) as run:
        for note in run.notes:
            say(note)
        _, scores = train_demo(
            recipe,
            out=options["out"],
            run=run,
            checkpoint_every=settings.checkpoint_every,
            workers=settings.workers,
        )
        say(f"{UNSEEN}: {scores}")
        say_classes(scores, say)
        if run.folder is not None and not can_draw():
            say(NO_PLOTS)
        say_written(options["out"], folder, say)
