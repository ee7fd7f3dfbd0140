"""Trains the activity blob on session 1 of the activity recordings; sessions 2 and 3 are only ever scored.

python -m aether_temporal.train.activity --data geotec_sessions_1_3.npz --out activity.rvne --seed 0
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from aether_temporal.blob import WeightBlob
from aether_temporal.model import TemporalModel
from aether_temporal.settings import PatternSettings
from aether_temporal.torch.exchange import Description, to_blob
from aether_temporal.torch.network import NetworkConfig

from .executions import Augmentation, Crops, Execution, load_activities
from .fitting import FitConfig, fit
from .scoring import Scores, score

FRAME_RATE = 100.0
DELAY = 25
"""The answer after a frame describes the middle of the 50 frames that end with it."""

CAPACITY = 128

ATTRIBUTION = (
    "Contains information from stability-csi-har (github.com/GeoTecINIT/stability-csi-har at 2b0dbdf; Matey-Sanz et "
    "al., Temporal Stability on Human Activity Recognition based on Wi-Fi CSI, IPIN 2023, "
    "doi 10.1109/IPIN57070.2023.10332214), which is made available under the ODC Attribution License (ODC-By 1.0). "
    "Trained on its session 1."
)


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """The blob, and its scores by what was scored."""

    blob: WeightBlob
    scores: dict[str, Scores]


def network_shape(input_dim: int, n_classes: int) -> NetworkConfig:
    """Two layers of width 32; everything a query sees lies within CAPACITY frames."""
    return NetworkConfig(
        input_dim=input_dim,
        n_classes=n_classes,
        width=32,
        pattern=PatternSettings(history=CAPACITY, global_tokens=()),
        gain="mean",
        stem_taps=16,
        stem_activation="relu",
        zero_sum_stem=True,
        taps=8,
        hidden=64,
        pool_frames=25,
        dropout=0.1,
    )


def train(
    executions: Sequence[Execution],
    classes: Sequence[str],
    *,
    seed: int,
    config: FitConfig | None = None,
    title: str = "activity",
    show_progress: bool = True,
) -> WeightBlob:
    """A blob trained on these executions."""
    crops = [Crops(160, 16, DELAY, 49, Augmentation()), Crops(64, 24, DELAY, 49, Augmentation())]

    def draw(generator: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return crops[int(generator.random() < 0.33)].draw(executions, generator)

    frames = np.concatenate([execution.frames for execution in executions])
    shape = network_shape(frames.shape[1], len(classes))
    network = fit(shape, frames, draw, config or FitConfig(), seed=seed, title=title, show_progress=show_progress)
    text = f"{ATTRIBUTION} Amplitudes of 56 HT-LTF subcarriers; seed {seed}."
    return to_blob(network, Description(classes, FRAME_RATE, text))


def split_by_session(executions: Sequence[Execution]) -> dict[str, list[Execution]]:
    """Executions by session, the sessions in their order. ValueError when there is but one."""
    sessions: dict[str, list[Execution]] = {}
    for execution in sorted(executions, key=lambda e: e.session):
        sessions.setdefault(execution.session, []).append(execution)
    if len(sessions) < 2:
        raise ValueError(f"session: expected at least two sessions, found {', '.join(sessions) or 'none'}")
    return sessions


def train_activity(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    config: FitConfig | None = None,
    show_progress: bool = True,
) -> Report:
    """Trains on the first session of `data`, writes the blob to `out`, scores every session. RecordingError,
    OSError."""
    executions, classes = load_activities(data)
    sessions = split_by_session(executions)
    first, *_ = sessions
    blob = train(sessions[first], classes, seed=seed, config=config, show_progress=show_progress)
    blob.save(out)
    model = TemporalModel.from_blob(blob)
    scores = {
        f"session {int(name) + 1}" + (" (trained on)" if name == first else ""): score(
            model, part, delay=DELAY, capacity=CAPACITY
        )
        for name, part in sessions.items()
    }
    return Report(blob, scores)


def cross_validate(
    data: str | os.PathLike[str],
    *,
    seed: int = 0,
    config: FitConfig | None = None,
    folds: int = 2,
    show_progress: bool = True,
) -> list[Scores]:
    """Scores of executions held out of the first session, fold by fold: what settings are to be chosen by."""
    executions, classes = load_activities(data)
    first = next(iter(split_by_session(executions).values()))
    found = []
    for fold in range(folds):
        size = len(first) // folds
        held_out = range(fold * size, (fold + 1) * size)
        rest = [execution for index, execution in enumerate(first) if index not in held_out]
        title = f"fold {fold + 1} of {folds}"
        blob = train(rest, classes, seed=seed, config=config, title=title, show_progress=show_progress)
        model = TemporalModel.from_blob(blob)
        found.append(score(model, [first[index] for index in held_out], delay=DELAY, capacity=CAPACITY))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """The command; `argv` without the program's name."""
    parser = argparse.ArgumentParser(prog="python -m aether_temporal.train.activity", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the activity recordings (.npz)")
    parser.add_argument("--out", type=Path, help="the blob to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=FitConfig.steps)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; the weights depend on it")
    parser.add_argument("--cross-validate", action="store_true", help="score executions held out of session 1 instead")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    a = parser.parse_args(argv)
    if (a.out is None) != a.cross_validate:
        parser.error("expected exactly one of --out and --cross-validate")
    torch.set_num_threads(a.threads)
    console = Console()
    config = FitConfig(steps=a.steps)
    if a.cross_validate:
        for fold, found in enumerate(cross_validate(a.data, seed=a.seed, config=config, show_progress=not a.quiet)):
            console.print(f"fold {fold + 1}: {found}", highlight=False, soft_wrap=True)
        return 0
    report = train_activity(a.data, a.out, seed=a.seed, config=config, show_progress=not a.quiet)
    for name, found in report.scores.items():
        console.print(f"{name}: {found}", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
