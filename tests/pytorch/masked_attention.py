"""Attention as docs/spec/pattern.md states it: the independent reference's mask and a softmax, in any type. Autograd
differentiates it; it shares no code with the package."""

from __future__ import annotations

import math

import torch
from reference_pattern import seen_means, seen_tokens

from aether_temporal import TemporalHeadConfig


def mask(c: TemporalHeadConfig, tokens: int) -> torch.Tensor:
    """Bool [tokens, tokens + blocks]."""
    blocks = tokens // c.block_size if c.causal else -(-tokens // c.block_size)
    found = torch.zeros(tokens, tokens + blocks, dtype=torch.bool)
    for i in range(tokens):
        found[i, seen_tokens(c, tokens, i)] = True
        found[i, [tokens + mean.start // c.block_size for mean in seen_means(c, tokens, i)]] = True
    return found


def masked_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, c: TemporalHeadConfig) -> torch.Tensor:
    """q [N, T, q_heads, D], k and v [N, T, kv_heads, D] → [N, T, q_heads, D], in their type."""
    tokens = q.shape[1]
    seen = mask(c, tokens)
    blocks = seen.shape[1] - tokens

    def candidates(x: torch.Tensor) -> torch.Tensor:
        means = [x[:, b * c.block_size : (b + 1) * c.block_size].mean(1, keepdim=True) for b in range(blocks)]
        return torch.cat([x, *means], dim=1).repeat_interleave(c.q_heads // c.kv_heads, dim=2)

    scores = torch.einsum("nihd,njhd->nhij", q, candidates(k)) / math.sqrt(c.head_dim)
    weights = scores.masked_fill(~seen, -math.inf).softmax(-1)
    return torch.einsum("nhij,njhd->nihd", weights, candidates(v))
