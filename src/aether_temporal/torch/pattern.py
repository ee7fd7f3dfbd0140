"""Which tokens and block means a query sees, as a boolean mask (docs/spec/pattern.md, causal).

The mask has one row a query and one column a candidate: first the `T` tokens, then the block means (landmarks). Made
from distances alone, so that autograd needs nothing but a masked softmax.
"""

from __future__ import annotations

import torch

from aether_temporal.settings import PatternSettings


def _power_of_two(distance: torch.Tensor) -> torch.Tensor:
    return (distance > 0) & ((distance & (distance - 1)) == 0)


def visible(pattern: PatternSettings, length: int) -> torch.Tensor:
    """Bool [length, length + length // block_size]: whether the query (row) sees the token, then whether the block
    mean."""
    query = torch.arange(length)[:, None]
    token = torch.arange(length)[None, :]
    distance = query - token
    window = length if pattern.window is None else min(pattern.window, length)
    history = length if pattern.history is None else min(pattern.history, length)
    stride = _power_of_two(distance) & pattern.use_log_stride
    tokens = ((distance <= window) | stride) & (distance < history)
    for index in pattern.global_tokens:
        if index < length:
            tokens[:, index] = True
    tokens &= distance >= 0

    block = torch.arange(length // pattern.block_size)[None, :]
    behind = (query + 1) // pattern.block_size - 1 - block  # blocks behind the newest complete one
    near = (behind == 0) | (behind == 1)
    stride = _power_of_two(behind) & pattern.use_log_stride
    inside = block * pattern.block_size >= query - (history - 1)
    blocks = (near | stride) & inside & pattern.use_landmarks
    return torch.cat([tokens, blocks], dim=1)
