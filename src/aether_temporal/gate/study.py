"""One seed: dense and sparse trained at the same budget (the same first weights, batches and steps), then evaluated on
identities that neither has met."""

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
from aether_temporal.torch import TemporalClassifier, to_blob
from aether_temporal.torch.network import Layer
from aether_temporal.train import splits
from aether_temporal.train.checkpoints import step_generator
from aether_temporal.train.configuration import RunSettings
from aether_temporal.train.dataset import Dataset, Stack
from aether_temporal.train.reid_protocol import Part, Protocol, arrange, identities_of
from aether_temporal.train.retrieval import Matches, match
from aether_temporal.train.runs import Run
from aether_temporal.train.supervised import some_frames

from .contrastive import Contrasting, Pairing, contrastive_loss
from .gate_config import BROKEN, DENSE, Backend, GateConfig, GateError
from .kernel_comparison import Orders, compare_orders, cosines, effective_entries

BACKENDS: tuple[Backend, ...] = ("dense", "sparse")


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
            checkpoint=checkpoint_name(seed, backend),
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


def checkpoint_name(seed: int, backend: str) -> str:
    """The file of a training; without its ending, the part that its metrics are logged under."""
    return f"seed{seed}-{backend}.pt"


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

_BROKEN = "broken"

_HELD_OUT = 1 << 40
"""First step number of the held-out batches, beyond any training's."""


@dataclasses.dataclass(frozen=True, eq=False)
class Control:
    """What a kernel that is broken on purpose gives in the place of the one that was trained, under the weights trained
    dense: the held-out contrastive loss, and by probe whether it found its identity; the neighbours' order against
    dense."""

    loss: float
    hits: NDArray[np.float64]
    orders: Orders


@dataclasses.dataclass(frozen=True, eq=False)
class SeedResult:
    """By backend: views, total: the contrastive term of each held-out view, and the mean whole loss; matches: held-out
    probes in held-out galleries; networks: as trained. orders: by whose weights, the nearest neighbours by the dense
    kernel against those by the sparse one. spread: by backend, the entries that a window's last query spreads its
    weight over. owners: whom each probe belongs to; viewed: whom each view does. window: a held-out one, for
    pictures."""

    seed: int
    held_out: tuple[str, ...]
    views: dict[str, NDArray[np.float64]]
    viewed: tuple[str, ...]
    total: dict[str, float]
    matches: dict[str, Matches]
    orders: dict[str, Orders]
    control: Control
    spread: dict[str, float]
    owners: tuple[str, ...]
    networks: dict[str, TemporalClassifier]
    window: torch.Tensor

    @property
    def loss(self) -> dict[str, float]:
        """By backend: the mean contrastive term over the held-out views."""
        return {backend: float(found.mean()) for backend, found in self.views.items()}

    @property
    def hits(self) -> dict[str, NDArray[np.float64]]:
        """By backend and probe: 1 where the nearest window is of the probe's identity."""
        return {backend: _hits(found) for backend, found in self.matches.items()}


def study(
    config: GateConfig,
    dataset: Dataset,
    seed: int,
    *,
    run: Run,
    run_settings: RunSettings | None = None,
    show_progress: bool = True,
) -> SeedResult:
    """Trains both, or takes what the run has of them, and asks. RecordingError, LeakError, GateError, CheckpointError,
    RunError."""
    protocol, names = arranged(config, dataset, seed), held_out(config, dataset, seed)
    check(config, protocol)
    part = protocol.parts[ASKED]
    unseen = dataset.subset([i for i, recording in enumerate(dataset) if recording.subject in names])
    tasks: dict[str, Contrasting] = {
        backend: train_one(
            config,
            protocol.train,
            backend,
            seed,
            run=run,
            run_settings=run_settings or RunSettings(),
            show_progress=show_progress,
        )
        for backend in BACKENDS
    }
    networks: dict[str, TemporalClassifier] = {backend: task.network for backend, task in tasks.items()}
    head = dataclasses.replace(config, pattern=BROKEN).head("sparse")
    broken = exchanged(networks["dense"], head)
    asked = {backend: (task.network, task.head) for backend, task in tasks.items()}
    asked[_BROKEN] = (broken, tasks["dense"].head)
    views, total, viewed = _held_out_losses(asked, config, unseen, seed)
    control = Control(
        float(views.pop(_BROKEN).mean()),
        _hits(_match(broken, part)),
        _orders(networks["dense"], config, head, part),
    )
    return SeedResult(
        seed,
        names,
        views,
        viewed,
        {backend: total[backend] for backend in BACKENDS},
        {backend: _match(network, part) for backend, network in networks.items()},
        {backend: _orders(network, config, config.head("sparse"), part) for backend, network in networks.items()},
        control,
        {backend: effective_entries(network, _some(part.probes)) for backend, network in networks.items()},
        tuple(part.probes_of),
        networks,
        torch.from_numpy(part.probes[0]),
    )


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


def _match(network: TemporalClassifier, part: Part) -> Matches:
    gallery, probes = (embeddings(network, windows) for windows in (part.gallery, part.probes))
    return match(gallery, part.gallery_of, probes, part.probes_of)


def _hits(found: Matches) -> NDArray[np.float64]:
    """By probe: 1 where the nearest window is of the probe's identity."""
    return (found.ranks <= 1).astype(np.float64)


def _orders(network: TemporalClassifier, config: GateConfig, head: TemporalHeadConfig, part: Part) -> Orders:
    """Dense against `head` under the same weights: only the kernel is exchanged."""
    similar = []
    for kernel in (config.head("dense"), head):
        other = exchanged(network, kernel)
        similar.append(cosines(embeddings(other, part.probes), embeddings(other, part.gallery)))
    return compare_orders(similar[0], similar[1], config.neighbours)


def exchanged(network: TemporalClassifier, head: TemporalHeadConfig) -> TemporalClassifier:
    """A copy with another kernel."""
    other = copy.deepcopy(network)
    exchange(other, head)
    return other
