"""One seed: a dense network is trained, sparse ones get their weights from it, and all are evaluated on identities that
none has met."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from aether_temporal.config import TemporalHeadConfig
from aether_temporal.errors import NonFiniteError, ResultOverflowError
from aether_temporal.model import TemporalModel
from aether_temporal.settings import PatternSettings
from aether_temporal.torch import TemporalClassifier, to_blob
from aether_temporal.torch.network import Layer
from aether_temporal.train import splits
from aether_temporal.train.checkpoints import step_generator
from aether_temporal.train.dataset import Dataset, Stack
from aether_temporal.train.distillation import Distilling, with_pattern
from aether_temporal.train.reading import RunSettings
from aether_temporal.train.reid_protocol import Part, Protocol, arrange, identities_of
from aether_temporal.train.retrieval import Matches, match
from aether_temporal.train.runs import Run
from aether_temporal.train.supervised import some_frames

from .contrastive import Contrasting, Pairing, contrastive_loss
from .gate_config import BROKEN, DENSE, Backend, GateConfig, GateError
from .kernel_comparison import Orders, compare_orders, cosines, effective_entries

BACKENDS: tuple[Backend, ...] = ("dense", "sparse")

RECENT_SHARE = 0.9
"""Of the window: what dense attention over the latest frames alone sees, as a measure of what a loss means."""


def pairing(config: GateConfig, dataset: Dataset) -> Pairing:
    """Batches of these identities."""
    return Pairing(dataset, length=config.window, batch=config.batch, views=config.views)


def held_out(config: GateConfig, dataset: Dataset, seed: int) -> tuple[str, ...]:
    """The identities that training does not meet, drawn by the seed."""
    drawn = splits.held_out_subjects(dataset, config.held_out / len(identities_of(dataset)), seed)
    return tuple(sorted({str(dataset[index].subject) for index in drawn.test}))


def arranged(config: GateConfig, dataset: Dataset, seed: int) -> Protocol:
    """What is trained on and asked for. RecordingError, LeakError."""
    unseen = held_out(config, dataset, seed)
    return arrange(dataset, length=config.window, unseen=unseen, captures=config.captures)


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
    run_settings: RunSettings,
    show_progress: bool,
) -> Contrasting:
    """One training, or what is left of it: the rest is in the run's checkpoint. GateError for one that leaves finite
    numbers, RecordingError, CheckpointError, RunError."""
    task = Contrasting(first_network(config, dataset, backend, seed), config.contrast, scale=1.0, seed=seed)
    title = f"seed {seed}, {backend}"
    advice = "start over in another folder with a lower contrast.learning_rate, or a higher contrast.temperature"
    begun = False
    try:
        for step, numbers in run.steps(
            task,
            pairing(config, dataset),
            steps=config.contrast.steps,
            seed=seed,
            title=title,
            checkpoint=f"{backend}.pt",
            checkpoint_every=run_settings.checkpoint_every,
            workers=run_settings.workers,
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


def embed(network: TemporalClassifier, frames: torch.Tensor) -> torch.Tensor:
    """Embeddings [N, E] after the last frame of windows [N, T, F], not normalised: what the loss sees."""
    return network.embed(network.hidden(frames)[:, -1])


def embeddings(network: TemporalClassifier, windows: Stack, batch: int = 64) -> NDArray[np.float64]:
    """The same of many windows, without gradients."""
    with torch.no_grad():
        found = [embed(network, torch.from_numpy(some)) for some in windows.batches(batch)]
    return torch.cat(found).double().numpy()


ASKED = "unseen identities"
"""The part of the protocol that everything is asked about."""

_HELD_OUT = 1 << 40
"""First step number of the held-out batches, beyond any training's."""

DENSE_NAME, SPARSE = "dense", "sparse, distilled"
"""What the gates compare."""
EXCHANGED, TRAINED = "sparse, kernel exchanged only", "sparse, trained from the start"
RECENT = "dense, last 90 % of the window"
REFERENCE = "reference pattern, distilled"
BROKEN_NAME, BROKEN_DISTILLED = "broken kernel, exchanged only", "broken kernel, distilled"
CONTROLS = (BROKEN_NAME, BROKEN_DISTILLED)


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What one network gives on identities that it has not met.

    views: the contrastive term of each view; whole: the mean of the whole loss; matches: probes in galleries; orders:
    the nearest neighbours by the dense network against those by this one.
    """

    views: NDArray[np.float64]
    whole: float
    matches: Matches
    orders: Orders

    @property
    def loss(self) -> float:
        """The mean contrastive term over the views."""
        return float(self.views.mean())

    @property
    def hits(self) -> NDArray[np.float64]:
        """By probe: 1 where the nearest window is of the probe's identity."""
        return (self.matches.ranks <= 1).astype(np.float64)


@dataclasses.dataclass(frozen=True, eq=False)
class SeedResult:
    """measured: by the names above. networks: those that the gates compare. spread: of these, the entries that a
    window's last query spreads its weight over. owners: whom each probe belongs to; viewed: whom each view does.
    window: a held-out one, for pictures."""

    seed: int
    held_out: tuple[str, ...]
    measured: dict[str, Measured]
    networks: dict[str, TemporalClassifier]
    spread: dict[str, float]
    owners: tuple[str, ...]
    viewed: tuple[str, ...]
    window: torch.Tensor

    @property
    def dense(self) -> Measured:
        """What the dense network gives."""
        return self.measured[DENSE_NAME]

    @property
    def sparse(self) -> Measured:
        """What the network gives that would replace it."""
        return self.measured[SPARSE]


def study(
    config: GateConfig,
    dataset: Dataset,
    seed: int,
    *,
    run: Run,
    run_settings: RunSettings | None = None,
    show_progress: bool = True,
) -> SeedResult:
    """Trains, or takes what the run, which is of this seed alone, has of it, and asks. RecordingError, LeakError,
    GateError, CheckpointError, RunError."""
    protocol, names = arranged(config, dataset, seed), held_out(config, dataset, seed)
    check(config, protocol)
    part = protocol.parts[ASKED]
    unseen = dataset.subset([i for i, recording in enumerate(dataset) if recording.subject in names])
    trainer = _Trainer(config, protocol.train, seed, run, run_settings or RunSettings(), show_progress)
    asked = candidates(config, trainer)
    views, whole, viewed = _held_out_losses(asked, config, unseen, seed)
    embedded = {name: _Embedded.of(network, part) for name, (network, _) in asked.items()}
    by_dense = embedded[DENSE_NAME].cosines()
    measured = {
        name: Measured(
            views[name],
            whole[name],
            match(found.gallery, part.gallery_of, found.probes, part.probes_of),
            compare_orders(by_dense, found.cosines(), config.neighbours),
        )
        for name, found in embedded.items()
    }
    networks = {name: asked[name][0] for name in (DENSE_NAME, SPARSE)}
    spread = {name: effective_entries(network, _some(part.probes)) for name, network in networks.items()}
    window = torch.from_numpy(part.probes[0])
    return SeedResult(seed, names, measured, networks, spread, tuple(part.probes_of), viewed, window)


@dataclasses.dataclass(frozen=True, eq=False)
class _Trainer:
    """The trainings of one seed, on these recordings."""

    config: GateConfig
    train: Dataset
    seed: int
    run: Run
    run_settings: RunSettings
    show_progress: bool

    def contrast(self, backend: Backend) -> Contrasting:
        """From the first weights on, with this kernel."""
        return train_one(
            self.config,
            self.train,
            backend,
            self.seed,
            run=self.run,
            run_settings=self.run_settings,
            show_progress=self.show_progress,
        )

    def distil(self, teacher: TemporalClassifier, pattern: PatternSettings, name: str) -> TemporalClassifier:
        """A network of this pattern that has learned to predict as `teacher` does."""
        config = self.config
        task = Distilling(teacher, with_pattern(teacher, pattern), config.distillation)
        self.run.train(
            task,
            pairing(config, self.train),
            steps=config.distillation.steps,
            seed=self.seed,
            title=f"seed {self.seed}, {name} distilled",
            checkpoint=f"{name}-distilled.pt",
            checkpoint_every=self.run_settings.checkpoint_every,
            workers=self.run_settings.workers,
            show_progress=self.show_progress,
        )
        return task.student.eval()


def candidates(config: GateConfig, trainer: _Trainer) -> dict[str, tuple[TemporalClassifier, nn.Module]]:
    """Networks by name, each with the projection that its contrastive loss is measured on: the dense network's own, but
    for one that is trained from the start."""
    tasks = {backend: trainer.contrast(backend) for backend in BACKENDS}
    dense, projection = tasks["dense"].network, tasks["dense"].head

    recent = dataclasses.replace(DENSE, window=round(RECENT_SHARE * config.window) - 1)
    found = {
        DENSE_NAME: dense,
        SPARSE: trainer.distil(dense, config.pattern, "sparse"),
        EXCHANGED: with_pattern(dense, config.pattern),
        TRAINED: tasks["sparse"].network,
        RECENT: with_pattern(dense, recent),
        BROKEN_NAME: with_pattern(dense, BROKEN),
        BROKEN_DISTILLED: trainer.distil(dense, BROKEN, "broken"),
    }
    if config.pattern.pattern != "reference":
        found[REFERENCE] = trainer.distil(dense, PatternSettings(), "reference")
    projections = {name: tasks["sparse"].head if name == TRAINED else projection for name in found}
    return {name: (network, projections[name]) for name, network in found.items()}


def check(config: GateConfig, protocol: Protocol) -> None:
    """GateError for a configuration that these recordings cannot be evaluated with, before anything is trained."""
    windows = len(protocol.parts[ASKED].gallery)
    if windows <= config.neighbours:
        raise GateError(
            f"neighbours: expected fewer than the gallery has windows ({windows}, of {config.held_out} "
            f"held-out identities), found {config.neighbours}; hold out more identities"
        )


def check_identities(config: GateConfig, dataset: Dataset, data: str) -> None:
    """GateError, which names `data`, for more or fewer identities held out than there can be. RecordingError."""
    most = len(identities_of(dataset)) - 2
    if most < 2:
        raise GateError(
            f"{data}: subject: expected at least four, two to train on and two to ask about, found {most + 2}"
        )
    if config.held_out > most:
        raise GateError(
            f"{data}: held_out: expected 2 to {most} of the {most + 2} identities there are, found {config.held_out}; "
            "set it in the configuration (--config)"
        )


def check_blob(config: GateConfig, width: int) -> None:
    """InvalidConfigError for a network over frames of `width` features that no blob can hold, so that the core could
    not run it."""
    for pattern in (DENSE, config.pattern):
        TemporalModel.from_blob(to_blob(TemporalClassifier(config.shape(width, pattern))))


def _held_out_losses(
    asked: Mapping[str, tuple[TemporalClassifier, nn.Module]], config: GateConfig, unseen: Dataset, seed: int
) -> tuple[dict[str, NDArray[np.float64]], dict[str, float], tuple[str, ...]]:
    """By name: the contrastive term of each view of identities that training has not met, and the mean of the whole
    loss; whose the views are. All see the same views."""
    draw = pairing(config, unseen)
    names = [str(unseen[recordings[0]].subject) for recordings in draw.recordings]
    terms: dict[str, list[NDArray[np.float64]]] = {name: [] for name in asked}
    total: dict[str, list[float]] = {name: [] for name in asked}
    viewed: list[str] = []
    with torch.no_grad():
        for index in range(config.held_out_batches):
            frames, identities = draw(step_generator(seed, _HELD_OUT + index))
            viewed += [names[identity] for identity in identities.tolist()]
            for name, (network, head) in asked.items():
                projected = head(embed(network, torch.from_numpy(frames)))
                terms[name].append(view_terms(projected, config.contrast.temperature))
                total[name].append(
                    contrastive_loss(projected, torch.from_numpy(identities), config.contrast)[1]["loss"]
                )
    return (
        {name: np.concatenate(found) for name, found in terms.items()},
        {name: float(np.mean(found)) for name, found in total.items()},
        tuple(viewed),
    )


def view_terms(projected: torch.Tensor, temperature: float) -> NDArray[np.float64]:
    """NT-Xent of each view alone, of projections [2 n, E] in which an identity's two views follow each other: how
    surely the view finds its twin among all others."""
    z = F.normalize(projected.double(), dim=1)
    similarity = (z @ z.t() / temperature).fill_diagonal_(-math.inf)
    twins = torch.arange(len(z)) ^ 1
    return F.cross_entropy(similarity, twins, reduction="none").numpy()


def _some(windows: Stack) -> NDArray[np.float32]:
    """Some thirty of them."""
    return windows[:: max(1, len(windows) // 30)]


@dataclasses.dataclass(frozen=True, eq=False)
class _Embedded:
    """Embeddings of the probes and of the gallery."""

    probes: NDArray[np.float64]
    gallery: NDArray[np.float64]

    @classmethod
    def of(cls, network: TemporalClassifier, part: Part) -> _Embedded:
        return cls(embeddings(network, part.probes), embeddings(network, part.gallery))

    def cosines(self) -> NDArray[np.float64]:
        return cosines(self.probes, self.gallery)


def exchanged(network: TemporalClassifier, head: TemporalHeadConfig) -> TemporalClassifier:
    """A copy with another kernel."""
    other = copy.deepcopy(network)
    exchange(other, head)
    return other
