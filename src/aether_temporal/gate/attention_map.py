"""How much a query looks at each token and block mean: the weights that the core computes and does not keep."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from aether_temporal.torch import TemporalClassifier, visible
from aether_temporal.torch.network import Layer, causal_filter, rms_norm


def attention_map(network: TemporalClassifier, window: torch.Tensor) -> torch.Tensor:
    """Weights [T, T + blocks] of the first layer on a window [T, F], the mean over query heads: a row a query, a column
    a token, then a block mean."""
    return attention_weights(network, window)[0].mean(0)


def effective_entries(network: TemporalClassifier, windows: NDArray[np.float32]) -> float:
    """Over how many entries the last query of a window spreads its weight in the first layer: exp of the entropy, the
    mean over heads and windows [n, T, F]. Of equal weights it is their number."""
    found = []
    for window in windows:
        last = attention_weights(network, torch.from_numpy(window))[0][:, -1]
        found.append(torch.exp(torch.special.entr(last).sum(-1)).mean().item())
    return float(np.mean(found))


def attention_weights(network: TemporalClassifier, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each query head [q_heads, T, T + blocks], and what the layer's attention gives by them [T, q_heads,
    head_dim]."""
    layer = network.layers[0]
    assert isinstance(layer, Layer)
    c, seen = layer.config, []
    with torch.no_grad():
        hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            network.hidden(window)
        finally:
            hook.remove()
        h = seen[0]
        if layer.gain is not None and c.eps is not None:
            h = rms_norm(h, layer.gain, c.eps)
        if layer.kernel is not None and layer.kernel_bias is not None:
            h = causal_filter(h, layer.kernel, layer.kernel_bias)
        q, k, v = (
            F.linear(h[0], matrix.t(), bias).view(len(window), -1, c.head_dim)
            for matrix, bias in ((layer.Wq, layer.bq), (layer.Wk, layer.bk), (layer.Wv, layer.bv))
        )
        mask = visible(layer.head, len(window))
        blocks = mask.shape[1] - len(window)
        keys, values = (torch.cat([x, _block_means(x, layer.head.block_size, blocks)]) for x in (k, v))
        group = c.n_q_heads // c.n_kv_heads
        keys, values = keys.repeat_interleave(group, dim=1), values.repeat_interleave(group, dim=1)
        scores = torch.einsum("thd,shd->hts", q, keys) / math.sqrt(c.head_dim)
        weights = torch.softmax(scores.masked_fill(~mask, -math.inf), dim=-1)
        return weights, torch.einsum("hts,shd->thd", weights, values)


def _block_means(x: torch.Tensor, size: int, blocks: int) -> torch.Tensor:
    return torch.stack([x[b * size : (b + 1) * size].mean(0) for b in range(blocks)]) if blocks else x[:0]
