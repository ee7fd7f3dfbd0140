"""What each number of a configuration may be: what is beyond would only fail later, after hours, or mean nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import reduce
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import GateConfig

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
    "contrast.rise": (0, 10**9),
    "contrast.weight_decay": (0, 1e3),
    "contrast.averaging": (0, 1),
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
