"""Supervised training: random crops of labelled recordings, cross-entropy after every frame, AdamW, and the exponential
moving average (EMA) of the weights as the result."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from aether_temporal._internal.toml_settings import Within, check_ranges
from aether_temporal.errors import InvalidConfigError
from aether_temporal.recordings import RecordingError
from aether_temporal.torch.network import NetworkConfig, TemporalClassifier

from .checkpoints import State, load_into
from .dataset import LabelledRecording, expect_length
from .reading import LONGEST
from .runs import Run
from .shards import ShardedTask, shard_of

Batch = tuple[NDArray[np.float32], NDArray[np.int64]]


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How a crop is varied. Each value 0 switches its part off.

    profile, jitter: standard deviations of a static log gain, smooth over the features and independent for each:
    another multipath profile. noise: of a factor for each value. masked: widest run of features that is set to the
    crop's mean.
    """

    profile: Annotated[float, Within(0.0, 10.0)] = 0.15
    jitter: Annotated[float, Within(0.0, 10.0)] = 0.05
    noise: Annotated[float, Within(0.0, 10.0)] = 0.02
    masked: Annotated[int, Within(0, LONGEST)] = 6

    def __post_init__(self) -> None:
        check_ranges(self)

    def draw(self, length: int, features: int, generator: np.random.Generator) -> Variation:
        """Of a crop of this size."""
        knots = np.linspace(0, features - 1, 8)
        smooth = np.interp(np.arange(features), knots, generator.normal(0.0, 1.0, 8)) * self.profile
        factors = np.exp(smooth + generator.normal(0.0, 1.0, features) * self.jitter)
        noise = 1.0 + generator.normal(0.0, self.noise, (length, features)) if self.noise else None
        masked = []
        for _ in range(2 if self.masked else 0):
            start, width = generator.integers(0, features), generator.integers(0, self.masked + 1)
            masked.append(slice(start, start + width))
        return Variation(factors, noise, masked)


@dataclasses.dataclass(frozen=True, eq=False)
class Variation:
    """How one crop [T, F] is varied. factors: of the features; noise: of the values, None without; masked: features set
    to the crop's mean."""

    factors: NDArray[np.float64]
    noise: NDArray[np.float64] | None
    masked: Sequence[slice]

    def apply(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """A varied copy."""
        out = frames * self.factors
        if self.noise is not None:
            out *= self.noise
        for features in self.masked:
            out[:, features] = out.mean()
        return np.maximum(out, 0.0).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Crops:
    """Random crops: each `length` frames long, the target of frame t being the label of frame t - label_delay. A
    shorter recording is a crop of its own: its last frame is repeated behind it, without targets, which changes no
    prediction before.

    The first `warm_up` frames of a crop, in which a new stream has seen too little, have no target (-1). label_delay
    must not exceed warm_up. balance: frames of each class (`class_counts`): crops then end in each class equally often;
    empty: crops lie anywhere.
    """

    length: Annotated[int, Within(1, LONGEST)]
    count: Annotated[int, Within(1, LONGEST)]
    label_delay: Annotated[int, Within(0, LONGEST)]
    warm_up: Annotated[int, Within(0, LONGEST)]
    augmentation: Augmentation
    balance: Annotated[tuple[int, ...], Within(0, 2**63 - 1)] = ()

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.label_delay > self.warm_up:
            expected = f"at most warm_up ({self.warm_up})"
            raise InvalidConfigError.of("label_delay", expected, self.label_delay)

    def check(self, recordings: Sequence[LabelledRecording]) -> None:
        """RecordingError for a recording too short for any target, or, where classes are to be balanced, when none of
        the frames that can be a crop's newest target has a label."""
        for recording in recordings:
            expect_length(recording, self.warm_up + 1, "crop")
        if self.balance and not any(
            (
                recording.labels[self._size(recording) - 1 - self.label_delay : len(recording) - self.label_delay] >= 0
            ).any()
            for recording in recordings
        ):
            raise RecordingError(
                f"labels: expected some from frame {self.length - 1 - self.label_delay} of a recording on, to balance "
                "classes by, found none; label more of it, or do not balance"
            )

    def _size(self, recording: LabelledRecording) -> int:
        return min(self.length, len(recording))

    def plan(self, recordings: Sequence[LabelledRecording], generator: np.random.Generator) -> list[Crop]:
        """A batch whose frames are not read yet."""
        found = []
        for _ in range(self.count):
            recording, start = self._place(recordings, generator)
            size = self._size(recording)
            variation = self.augmentation.draw(size, recording.frames.shape[1], generator)
            found.append(Crop(self, recording, start, size, variation))
        return found

    def _place(
        self, recordings: Sequence[LabelledRecording], generator: np.random.Generator
    ) -> tuple[LabelledRecording, int]:
        """Uniform; balanced by turning down places in proportion to how frequent the newest target's class is."""
        while True:
            recording = recordings[int(generator.integers(0, len(recordings)))]
            start = int(generator.integers(0, len(recording) - self._size(recording) + 1))
            if not self.balance:
                return recording, start
            label = int(recording.labels[start + self._size(recording) - 1 - self.label_delay])
            if label >= 0 and generator.random() * self.balance[label] < min(n for n in self.balance if n > 0):
                return recording, start


@dataclasses.dataclass(frozen=True, eq=False)
class Crop:
    """Frames start … start + size - 1 of a recording, to be varied."""

    kind: Crops
    recording: LabelledRecording
    start: int
    size: int
    variation: Variation

    def frames(self) -> NDArray[np.float32]:
        """[length, F]."""
        rows = self.variation.apply(self.recording.frames[self.start : self.start + self.size])
        return np.pad(rows, ((0, self.kind.length - self.size), (0, 0)), "edge")

    def targets(self) -> NDArray[np.int64]:
        """[length]."""
        kind, stop = self.kind, self.start + self.size
        found = np.full(kind.length, -1, dtype=np.int64)
        found[kind.warm_up : self.size] = self.recording.labels[
            self.start + kind.warm_up - kind.label_delay : stop - kind.label_delay
        ]
        return found


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Batches of one kind of crops or another, by their shares."""

    kinds: tuple[Crops, ...]
    shares: Annotated[tuple[float, ...], Within(1e-9, 1e9)]

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.kinds or len(self.kinds) != len(self.shares):
            raise InvalidConfigError.of("shares", f"one for each of {len(self.kinds)} kinds", len(self.shares))

    def check(self, recordings: Sequence[LabelledRecording]) -> None:
        """RecordingError for a recording shorter than a crop."""
        for kind in self.kinds:
            kind.check(recordings)

    def plan(self, recordings: Sequence[LabelledRecording], generator: np.random.Generator) -> list[Crop]:
        """A batch of one kind."""
        edges = np.cumsum(self.shares) / sum(self.shares)
        kind = self.kinds[min(int(np.searchsorted(edges, generator.random(), side="right")), len(self.kinds) - 1)]
        return kind.plan(recordings, generator)


@dataclasses.dataclass(frozen=True, eq=False)
class Batches:
    """Draws batches of crops of these recordings, whole or in shards: frames [N, length, F] and targets [N, length]."""

    crops: Crops | Mixture
    recordings: Sequence[LabelledRecording]

    def __call__(self, generator: np.random.Generator) -> Batch:
        return self.shards(generator, 1, range(1))[0]

    def shards(self, generator: np.random.Generator, of: int, which: range) -> list[Batch]:
        """Of the batch that the generator gives, cut into `of` shards, those of `which`: the frames of the others are
        not read. InvalidConfigError for more shards than crops."""
        plan = self.crops.plan(self.recordings, generator)
        return [_read(plan[shard_of(index, of, len(plan))]) for index in which]


def _read(crops: Sequence[Crop]) -> Batch:
    return np.stack([crop.frames() for crop in crops]), np.stack([crop.targets() for crop in crops])


@dataclasses.dataclass(frozen=True)
class FitConfig:
    """Settings of the optimiser. The learning rate warms up over `warm_up_steps` and falls along a half cosine.
    ema_rate: share of the newest weights in the moving average. InvalidConfigError names a field out of its range."""

    steps: Annotated[int, Within(1, 10**9)] = 1000
    learning_rate: Annotated[float, Within(0.0, 1e3)] = 3e-3
    warm_up_steps: Annotated[int, Within(0, 10**9)] = 50
    weight_decay: Annotated[float, Within(0.0, 1e3)] = 0.02
    label_smoothing: Annotated[float, Within(0.0, 1.0)] = 0.1
    ema_rate: Annotated[float, Within(0.0, 1.0)] = 0.01
    clip: Annotated[float, Within(1e-6, 1e6)] = 1.0

    def __post_init__(self) -> None:
        check_ranges(self)


def scheduled_rate(rate: float, step: int, *, warm_up_steps: int, steps: int) -> float:
    """A learning rate that warms up and falls along a half cosine, at a step."""
    warm_up = min(1.0, (step + 1) / max(1, warm_up_steps))
    return rate * warm_up * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def move_average(average: torch.nn.Module, network: torch.nn.Module, ema_rate: float, step: int) -> None:
    """Takes the weights after a step into the moving average."""
    share = max(ema_rate, 1.0 / (step + 1))  # young averages forget the random start
    with torch.no_grad():
        for kept, new in zip(average.parameters(), network.parameters(), strict=True):
            kept.lerp_(new, share)


class Fitting(ShardedTask[Batch]):
    """A network, its average and the optimiser; batches are frames [N, T, input_dim] and targets [N, T], -1 where there
    is none. class_weights: what a frame of each class counts (None: one)."""

    def __init__(
        self, network: TemporalClassifier, config: FitConfig, class_weights: NDArray[np.float32] | None = None
    ) -> None:
        self.network, self.config = network, config
        self.ema = copy.deepcopy(network).eval()
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=config.weight_decay
        )
        self.class_weights = None if class_weights is None else torch.from_numpy(class_weights)
        network.train()

    def parameters(self) -> list[torch.nn.Parameter]:
        """Those of the network."""
        return list(self.network.parameters())

    def weight(self, batch: Batch) -> float:
        """What the targets count."""
        targets = batch[1][batch[1] >= 0]
        return float(len(targets) if self.class_weights is None else self.class_weights.double()[targets].sum())

    def measure(self, batch: Batch) -> Mapping[str, float]:
        """The loss; adds its gradients."""
        frames, targets = (torch.from_numpy(np.asarray(part)) for part in batch)
        loss = F.cross_entropy(
            self.network(frames).flatten(0, 1),
            targets.flatten(),
            weight=self.class_weights,
            ignore_index=-1,
            label_smoothing=self.config.label_smoothing,
        )
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        return {"loss": loss.item()}

    def update(self, step: int) -> None:
        """One step along the gradients, and of the average."""
        config = self.config
        rate = scheduled_rate(config.learning_rate, step, warm_up_steps=config.warm_up_steps, steps=config.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip)
        self.optimiser.step()
        move_average(self.ema, self.network, config.ema_rate, step)

    def state(self) -> State:
        """Everything that steps change."""
        return {
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load(self, state: State, path: Path) -> None:
        """What `state` gave. CheckpointError for another shape."""
        load_into(self.network, state["network"], path)
        load_into(self.ema, state["ema"], path, "ema")
        self.optimiser.load_state_dict(state["optimiser"])


def some_frames(recordings: Sequence[LabelledRecording], most: int = 1 << 16) -> NDArray[np.float32]:
    """At most so many frames, evenly spread over the recordings: enough to measure mean and spread by."""
    total = sum(map(len, recordings))
    stride = max(1, -(-total // most))
    return np.concatenate([np.asarray(recording.frames[::stride]) for recording in recordings])


def fit(
    shape: NetworkConfig,
    normalise: NDArray[np.float32],
    draw: Callable[[np.random.Generator], Batch],
    config: FitConfig,
    *,
    seed: int,
    class_weights: NDArray[np.float32] | None = None,
    begin: Callable[[TemporalClassifier], None] | None = None,
    run: Run | None = None,
    checkpoint: str = "checkpoint.pt",
    checkpoint_every: int = 100,
    workers: int = 0,
    title: str = "training",
    show_progress: bool = True,
) -> TemporalClassifier:
    """A network of this shape, trained; resumed where `run` has a checkpoint of this name.

    normalise: frames [T, input_dim] that give the normalisation. draw: a batch, frames [N, T, input_dim] and targets
    [N, T], -1 where there is none. begin: sets weights before the first step. The same seed, torch build, processor and
    thread count give the same weights, however often the run was interrupted and however many workers made its batches.
    RecordingError: frames that are all the same.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TemporalClassifier(shape)
    with torch.no_grad():
        network.set_normalisation(torch.from_numpy(np.array(normalise, dtype=np.float32)))
        if begin is not None:
            begin(network)
    if not torch.isfinite(network.normalisation.scale).all():
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
    return task.ema
