"""Dense and sparse trained at the same budget: the same first weights, the same batches, the same steps."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from aether_temporal.config import TemporalHeadConfig
from aether_temporal.errors import NonFiniteError, ResultOverflowError
from aether_temporal.torch import TemporalClassifier
from aether_temporal.torch.network import Layer
from aether_temporal.train.contrastive import Contrasting
from aether_temporal.train.dataset import Dataset
from aether_temporal.train.fitting import some_frames
from aether_temporal.train.reid import Pairing, Recipe
from aether_temporal.train.reid_network import Shape
from aether_temporal.train.run import Run
from aether_temporal.train.windows import Stack

from .config import DENSE, Backend, GateConfig, GateError

BACKENDS: tuple[Backend, ...] = ("dense", "sparse")


def recipe(config: GateConfig, seed: int) -> Recipe:
    """What persons are held out and batches are drawn by."""
    return Recipe(
        seed=seed,
        held_out=config.held_out,
        captures=config.captures,
        contrast=config.contrast,
        views=config.views,
        shape=Shape(length=config.window),
        batch=config.batch,
    )


def exchange(network: TemporalClassifier, head: TemporalHeadConfig) -> None:
    """Puts another kernel into every layer; the weights stay."""
    for layer in network.layers:
        assert isinstance(layer, Layer)
        layer.head = head


def first_network(config: GateConfig, train: Dataset, backend: Backend, seed: int) -> TemporalClassifier:
    """The network before the first step; its weights depend on the seed and not on the backend."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TemporalClassifier(config.shape(train.width, DENSE if backend == "dense" else config.pattern))
    network.set_normalisation(torch.from_numpy(some_frames(train)))
    exchange(network, config.head(backend))
    return network


def train_one(
    config: GateConfig,
    dataset: Dataset,
    backend: Backend,
    seed: int,
    *,
    run: Run,
    checkpoint_every: int,
    show_progress: bool,
) -> Contrasting:
    """One training, or what is left of it: the rest is in the run's checkpoint. GateError for one that leaves finite
    numbers, RecordingError, CheckpointError, RunError."""
    task = Contrasting(first_network(config, dataset, backend, seed), config.contrast, scale=1.0, seed=seed)
    title = f"seed {seed}, {backend}"
    advice = "begin anew in another folder with a lower contrast.learning_rate, or a higher contrast.temperature"
    begun = False
    try:
        for step, numbers in run.steps(
            task,
            Pairing(dataset, recipe(config, seed)),
            steps=config.contrast.steps,
            seed=seed,
            title=title,
            checkpoint=checkpoint_name(seed, backend),
            checkpoint_every=checkpoint_every,
            show_progress=show_progress,
        ):
            begun = True
            if not all(map(math.isfinite, numbers.values())):
                raise GateError(f"{title}, step {step}: expected a finite loss, found {numbers['loss']}; {advice}")
    except (NonFiniteError, ResultOverflowError) as error:
        if not begun:  # it is the recordings
            raise
        raise GateError(f"{title}: expected a training within finite numbers, found none ({error}); {advice}") from None
    task.network.eval()
    task.head.eval()
    return task


def checkpoint_name(seed: int, backend: str) -> str:
    """The file of a training; without its ending, the part that its metrics are logged under."""
    return f"seed{seed}-{backend}.pt"


def embed(network: TemporalClassifier, frames: torch.Tensor) -> torch.Tensor:
    """Embeddings [N, E] after the last frame of windows [N, T, F], not normalised: what the loss sees."""
    assert network.embed is not None
    return F.linear(network.hidden(frames)[:, -1], network.embed.t(), network.embed_bias)


def embeddings(network: TemporalClassifier, windows: Stack, batch: int = 64) -> NDArray[np.float64]:
    """The same of many windows, without gradients."""
    with torch.no_grad():
        found = [embed(network, torch.from_numpy(some)) for some in windows.batches(batch)]
    return torch.cat(found).double().numpy()
