"""Which tokens and block means a query sees, as a boolean mask (docs/spec/pattern.md): to look at, and to compare with.

One row a query, one column a candidate: first the `T` tokens, then the block means (landmarks). The operators need no
such mask; memory here grows with the square of T.
"""

from __future__ import annotations

import torch

from aether_temporal.config import TemporalHeadConfig

__all__ = ["visible"]


def _power_of_two(distance: torch.Tensor) -> torch.Tensor:
    return (distance > 0) & ((distance & (distance - 1)) == 0)


def visible(config: TemporalHeadConfig, tokens: int) -> torch.Tensor:
    """Bool [tokens, tokens + blocks]: whether the query (row) sees the token, then whether the block mean.

    blocks: those that are complete, tokens // block_size; when not causal also the short last one.
    """
    query = torch.arange(tokens)[:, None]
    token = torch.arange(tokens)[None, :]
    back = query - token
    sparse = config.backend == "sparse_gqa"
    window = min(config.window, tokens) if sparse else tokens
    history = tokens if config.history is None else min(config.history, tokens)
    stride = _power_of_two(back if config.causal else back.abs()) & (config.use_log_stride and sparse)
    seen = ((back.abs() <= window) | stride) & (back < history)
    for index in config.global_tokens:
        if index < tokens:
            seen[:, index] = True
    if config.causal:
        seen &= back >= 0
    return torch.cat([seen, _blocks(config, tokens, query, history)], dim=1)


def _blocks(config: TemporalHeadConfig, tokens: int, query: torch.Tensor, history: int) -> torch.Tensor:
    size = min(config.block_size, tokens + 1)
    count = tokens // size if config.causal else -(-tokens // size)
    block = torch.arange(count)[None, :]
    if config.causal:
        behind = (query + 1) // size - 1 - block  # blocks behind the newest complete one
        near = (behind == 0) | (behind == 1)
        stride = _power_of_two(behind)
    else:
        behind = query // size - block
        near = behind.abs() == 1
        stride = _power_of_two(behind.abs())
    inside = block * size >= query - (history - 1)
    on = config.use_landmarks and config.backend == "sparse_gqa"
    return (near | (stride & config.use_log_stride)) & inside & on
