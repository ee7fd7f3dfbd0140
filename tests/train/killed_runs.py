"""Trains a small task in a run folder, is killed at moments of a seed's choosing, and is resumed until it is done.

python killed_runs.py FOLDER SEED [KILLS]: each training is a child of this process that gets SIGKILL: at random times,
and at random calls that a write consists of.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from aether_temporal.simulation import simulate
from aether_temporal.torch import NetworkConfig
from aether_temporal.train.dataset import Dataset, LabelledRecording
from aether_temporal.train.runs import Run
from aether_temporal.train.supervised import Augmentation, Batches, Crops, FitConfig, fit

STEPS, EVERY = 40, 3


def task() -> Dataset:
    """Two simulated recordings."""
    made = [simulate([("empty", 2.0), ("walking", 2.0)], seed) for seed in range(2)]
    return Dataset([LabelledRecording(f"s{i}", "0", m.frames, m.labels) for i, m in enumerate(made)], ("a", "b", "c"))


def train(folder: Path, dataset: Dataset, workers: int = 0) -> torch.nn.Module:
    """The training; dropout, so that torch's randomness counts too."""
    draw = Batches(Crops(40, 2, 5, 9, Augmentation()), dataset)
    shape = NetworkConfig(52, 3, 8, n_layers=1, n_q_heads=2, head_dim=4, agc="mean", dropout=0.2)
    with Run.open(folder, {"task": "killed"}, resume=True) as run:
        settings = {"seed": 4, "checkpoint_every": EVERY, "workers": workers, "show_progress": False}
        return fit(shape, dataset[0].frames, draw, FitConfig(steps=STEPS), run=run, **settings)


def die_at(call: int) -> None:
    """SIGKILL in the middle of the `call`-th call of what a checkpoint is written by."""
    left = [call]
    for name in ("fsync", "replace", "open", "unlink"):
        real = getattr(os, name)

        def spy(*arguments: object, real: object = real, **more: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **more)  # type: ignore[operator]

        setattr(os, name, spy)


def main(folder: Path, seed: int, kills: int) -> int:
    torch.set_num_threads(1)
    dataset, rng = task(), random.Random(seed)
    for deaths in range(200):
        child = os.fork()
        if child == 0:
            if deaths < kills and deaths % 2 == 0:
                die_at(rng.randint(1, 40))
            train(folder, dataset)
            os._exit(0)
        if deaths < kills and deaths % 2:
            time.sleep(rng.uniform(0.02, 0.8))
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            if os.WEXITSTATUS(status):
                return os.WEXITSTATUS(status)
            print(deaths)
            return 0
    return 3


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
