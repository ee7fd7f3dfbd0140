"""Contrastive training: views of one window that are still the same identity, the loss that calls them alike (NT-Xent
and two VICReg terms on a projection that only training has), and the step that trains by it.

Frames are amplitudes with the receiver's gain not removed, [T, F]; every strength is relative to the window's mean,
so it means the same at any gain. Phase rotation has no place here: amplitudes do not see it.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from aether_temporal._internal.toml_settings import Pair, Within, check_ranges
from aether_temporal.recordings import RecordingError
from aether_temporal.torch.network import TemporalClassifier
from aether_temporal.train.checkpoints import State, load_into
from aether_temporal.train.dataset import Dataset, expect_length
from aether_temporal.train.reading import LONGEST
from aether_temporal.train.supervised import move_average, scheduled_rate, some_frames

Frames = NDArray[np.float32]


def jittered_start(start: int, length: int, frames: int, most: int, generator: np.random.Generator) -> int:
    """A window's first frame moved by at most `most` frames, the window of `length` staying inside `frames`."""
    moved = start + int(generator.integers(-most, most + 1))
    return min(max(moved, 0), frames - length)


def mask_features(
    frames: Frames, profile: NDArray[np.float32], low: float, high: float, generator: np.random.Generator
) -> Frames:
    """A share low … high of the features set to what they usually are: `profile` [F] (of mean 1) times the frame's
    mean.

    The other values stay as they are. (Zero would say "a deep fade here", which is somebody else's channel.)
    """
    features = frames.shape[1]
    count = int(generator.integers(round(low * features), round(high * features) + 1))
    chosen = generator.choice(features, count, replace=False)
    out = frames.copy()
    out[:, chosen] = frames.mean(axis=1, keepdims=True) * profile[chosen]
    return out


def add_noise(frames: Frames, low: float, high: float, generator: np.random.Generator) -> Frames:
    """Gaussian noise, its standard deviation low … high of the window's mean; amplitudes stay at least 0."""
    sigma = float(generator.uniform(low, high)) * float(frames.mean())
    noise = generator.standard_normal(frames.shape, dtype=np.float32) * np.float32(sigma)
    found: Frames = np.maximum(frames + noise, np.float32(0))
    return found


def scale(frames: Frames, low: float, high: float, generator: np.random.Generator) -> Frames:
    """All of the window times one factor low … high."""
    return frames * np.float32(generator.uniform(low, high))


def drop_frames(frames: Frames, most: float, generator: np.random.Generator) -> Frames:
    """At most a share `most` of the frames lost and drawn in again on the line between their neighbours; the first and
    the last frame, and every one that is kept, stay as they are."""
    length = len(frames)
    inner = length - 2
    count = int(generator.integers(0, int(most * length) + 1))
    if inner <= 0 or count == 0:
        return frames.copy()
    lost = np.sort(generator.choice(inner, min(count, inner), replace=False) + 1)
    kept = np.setdiff1d(np.arange(length), lost, assume_unique=True)
    after = np.searchsorted(kept, lost)
    a, b = kept[after - 1], kept[after]
    share = ((lost - a) / (b - a)).astype(np.float32)[:, None]
    out = frames.copy()
    out[lost] = frames[a] * (1 - share) + frames[b] * share
    return out


@dataclasses.dataclass(frozen=True)
class Views:
    """How views are made: two to four of the five changes each, all of them equally likely; `share` of the views are
    changed at all, the others are as recorded."""

    share: Annotated[float, Within(0.0, 1.0)] = 0.5
    changes: Annotated[tuple[int, int], Pair(0, 5)] = (2, 4)
    jitter: Annotated[int, Within(0, LONGEST)] = 3
    masked: Annotated[tuple[float, float], Pair(0.0, 1.0)] = (0.05, 0.20)
    noise: Annotated[tuple[float, float], Pair(0.0, 10.0)] = (0.01, 0.05)
    scale: Annotated[tuple[float, float], Pair(1e-3, 1e3)] = (0.8, 1.2)
    dropped: Annotated[float, Within(0.0, 1.0)] = 0.15

    def __post_init__(self) -> None:
        check_ranges(self)

    def view(
        self, frames: Frames, start: int, length: int, profile: NDArray[np.float32], generator: np.random.Generator
    ) -> Frames:
        """One view [length, F], a copy, of the window of `frames` [T, F] that begins at `start`. profile:
        `mask_features`."""
        window = frames[start : start + length]
        if generator.random() >= self.share:
            return np.array(window)
        count = int(generator.integers(self.changes[0], self.changes[1] + 1))
        chosen = set(generator.choice(5, count, replace=False).tolist())
        if 0 in chosen:
            start = jittered_start(start, length, len(frames), self.jitter, generator)
            window = frames[start : start + length]
        out = np.array(window)
        steps: tuple[Callable[[Frames], Frames], ...] = (
            lambda x: drop_frames(x, self.dropped, generator),
            lambda x: mask_features(x, profile, *self.masked, generator),
            lambda x: add_noise(x, *self.noise, generator),
            lambda x: scale(x, *self.scale, generator),
        )
        for index, change in enumerate(steps, start=1):
            if index in chosen:
                out = change(out)
        return out


Pairs = tuple[NDArray[np.float32], NDArray[np.int64]]
"""A batch: views [N, T, F], and whose each is [N]."""


class Pairing:
    """Batches of views: `batch` identities, two views each, from anywhere in that identity's captures. Picklable."""

    def __init__(self, train: Dataset, *, length: int, batch: int, views: Views) -> None:
        for recording in train:
            expect_length(recording, length)
        self.train, self.length, self.batch, self.views = train, length, batch, views
        names = sorted({str(recording.subject) for recording in train})
        self.recordings = [[i for i, recording in enumerate(train) if recording.subject == name] for name in names]
        frames = some_frames(train).astype(np.float64)
        mean = frames.mean(axis=1, keepdims=True)
        profile = (frames / np.where(mean > 0, mean, 1.0)).mean(axis=0)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            self.profile = (profile / profile.mean()).astype(np.float32)
        if not np.isfinite(self.profile).all():
            raise RecordingError(
                "frames: expected ones that can be divided by their mean, found some whose mean is nearly zero: "
                "amplitudes are to be positive; leave such frames out"
            )

    def __call__(self, generator: np.random.Generator) -> Pairs:
        found, identities = [], []
        for identity in generator.permutation(len(self.recordings))[: self.batch].tolist():
            for _ in range(2):
                mine = self.recordings[identity]
                frames = self.train[mine[int(generator.integers(len(mine)))]].frames
                start = int(generator.integers(0, len(frames) - self.length + 1))
                found.append(self.views.view(frames, start, self.length, self.profile, generator))
                identities.append(identity)
        return np.stack(found), np.array(identities, dtype=np.int64)


def nt_xent(z: torch.Tensor, identities: torch.Tensor, temperature: float) -> torch.Tensor:
    """The normalised, temperature-scaled cross-entropy of z [N, E] of length 1: each view is to find the views of its
    own identity among all others. With two views an identity this is NT-Xent; with more, the mean over them."""
    own = torch.eye(len(z), dtype=torch.bool)
    similarity = (z @ z.t() / temperature).masked_fill(own, -math.inf)
    likelihood = (similarity - torch.logsumexp(similarity, dim=1, keepdim=True)).masked_fill(own, 0.0)
    alike = (identities[:, None] == identities[None, :]) & ~own
    return -((likelihood * alike).sum(1) / alike.sum(1).clamp(min=1)).mean()


def variance_loss(z: torch.Tensor, target: float = 1.0) -> torch.Tensor:
    """How far the standard deviation of each column of z [N, E] falls short of `target`, on average: against
    collapse."""
    spread = torch.sqrt(z.var(dim=0) + 1e-4)
    return F.relu(target - spread).mean()


def covariance_loss(z: torch.Tensor) -> torch.Tensor:
    """Squares of the covariances between different columns of z [N, E], summed, by column: against saying things
    twice."""
    centred = z - z.mean(dim=0)
    covariance = centred.t() @ centred / (len(z) - 1)
    return ((covariance**2).sum() - (covariance.diagonal() ** 2).sum()) / z.shape[1]


@dataclasses.dataclass(frozen=True)
class ContrastConfig:
    """Settings of loss and optimiser. The learning rate warms up over `warm_up_steps` and falls along a half cosine.
    ema_rate: share of the newest weights in the moving average. InvalidConfigError names a field out of its range.

    The VICReg terms see the projection on the sphere of radius sqrt(dim): of radius 1 no column could have the standard
    deviation 1 they ask for.
    """

    steps: Annotated[int, Within(1, 10**9)] = 120
    temperature: Annotated[float, Within(1e-3, 1e3)] = 0.07
    variance: Annotated[float, Within(0.0, 1e6)] = 25.0
    covariance: Annotated[float, Within(0.0, 1e6)] = 1.0
    projection: Annotated[int, Within(2, LONGEST)] = 128
    learning_rate: Annotated[float, Within(0.0, 1e3)] = 1e-4
    head_learning_rate: Annotated[float, Within(0.0, 1e3)] = 1e-3
    warm_up_steps: Annotated[int, Within(0, 10**9)] = 20
    weight_decay: Annotated[float, Within(0.0, 1e3)] = 0.02
    ema_rate: Annotated[float, Within(0.0, 1.0)] = 0.02
    clip: Annotated[float, Within(1e-6, 1e6)] = 1.0

    def __post_init__(self) -> None:
        check_ranges(self)


def contrastive_loss(
    projected: torch.Tensor, identities: torch.Tensor, config: ContrastConfig
) -> tuple[torch.Tensor, dict[str, float]]:
    """The loss of projections [N, E], not yet normalised, and its parts."""
    z = F.normalize(projected, dim=1)
    contrast = nt_xent(z, identities, config.temperature)
    wide = z * math.sqrt(z.shape[1])
    variance, covariance = variance_loss(wide), covariance_loss(wide)
    loss = contrast + config.variance * variance + config.covariance * covariance
    parts = {"contrast": contrast, "variance": variance, "covariance": covariance}
    return loss, {"loss": loss.item(), **{name: part.item() for name, part in parts.items()}}


class ProjectionHead(nn.Sequential):
    """Linear, batch norm, ReLU, linear: from the embedding to where the loss is measured. Not part of the blob."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Linear(outputs, outputs))


class Contrasting:
    """A `Task`: a network, its projection head, the network's running average (the result) and the optimiser.

    `scale` brings embeddings to the head: they are far from 1 where they are measured in standard deviations.
    """

    def __init__(self, network: TemporalClassifier, config: ContrastConfig, *, scale: float, seed: int) -> None:
        assert network.embedding is not None
        self.network, self.config, self.scale = network, config, scale
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = ProjectionHead(network.embedding["weight"].shape[1], config.projection)
        self.ema = copy.deepcopy(network).eval()
        trunk = [value for name, value in network.named_parameters() if not name.startswith("classifier")]
        self.groups = (
            {"params": trunk, "lr": config.learning_rate, "weight_decay": 0.0},
            {"params": list(self.head.parameters()), "lr": config.head_learning_rate},
        )
        self.rates = (config.learning_rate, config.head_learning_rate)
        self.optimiser = torch.optim.AdamW(self.groups, betas=(0.9, 0.99), weight_decay=config.weight_decay)
        network.train()
        self.head.train()

    def step(self, step: int, batch: Pairs) -> Mapping[str, float]:
        """One step on views [N, T, F] of identities [N]."""
        config, network = self.config, self.network
        frames, identities = (torch.from_numpy(np.asarray(part)) for part in batch)
        factor = scheduled_rate(1.0, step, warm_up_steps=config.warm_up_steps, steps=config.steps)
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        embedded = network.embed(network.hidden(frames)[:, -1])
        loss, numbers = contrastive_loss(self.head(embedded * self.scale), identities, config)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        for group in self.optimiser.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], config.clip)
        self.optimiser.step()
        move_average(self.ema, network, config.ema_rate, step)
        return numbers

    def state(self) -> State:
        """Everything that steps change."""
        return {
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "head": self.head.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load(self, state: State, path: Path) -> None:
        """What `state` gave. CheckpointError for another shape."""
        load_into(self.network, state["network"], path)
        load_into(self.ema, state["ema"], path, "ema")
        load_into(self.head, state["head"], path, "head")
        self.optimiser.load_state_dict(state["optimiser"])
