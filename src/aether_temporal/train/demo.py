"""Trains the demo blob on simulated recordings and scores it on simulated rooms and persons it has not met.

python -m aether_temporal.train.demo --out demo.rvne --seed 0
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from aether_temporal.blob import WeightBlob
from aether_temporal.model import TemporalModel
from aether_temporal.settings import CarrierSettings, PatternSettings, TimingSettings
from aether_temporal.simulation import ACTIVITIES, random_script, simulate
from aether_temporal.simulation.simulated import FRAME_RATE
from aether_temporal.torch.exchange import Description, to_blob
from aether_temporal.torch.network import NetworkConfig

from .corpus import Track
from .crops import Augmentation, Batch, Crops
from .fitting import FitConfig, fit, some_frames
from .scoring import Scores, score

CARRIERS = 52
DELAY = 25
CAPACITY = 128
TEST_SEED = 1_000_000
"""Recordings from this seed on are for scoring; training seeds stay below."""

PROVENANCE = (
    "Trained on {recordings} SIMULATED recordings (aether_temporal.simulation, seeds {first} to {last}); knows nothing "
    "of real channels. Training seed {seed}."
)


def network_shape() -> NetworkConfig:
    """Two layers of width 32 (under 50 KB) over the 52 amplitudes of the simulated receiver."""
    return NetworkConfig(
        input_dim=CARRIERS,
        n_classes=len(ACTIVITIES),
        width=32,
        pattern=PatternSettings(history=CAPACITY, global_tokens=()),
        gain="mean",
        stem_taps=24,
        stem_activation="relu",
        zero_sum_stem=True,
        taps=8,
        hidden=24,
        pool_frames=25,
    )


def simulated_executions(first: int, count: int, *, show_progress: bool = False) -> list[Track]:
    """Recordings of seeds first … first + count - 1, each with a room, a person and a script of its own."""
    found = []
    for seed in track(range(first, first + count), "simulating", disable=not show_progress):
        script = random_script(np.random.Generator(np.random.PCG64([seed, 1])))
        recording = simulate(script, seed)
        found.append(Track(f"seed{seed}", "simulated", recording.frames, recording.labels))
    return found


def train(
    executions: Sequence[Track], provenance: str, *, seed: int, config: FitConfig, show_progress: bool = True
) -> WeightBlob:
    """A blob trained on these simulated executions, its carriers set for the simulation's raw frames."""
    crops = Crops(160, 16, DELAY, 49, Augmentation(profile=0.0, jitter=0.0, noise=0.0, masked=0))

    def draw(generator: np.random.Generator) -> Batch:
        return crops.draw(executions, generator)

    network = fit(
        network_shape(), some_frames(executions), draw, config, seed=seed, title="demo", show_progress=show_progress
    )
    carriers = CarrierSettings(CARRIERS, np.arange(CARRIERS))
    return to_blob(network, Description(ACTIVITIES, FRAME_RATE, provenance, carriers, TimingSettings(delay=DELAY)))


def train_demo(
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    recordings: int = 600,
    test_recordings: int = 100,
    config: FitConfig | None = None,
    show_progress: bool = True,
) -> tuple[WeightBlob, Scores]:
    """Simulates, trains, writes the blob to `out`, scores it on `test_recordings` unseen recordings. OSError."""
    executions = simulated_executions(0, recordings, show_progress=show_progress)
    text = PROVENANCE.format(recordings=recordings, first=0, last=recordings - 1, seed=seed)
    blob = train(executions, text, seed=seed, config=config or FitConfig(steps=3000), show_progress=show_progress)
    blob.save(out)
    unseen = simulated_executions(TEST_SEED, test_recordings, show_progress=show_progress)
    return blob, score(TemporalModel.from_blob(blob), unseen, delay=DELAY, capacity=CAPACITY)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; `argv` without the program's name."""
    parser = argparse.ArgumentParser(prog="python -m aether_temporal.train.demo", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the blob to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recordings", type=int, default=600, help="simulated recordings to train on")
    parser.add_argument("--test-recordings", type=int, default=100, help="unseen ones to score")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; the weights depend on it")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    a = parser.parse_args(argv)
    torch.set_num_threads(a.threads)
    _, found = train_demo(
        a.out,
        seed=a.seed,
        recordings=a.recordings,
        test_recordings=a.test_recordings,
        config=FitConfig(steps=a.steps),
        show_progress=not a.quiet,
    )
    console = Console()
    console.print(f"unseen simulated recordings: {found}", highlight=False, soft_wrap=True)
    console.print(
        f"classes: {', '.join(ACTIVITIES)}; rows the truth, columns the answer:", highlight=False, soft_wrap=True
    )
    console.print(str(found.confusion), highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
