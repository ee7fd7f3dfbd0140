"""What a gate run trains and asks: everything that decides the result, beside the recordings and the seeds."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from aether_temporal._internal.toml_settings import Within, check_ranges
from aether_temporal.config import TemporalHeadConfig
from aether_temporal.errors import InvalidConfigError, TemporalError
from aether_temporal.settings import PYRAMID, PatternSettings
from aether_temporal.torch import NetworkConfig
from aether_temporal.train.distillation import DistillConfig
from aether_temporal.train.reading import LONGEST

from .contrastive import ContrastConfig, Views

Backend = Literal["dense", "sparse"]

DENSE = PatternSettings(window=None, use_log_stride=False, use_landmarks=False, global_tokens=())
"""Dense attention as a blob says it."""

BROKEN = PatternSettings(window=1, use_log_stride=False, use_landmarks=False, global_tokens=())
"""A kernel that no gate may let pass: a query sees its own frame and the one before."""


class GateError(TemporalError, ValueError):
    """The gates cannot be asked so; the message names the file or field, what was expected and what was found."""


@dataclasses.dataclass(frozen=True)
class NetworkSettings:
    """The network around the kernel. By default attention alone carries anything from one frame to the next: there is
    no convolution and no mean over frames, and the embedding is made after a window's last frame."""

    width: Annotated[int, Within(1, 4096)] = 48
    layers: Annotated[int, Within(1, 64)] = 1
    q_heads: Annotated[int, Within(1, 1024)] = 4
    kv_heads: Annotated[int, Within(1, 1024)] = 1
    head_dim: Annotated[int, Within(1, 1024)] = 32
    hidden: Annotated[int, Within(0, 65535)] = 0
    taps: Annotated[int, Within(0, 64)] = 0
    pool: Annotated[int, Within(1, LONGEST)] = 1
    embedding: Annotated[int, Within(1, 4096)] = 64

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.q_heads % self.kv_heads:
            raise InvalidConfigError.of("kv_heads", f"a divisor of q_heads ({self.q_heads})", self.kv_heads)


@dataclasses.dataclass(frozen=True)
class GateConfig:
    """All that is asked and how. pattern: the sparse kernel that would replace dense; distillation: how it gets its
    weights from the dense network.

    seed: the first of the seeds. window: frames of the windows that are trained on and matched. held_out: identities,
    drawn by the seed, that training does not meet and everything is asked about. captures: of the others, trained on.
    batch: identities in a batch, two views of each. held_out_batches: over which the held-out loss is a mean.
    neighbours: how many are put in order. deployed: frames of the window whose latency decides. lengths: other windows.
    rounds: turns of each candidate. InvalidConfigError names a field out of its range.
    """

    seed: Annotated[int, Within(0, 2**32 - 1)] = 0
    window: Annotated[int, Within(2, LONGEST)] = 100
    held_out: Annotated[int, Within(2, 10**6)] = 30
    captures: Literal["gallery", "all"] = "all"
    batch: Annotated[int, Within(2, LONGEST)] = 30
    held_out_batches: Annotated[int, Within(1, 10**6)] = 20
    neighbours: Annotated[int, Within(3, 10**6)] = 50
    deployed: Annotated[int, Within(1, LONGEST)] = 1000
    lengths: Annotated[tuple[int, ...], Within(1, LONGEST)] = (100, 256)
    rounds: Annotated[int, Within(9, 10**4)] = 31
    network: NetworkSettings = dataclasses.field(default_factory=NetworkSettings)
    pattern: PatternSettings = PYRAMID
    distillation: DistillConfig = dataclasses.field(default_factory=DistillConfig)
    contrast: ContrastConfig = dataclasses.field(
        default_factory=lambda: ContrastConfig(steps=600, learning_rate=2e-3, head_learning_rate=2e-3)
    )
    views: Views = dataclasses.field(default_factory=Views)

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.network.pool > self.window:
            expected = f"an integer from 1 to {self.window}, the window"
            raise InvalidConfigError.of("network.pool", expected, self.network.pool)
        self.head("sparse")  # the core's own checks of the pattern

    def shape(self, input_dim: int, pattern: PatternSettings) -> NetworkConfig:
        """The network over frames of `input_dim` features. Two classes, because a blob has a classifier; unused."""
        n = self.network
        return NetworkConfig(
            input_dim=input_dim,
            n_classes=2,
            width=n.width,
            n_layers=n.layers,
            n_q_heads=n.q_heads,
            n_kv_heads=n.kv_heads,
            head_dim=n.head_dim,
            pattern=pattern,
            agc="mean",
            hidden=n.hidden,
            taps=n.taps,
            pool_frames=n.pool,
            embedding_dim=n.embedding,
        )

    def head(self, backend: Backend) -> TemporalHeadConfig:
        """The kernel: "sparse" as `pattern` says, or the core's own dense backend. InvalidConfigError."""
        if backend == "sparse":
            return self.shape(1, self.pattern).head()
        n = self.network
        return TemporalHeadConfig(
            backend="dense", q_heads=n.q_heads, kv_heads=n.kv_heads, head_dim=n.head_dim, global_tokens=()
        )

    def training(self) -> dict[str, Any]:
        """What the trainings depend on; a run that is resumed must have the same of it."""
        asked = {"seed", "held_out_batches", "neighbours", "deployed", "lengths", "rounds"}
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in asked}
