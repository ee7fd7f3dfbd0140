"""Supervised training: cross-entropy after every frame, AdamW, and the running average of the weights as the result."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from aether_temporal.recordings import RecordingError
from aether_temporal.torch.network import NetworkConfig, TemporalClassifier

from .checkpoint import State, load_into
from .crops import Batch
from .dataset import Track
from .run import Run


@dataclasses.dataclass(frozen=True)
class FitConfig:
    """Settings of the optimiser. The learning rate rises for `rise` steps and falls along a half cosine."""

    steps: int = 1000
    learning_rate: float = 3e-3
    rise: int = 50
    weight_decay: float = 0.02
    label_smoothing: float = 0.1
    averaging: float = 0.01  # share of the newest weights in their running average
    clip: float = 1.0


def _rate(config: FitConfig, step: int) -> float:
    rise = min(1.0, (step + 1) / max(1, config.rise))
    return config.learning_rate * rise * 0.5 * (1.0 + math.cos(math.pi * step / config.steps))


class Fitting:
    """A `Task`: a network, its average and the optimiser. class_weights: what a frame of each class counts (None:
    one)."""

    def __init__(
        self, network: TemporalClassifier, config: FitConfig, class_weights: NDArray[np.float32] | None = None
    ) -> None:
        self.network, self.config = network, config
        self.average = copy.deepcopy(network).eval()
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=config.weight_decay
        )
        self.class_weights = None if class_weights is None else torch.from_numpy(class_weights)
        network.train()

    def step(self, step: int, batch: Batch) -> Mapping[str, float]:
        """One step on frames [N, T, input_dim] and targets [N, T], -1 where there is none."""
        config = self.config
        frames, targets = (torch.from_numpy(np.asarray(part)) for part in batch)
        for group in self.optimiser.param_groups:
            group["lr"] = _rate(config, step)
        loss = F.cross_entropy(
            self.network(frames).flatten(0, 1),
            targets.flatten(),
            weight=self.class_weights,
            ignore_index=-1,
            label_smoothing=config.label_smoothing,
        )
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip)
        self.optimiser.step()
        share = max(config.averaging, 1.0 / (step + 1))  # young averages forget the random start
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(new, share)
        return {"loss": loss.item()}

    def state(self) -> State:
        """Everything that steps change."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load(self, state: State, path: Path) -> None:
        """What `state` gave. CheckpointError for another shape."""
        load_into(self.network, state["network"], path)
        load_into(self.average, state["average"], path, "average")
        self.optimiser.load_state_dict(state["optimiser"])


def some_frames(tracks: Sequence[Track], most: int = 1 << 16) -> NDArray[np.float32]:
    """At most so many frames, evenly spread over the tracks: enough to measure mean and spread by."""
    total = sum(map(len, tracks))
    stride = max(1, -(-total // most))
    return np.concatenate([np.asarray(track.frames[::stride]) for track in tracks])


def fit(
    shape: NetworkConfig,
    normalise: NDArray[np.float32],
    draw: Callable[[np.random.Generator], Batch],
    config: FitConfig,
    *,
    seed: int,
    class_weights: NDArray[np.float32] | None = None,
    run: Run | None = None,
    checkpoint: str = "checkpoint.pt",
    checkpoint_every: int = 100,
    workers: int = 0,
    title: str = "training",
    show_progress: bool = True,
) -> TemporalClassifier:
    """A network of this shape, trained; resumed where `run` has a checkpoint of this name.

    normalise: frames [T, input_dim] that give the normalisation. draw: a batch, frames [N, T, input_dim] and targets
    [N, T], -1 where there is none. The same seed, torch build, processor and thread count give the same weights,
    however often the run was interrupted and however many workers made its batches. RecordingError: frames that are all
    the same.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TemporalClassifier(shape)
    with torch.no_grad():
        network.set_normalisation(torch.from_numpy(np.array(normalise, dtype=np.float32)))
    if not torch.isfinite(network.scale).all():
        raise RecordingError("frames: expected some that differ, found all the same: there is nothing to learn from")
    task = Fitting(network, config, class_weights)
    (run or Run(None, {})).train(
        task,
        draw,
        steps=config.steps,
        seed=seed,
        title=title,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        workers=workers,
        show_progress=show_progress,
    )
    return task.average
