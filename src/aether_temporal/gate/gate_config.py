"""What a gate run trains and asks: everything that decides the result, beside the recordings and the seeds."""

from __future__ import annotations

import dataclasses
import math
import os
import tomllib
import types
import typing
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any, Literal, TypeVar

from aether_temporal.config import TemporalHeadConfig
from aether_temporal.errors import TemporalError
from aether_temporal.settings import PatternSettings
from aether_temporal.torch import NetworkConfig
from aether_temporal.train.contrastive import ContrastConfig, Views

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

    width: int = 48
    layers: int = 1
    q_heads: int = 4
    kv_heads: int = 1
    head_dim: int = 32
    hidden: int = 0
    taps: int = 0
    pool: int = 1
    embedding: int = 64


@dataclasses.dataclass(frozen=True)
class GateConfig:
    """All that is asked and how; `pattern` is the sparse kernel that would replace dense.

    window: frames of the windows that are trained on and matched. held_out: identities, drawn by the seed, that
    training does not meet and everything is asked about. captures: of the others, trained on. batch: identities in a
    batch, two views of each. held_out_batches: over which the held-out loss is a mean. neighbours: how many are put in
    order. deployed: frames of the window whose latency decides. lengths: those measured beside. rounds: turns of each
    candidate. GateError names a field out of range, InvalidConfigError one of the pattern.
    """

    window: int = 100
    held_out: int = 30
    captures: Literal["gallery", "all"] = "all"
    batch: int = 30
    held_out_batches: int = 20
    neighbours: int = 50
    deployed: int = 1000
    lengths: tuple[int, ...] = (100, 256)
    rounds: int = 31
    network: NetworkSettings = dataclasses.field(default_factory=NetworkSettings)
    pattern: PatternSettings = dataclasses.field(default_factory=PatternSettings)
    contrast: ContrastConfig = dataclasses.field(
        default_factory=lambda: ContrastConfig(steps=600, learning_rate=2e-3, head_learning_rate=2e-3)
    )
    views: Views = dataclasses.field(default_factory=Views)

    def __post_init__(self) -> None:
        fault = next(faults(self), None)
        if fault is not None:
            raise GateError(fault)
        if self.network.q_heads % self.network.kv_heads:
            raise GateError(
                f"network.kv_heads: expected a divisor of q_heads ({self.network.q_heads}), found "
                f"{self.network.kv_heads}"
            )
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
            gain="mean",
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
        asked = {"held_out_batches", "neighbours", "deployed", "lengths", "rounds"}
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in asked}


LONGEST = 1 << 16
"""Frames of the longest window. One dense call over so many takes seconds."""

_LIMITS: dict[str, tuple[float, float]] = {
    "window": (2, LONGEST),
    "held_out": (2, 10**6),
    "batch": (2, LONGEST),
    "held_out_batches": (1, 10**6),
    "neighbours": (3, 10**6),
    "deployed": (1, LONGEST),
    "lengths": (1, LONGEST),
    "rounds": (9, 10**4),
    "network.width": (1, 4096),
    "network.layers": (1, 64),
    "network.q_heads": (1, 1024),
    "network.kv_heads": (1, 1024),
    "network.head_dim": (1, 1024),
    "network.hidden": (0, 65535),
    "network.taps": (0, 64),
    "network.embedding": (1, 4096),
    "contrast.steps": (1, 10**9),
    "contrast.temperature": (1e-3, 1e3),
    "contrast.variance": (0, 1e6),
    "contrast.covariance": (0, 1e6),
    "contrast.projection": (2, LONGEST),
    "contrast.learning_rate": (0, 1e3),
    "contrast.head_learning_rate": (0, 1e3),
    "contrast.warm_up_steps": (0, 10**9),
    "contrast.weight_decay": (0, 1e3),
    "contrast.ema_rate": (0, 1),
    "contrast.clip": (1e-6, 1e6),
    "views.share": (0, 1),
    "views.changes": (0, 5),
    "views.jitter": (0, LONGEST),
    "views.masked": (0, 1),
    "views.noise": (0, 10),
    "views.scale": (1e-3, 1e3),
    "views.dropped": (0, 1),
}

_RISING = ("views.changes", "views.masked", "views.noise", "views.scale")


def faults(config: GateConfig) -> Iterator[str]:
    """What is out of its range: the field, what was expected, what was found. NaN is in no range."""
    limits = {**_LIMITS, "network.pool": (1, config.window)}
    for field, (low, high) in limits.items():
        value: Any = reduce(getattr, field.split("."), config)
        for one in value if isinstance(value, tuple) else (value,):
            if not low <= one <= high:
                yield f"{field}: expected {low} to {high}, found {one}"
        if field in _RISING and not (math.isnan(value[0]) or value[0] <= value[1]):
            yield f"{field}: expected the smaller first, found {list(value)}"


T = TypeVar("T")


def load_config(path: str | os.PathLike[str]) -> GateConfig:
    """The defaults, with what the file says in their place. "all" stands for no limit (pattern.window,
    pattern.history). GateError names the file and the field; OSError."""
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GateError(f"{os.fspath(path)}: expected TOML, found something else: {error}") from None
    try:
        return _filled(GateConfig(), table, "")
    except TemporalError as error:
        raise GateError(f"{os.fspath(path)}: {error}") from None


def _filled(start: T, table: dict[str, Any], prefix: str) -> T:
    """A copy of a dataclass with fields of `table`."""
    assert dataclasses.is_dataclass(start)
    hints = typing.get_type_hints(type(start))
    changes: dict[str, Any] = {}
    for name, value in table.items():
        if name not in hints:
            raise GateError(f"{prefix}{name}: expected one of {', '.join(hints)}; found no such field")
        now = getattr(start, name)
        if dataclasses.is_dataclass(now):
            if not isinstance(value, dict):
                raise GateError(f"{prefix}{name}: expected a table, found {value!r}")
            changes[name] = _filled(now, value, f"{prefix}{name}.")
        else:
            changes[name] = _value(hints[name], value, prefix + name)
    return dataclasses.replace(start, **changes)  # type: ignore[type-var, return-value, unused-ignore]


def _value(hint: Any, value: Any, field: str) -> Any:
    """`value` as the type asks for it."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union) and types.NoneType in options:
        if value == "all":
            return None
        (hint,) = (option for option in options if option is not types.NoneType)
        return _value(hint, value, field)
    if origin is typing.Literal and value in options:
        return value
    if origin is tuple and isinstance(value, list):
        many = len(options) == 2 and options[1] is Ellipsis
        if many or len(value) == len(options):
            return tuple(_value(options[0] if many else options[i], one, field) for i, one in enumerate(value))
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (int, bool, str) and type(value) is hint:
        return value
    wanted = " or ".join(map(repr, options)) if origin is typing.Literal else str(getattr(hint, "__name__", hint))
    if origin is tuple:
        wanted = f"a list of {len(options)} numbers" if Ellipsis not in options else "a list of numbers"
    raise GateError(f"{field}: expected {wanted}, found {value!r}")
