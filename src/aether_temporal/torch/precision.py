"""What binary16 costs a network."""

from __future__ import annotations

from typing import Any

import torch

from aether_temporal import halving

from .exchange import to_blob
from .network import TemporalClassifier

__all__ = ["half_cost"]


def half_cost(network: TemporalClassifier, frames: Any) -> halving.HalfReport:
    """What `export(..., dtype="float16")` would cost, matrix by matrix, over frames (T, input_dim), a tensor or array.
    The errors of `aether_temporal.halving.half_cost` and of `to_blob`."""
    rows = frames.detach() if isinstance(frames, torch.Tensor) else frames
    return halving.half_cost(to_blob(network), rows)
