"""What one seed tells: both trainings, asked about persons that neither has met."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

from aether_temporal.config import TemporalHeadConfig
from aether_temporal.torch import TemporalClassifier
from aether_temporal.train.contrastive import Contrasting, contrastive_loss
from aether_temporal.train.corpus import Corpus
from aether_temporal.train.loaders import step_generator
from aether_temporal.train.reid import Pairing, arrange_for
from aether_temporal.train.reid_protocol import Part, Protocol
from aether_temporal.train.retrieval import Matches, match
from aether_temporal.train.run import Run

from .attention_map import effective_entries
from .config import BROKEN, GateConfig, GateError
from .neighbours import Orders, compare_orders, cosines
from .training import BACKENDS, embed, embeddings, exchange, recipe, train_one

ASKED = "unseen persons"
"""The part of the protocol that everything is asked about."""

_HELD_OUT = 1 << 40
"""First step number of the held-out batches, beyond any training's."""


@dataclasses.dataclass(frozen=True, eq=False)
class SeedResult:
    """By backend: loss, total: the contrastive term and the whole loss on held-out windows; matches: held-out probes
    in held-out galleries; networks: as trained. orders: by whose weights, the nearest neighbours by the dense kernel
    against those by the sparse one. control: under the weights trained dense, against those by a kernel that is broken
    on purpose. spread: by backend, the entries that a window's last query spreads its weight over. owners: whom each
    probe belongs to. window: a held-out one, for pictures."""

    seed: int
    held_out: tuple[str, ...]
    loss: dict[str, float]
    total: dict[str, float]
    matches: dict[str, Matches]
    orders: dict[str, Orders]
    control: Orders
    spread: dict[str, float]
    owners: tuple[str, ...]
    networks: dict[str, TemporalClassifier]
    window: torch.Tensor

    @property
    def hits(self) -> dict[str, NDArray[np.float64]]:
        """By backend and probe: 1 where the nearest window is the right person's."""
        return {backend: (found.ranks <= 1).astype(np.float64) for backend, found in self.matches.items()}


def study(
    config: GateConfig, corpus: Corpus, seed: int, *, run: Run, checkpoint_every: int = 100, show_progress: bool = True
) -> SeedResult:
    """Trains both, or takes what the run has of them, and asks. RecordingError, LeakError, GateError, CheckpointError,
    RunError."""
    protocol = arrange_for(corpus, recipe(config, seed))
    check(config, protocol)
    part = protocol.parts[ASKED]
    strangers = corpus.subset([i for i, track in enumerate(corpus) if track.person in set(protocol.held_out)])
    tasks: dict[str, Contrasting] = {
        backend: train_one(
            config,
            protocol.train,
            backend,
            seed,
            run=run,
            checkpoint_every=checkpoint_every,
            show_progress=show_progress,
        )
        for backend in BACKENDS
    }
    losses = {backend: _held_out_loss(task, config, strangers, seed) for backend, task in tasks.items()}
    networks: dict[str, TemporalClassifier] = {backend: task.network for backend, task in tasks.items()}
    return SeedResult(
        seed,
        protocol.held_out,
        {backend: found["contrast"] for backend, found in losses.items()},
        {backend: found["loss"] for backend, found in losses.items()},
        {backend: _match(network, part) for backend, network in networks.items()},
        {backend: _orders(network, config, config.head("sparse"), part) for backend, network in networks.items()},
        _orders(networks["dense"], config, dataclasses.replace(config, pattern=BROKEN).head("sparse"), part),
        {backend: effective_entries(network, _some(part.probes)) for backend, network in networks.items()},
        tuple(part.probes_of),
        networks,
        torch.from_numpy(part.probes[0]),
    )


def check(config: GateConfig, protocol: Protocol) -> None:
    """GateError for a configuration that these recordings cannot answer, before anything is trained."""
    windows = len(protocol.parts[ASKED].gallery)
    if windows <= config.neighbours:
        raise GateError(
            f"neighbours: expected fewer than the gallery has windows ({windows}, of {config.held_out} "
            f"held-out persons), found {config.neighbours}; hold out more persons, or use shorter windows or fewer "
            "neighbours"
        )
    if len({track.person for track in protocol.train}) < 2:
        raise GateError(f"held_out: expected to leave at least two persons to train on, found {config.held_out}")


def _held_out_loss(task: Contrasting, config: GateConfig, strangers: Corpus, seed: int) -> dict[str, float]:
    """The parts of the loss on views of persons that training has not met; the same views for both backends."""
    draw = Pairing(strangers, recipe(config, seed))
    found = []
    with torch.no_grad():
        for index in range(config.held_out_batches):
            frames, persons = draw(step_generator(seed, _HELD_OUT + index))
            projected = task.head(embed(task.network, torch.from_numpy(frames)))
            found.append(contrastive_loss(projected, torch.from_numpy(persons), config.contrast)[1])
    return {name: float(np.mean([numbers[name] for numbers in found])) for name in found[0]}


def _some(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Some thirty of them."""
    return windows[:: max(1, len(windows) // 30)]


def _match(network: TemporalClassifier, part: Part) -> Matches:
    gallery, probes = (embeddings(network, windows) for windows in (part.gallery, part.probes))
    return match(gallery, part.gallery_of, probes, part.probes_of)


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
