"""How fast a training step of attention is: forward and backward, beside torch's own, candidates taking turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from aether_temporal.config import TemporalHeadConfig
from aether_temporal.host.benchmark import Group, described, measure, pyramid

from .attention_operator import attention

__all__ = ["SHAPES", "bench_training"]

SHAPES = ((16, 128), (4, 2048))
"""Sequences and tokens."""

Call = Callable[[], object]


def _step(function: Callable[..., torch.Tensor], inputs: Sequence[torch.Tensor], d_out: torch.Tensor) -> Call:
    def call() -> object:
        leaves = [x.detach().requires_grad_() for x in inputs]
        return torch.autograd.grad(function(*leaves), leaves, d_out)

    return call


def _candidates(config: TemporalHeadConfig, batch: int, tokens: int) -> dict[str, Call]:
    generator = torch.Generator().manual_seed(tokens)
    heads = (config.q_heads, config.kv_heads, config.kv_heads, config.q_heads)
    rows = [torch.randn(batch, tokens, n, config.head_dim, generator=generator) for n in heads]
    columns = [x.transpose(1, 2).contiguous() for x in rows]  # as torch wants them: heads before tokens
    dense = config.replace(backend="dense")
    group = config.q_heads // config.kv_heads
    mask = torch.ones(tokens, tokens, dtype=torch.bool).tril()

    def expanded(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **how: Any) -> torch.Tensor:
        k, v = (x.repeat_interleave(group, dim=1) for x in (k, v))
        return F.scaled_dot_product_attention(q, k, v, **how)

    def grouped(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=group > 1)

    return {
        "pyramid": _step(lambda q, k, v: attention(q, k, v, pyramid(config)), rows[:3], rows[3]),
        "reference": _step(lambda q, k, v: attention(q, k, v, config), rows[:3], rows[3]),
        "dense": _step(lambda q, k, v: attention(q, k, v, dense), rows[:3], rows[3]),
        "torch scaled_dot_product_attention": _step(grouped, columns[:3], columns[3]),
        "torch, keys and values repeated": _step(
            lambda q, k, v: expanded(q, k, v, is_causal=True), columns[:3], columns[3]
        ),
        "torch, an explicit mask": _step(lambda q, k, v: expanded(q, k, v, attn_mask=mask), columns[:3], columns[3]),
    }


def bench_training(
    *,
    config: TemporalHeadConfig | None = None,
    shapes: Sequence[tuple[int, int]] = SHAPES,
    threads: Sequence[int] = (1, 2),
    rounds: int = 15,
) -> dict[str, Any]:
    """Measures a causal head (None: the reference head) and says on what, as JSON takes it. The number of threads is
    torch's own afterwards."""
    config = config or TemporalHeadConfig.default_aether()
    before = torch.get_num_threads()
    groups = []
    try:
        for batch, tokens in shapes:
            candidates = _candidates(config, batch, tokens)
            for count in threads:
                torch.set_num_threads(count)
                name = f"training step, {batch} sequences of {tokens} tokens, {count} thread{'s' * (count > 1)}"
                groups.append(Group(name, measure(candidates, rounds)))
    finally:
        torch.set_num_threads(before)
    return described(config, groups, rounds, torch)
