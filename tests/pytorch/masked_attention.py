"""Attention as docs/spec/pattern.md states it: the independent reference's mask and a softmax, in any type. Autograd
differentiates it; it shares no code with the package."""

from __future__ import annotations

import math

import torch
from reference_pattern import seen_means, seen_tokens

from aether_temporal import TemporalHeadConfig


def spans(c: TemporalHeadConfig, tokens: int) -> list[range]:
    """The tokens of every mean that some query sees."""
    found = {(mean.start, mean.stop) for i in range(tokens) for mean in seen_means(c, tokens, i)}
    return [range(*span) for span in sorted(found)]


def mask(c: TemporalHeadConfig, tokens: int) -> torch.Tensor:
    """Bool [tokens, tokens + means], the means of `spans`."""
    columns = {span: tokens + index for index, span in enumerate(spans(c, tokens))}
    found = torch.zeros(tokens, tokens + len(columns), dtype=torch.bool)
    for i in range(tokens):
        found[i, seen_tokens(c, tokens, i)] = True
        found[i, [columns[mean] for mean in seen_means(c, tokens, i)]] = True
    return found


def masked_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, c: TemporalHeadConfig) -> torch.Tensor:
    """q [N, T, q_heads, D], k and v [N, T, kv_heads, D] → [N, T, q_heads, D], in their type."""
    tokens = q.shape[1]
    seen, means = mask(c, tokens), spans(c, tokens)
    sizes = [1] * tokens + [len(mean) if c.pattern == "pyramid" else 1 for mean in means]

    def candidates(x: torch.Tensor) -> torch.Tensor:
        rows = [x[:, mean.start : mean.stop].mean(1, keepdim=True) for mean in means]
        return torch.cat([x, *rows], dim=1).repeat_interleave(c.q_heads // c.kv_heads, dim=2)

    scores = torch.einsum("nihd,njhd->nhij", q, candidates(k)) / math.sqrt(c.head_dim)
    weighed = scores + torch.tensor(sizes, dtype=q.dtype).log()
    weights = weighed.masked_fill(~seen, -math.inf).softmax(-1)
    return torch.einsum("nhij,njhd->nihd", weights, candidates(v))
