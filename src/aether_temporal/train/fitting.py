"""The training loop: cross-entropy after every frame, AdamW, and the running average of the weights as the result."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.nn import functional as F

from aether_temporal.torch.network import NetworkConfig, TemporalClassifier

Batch = tuple[NDArray[np.float32], NDArray[np.int64]]


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


@contextmanager
def _progress(title: str, steps: int, shown: bool) -> Iterator[Callable[[float], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not shown) as bar:
        task = bar.add_task(title, total=steps, loss=math.nan)
        yield lambda loss: bar.update(task, advance=1, loss=loss)


def _rate(config: FitConfig, step: int) -> float:
    rise = min(1.0, (step + 1) / max(1, config.rise))
    return config.learning_rate * rise * 0.5 * (1.0 + math.cos(math.pi * step / config.steps))


def fit(
    shape: NetworkConfig,
    normalise: NDArray[np.float32],
    draw: Callable[[np.random.Generator], Batch],
    config: FitConfig,
    *,
    seed: int,
    title: str = "training",
    show_progress: bool = True,
) -> TemporalClassifier:
    """A network of this shape, trained.

    normalise: frames [T, input_dim] that give the normalisation. draw: a batch, frames [N, T, input_dim] and targets
    [N, T], -1 where there is none. The same seed, torch build and thread count give the same weights.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TemporalClassifier(shape)
        with torch.no_grad():
            network.set_normalisation(torch.from_numpy(np.ascontiguousarray(normalise)))
        average = copy.deepcopy(network).eval()
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=config.weight_decay
        )
        network.train()
        with _progress(title, config.steps, show_progress) as advance:
            for step in range(config.steps):
                for group in optimiser.param_groups:
                    group["lr"] = _rate(config, step)
                frames, targets = draw(generator)
                logits = network(torch.from_numpy(frames))
                loss = F.cross_entropy(
                    logits.flatten(0, 1),
                    torch.from_numpy(targets).flatten(),
                    ignore_index=-1,
                    label_smoothing=config.label_smoothing,
                )
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
                torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
                optimiser.step()
                share = max(config.averaging, 1.0 / (step + 1))  # young averages forget the random start
                with torch.no_grad():
                    for kept, new in zip(average.parameters(), network.parameters(), strict=True):
                        kept.lerp_(new, share)
                advance(loss.item())
    return average
