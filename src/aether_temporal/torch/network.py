"""The model of docs/spec/model.md in torch: the same operations, so that what is trained is what runs.

Parameters are kept in the blob's own layout (matrices [in, out], kernels [taps, w]). An absent section is a parameter
that is None. Attention is the core's; the other sums are torch's, so values agree with the core's to rounding, not bit
for bit: the core's are the ones that count.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from aether_temporal.config import TemporalHeadConfig
from aether_temporal.errors import ShapeError
from aether_temporal.settings import PatternSettings, SubcarrierSettings, TimingSettings

from .attention_operator import attention

TINY = 2.0**-126


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Shape of a network; 0 or None switches the optional part off (see docs/spec/rvne.md for each).

    `projection` may be off only where `width == input_dim`. `zero_sum_stem`: each stem filter is trained as its taps
    less their mean, so that it passes nothing that stands still. `dropout` acts in training only.
    """

    input_dim: int
    n_classes: int
    width: int
    n_layers: int = 2
    n_q_heads: int = 4
    n_kv_heads: int = 1
    head_dim: int = 8
    pattern: PatternSettings = dataclasses.field(default_factory=PatternSettings)
    gain: Literal["none", "mean"] = "none"
    normalisation: bool = True
    projection: bool = True
    stem_taps: int = 0
    stem_activation: Literal["none", "relu"] = "none"
    zero_sum_stem: bool = False
    eps: float | None = 1e-5
    taps: int = 0
    bias: bool = True
    hidden: int = 0
    pool_frames: int = 1
    embedding_dim: int = 0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.n_q_heads % self.n_kv_heads:
            raise ValueError(f"n_kv_heads: expected a divisor of n_q_heads ({self.n_q_heads}), found {self.n_kv_heads}")
        if not self.projection and self.width != self.input_dim:
            raise ValueError(f"projection: expected one (width {self.width}, input_dim {self.input_dim}), found none")
        if self.hidden and self.eps is None:
            raise ValueError("eps: expected a norm, since there is a feed-forward part, found None")

    def head(self) -> TemporalHeadConfig:
        """The attention of a layer."""
        p = self.pattern
        return TemporalHeadConfig(
            q_heads=self.n_q_heads,
            kv_heads=self.n_kv_heads,
            head_dim=self.head_dim,
            window=2**64 - 1 if p.window is None else p.window,
            block_size=p.block_size,
            global_tokens=tuple(p.global_tokens),
            use_log_stride=p.use_log_stride,
            use_landmarks=p.use_landmarks,
            history=p.history,
        )


def rms_norm(x: torch.Tensor, gain: torch.Tensor, eps: float) -> torch.Tensor:
    """x divided by its root mean square along the last axis, times gain."""
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) * gain


def causal_filter(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """x [N, T, w] filtered along time, each channel by its own kernel [taps, w] (row 0 weighs the newest frame)."""
    if x.shape[1] == 0:  # which torch's convolution and pooling refuse
        return x
    taps, width = kernel.shape
    rows = F.pad(x.transpose(1, 2), (taps - 1, 0))
    return F.conv1d(rows, kernel.flip(0).t().unsqueeze(1), bias, groups=width).transpose(1, 2)


def trailing_mean(x: torch.Tensor, frames: int) -> torch.Tensor:
    """Mean of the last `frames` rows (fewer at the start) of x [N, T, w], for each row."""
    if x.shape[1] == 0:
        return x
    sums = F.avg_pool1d(F.pad(x.transpose(1, 2), (frames - 1, 0)), frames, 1).transpose(1, 2) * frames
    count = torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device).clamp(max=frames)
    return sums / count[:, None]


def _matrix(rows: int, columns: int, scale: float = 1.0) -> nn.Parameter:
    return nn.Parameter((torch.rand(rows, columns) * 2 - 1) * scale / math.sqrt(rows))


def _vector(size: int, value: float = 0.0) -> nn.Parameter:
    return nn.Parameter(torch.full((size,), value))


class Layer(nn.Module):
    """One layer: norm, convolution, attention, residual; norm, feed-forward, residual."""

    def __init__(self, c: NetworkConfig) -> None:
        super().__init__()
        self.config = c
        self.head = c.head()
        q, kv, w = c.n_q_heads * c.head_dim, c.n_kv_heads * c.head_dim, c.width
        self.Wq, self.Wk, self.Wv, self.Wo = _matrix(w, q), _matrix(w, kv), _matrix(w, kv), _matrix(q, w, 0.2)
        self.bq = _vector(q) if c.bias else None
        self.bk = _vector(kv) if c.bias else None
        self.bv = _vector(kv) if c.bias else None
        self.bo = _vector(w) if c.bias else None
        self.gain = _vector(w, 1.0) if c.eps is not None else None
        self.kernel = self.kernel_bias = None
        if c.taps:
            start = 0.1 * torch.randn(c.taps, w)
            start[0] += 1.0
            self.kernel, self.kernel_bias = nn.Parameter(start), _vector(w)
        self.ffn_gain = self.W1 = self.b1 = self.W2 = self.b2 = None
        if c.hidden:
            self.ffn_gain = _vector(w, 1.0)
            self.W1, self.b1 = _matrix(w, c.hidden), _vector(c.hidden)
            self.W2, self.b2 = _matrix(c.hidden, w, 0.2), _vector(w)

    def _heads(self, h: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor | None, heads: int) -> torch.Tensor:
        return F.linear(h, matrix.t(), bias).view(h.shape[0], h.shape[1], heads, self.config.head_dim)

    def _attention(self, h: torch.Tensor) -> torch.Tensor:
        c = self.config
        query = self._heads(h, self.Wq, self.bq, c.n_q_heads)
        key = self._heads(h, self.Wk, self.bk, c.n_kv_heads)
        value = self._heads(h, self.Wv, self.bv, c.n_kv_heads)
        return F.linear(attention(query, key, value, self.head).flatten(2), self.Wo.t(), self.bo)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        c = self.config
        h = x
        if self.gain is not None and c.eps is not None:
            h = rms_norm(h, self.gain, c.eps)
        if self.kernel is not None and self.kernel_bias is not None:
            h = causal_filter(h, self.kernel, self.kernel_bias)
        x = x + F.dropout(self._attention(h), c.dropout, self.training)
        if self.ffn_gain is not None and self.W1 is not None and self.W2 is not None and c.eps is not None:
            u = F.relu(F.linear(rms_norm(x, self.ffn_gain, c.eps), self.W1.t(), self.b1))
            o = F.linear(F.dropout(u, c.dropout, self.training), self.W2.t(), self.b2)
            x = x + F.dropout(o, c.dropout, self.training)
        return x


class TemporalClassifier(nn.Module):
    """The whole model of a blob: frames float32 [N, T, input_dim] or [T, input_dim] to logits [..., T, n_classes], the
    answer after each frame; and to embeddings, where the configuration has them. `description` goes into the blob."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, config: NetworkConfig, description: Description | None = None) -> None:
        super().__init__()
        c = self.config = config
        self.description = Description() if description is None else description
        self.register_buffer("mean", torch.zeros(c.input_dim))  # measured, not learned: set_normalisation
        self.register_buffer("scale", torch.ones(c.input_dim))
        self.project = _matrix(c.input_dim, c.width) if c.projection else None
        self.project_bias = _vector(c.width) if c.projection else None
        self.stem_kernel = self.stem_bias = None
        if c.stem_taps:
            start = torch.randn(c.stem_taps, c.width) / math.sqrt(c.stem_taps)
            self.stem_kernel, self.stem_bias = nn.Parameter(start), _vector(c.width)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.n_layers))
        self.gain = _vector(c.width, 1.0) if c.eps is not None else None
        self.classifier = _matrix(c.width, c.n_classes)
        self.classifier_bias = _vector(c.n_classes) if c.bias else None
        self.embed = _matrix(c.width, c.embedding_dim) if c.embedding_dim else None
        self.embed_bias = _vector(c.embedding_dim) if c.embedding_dim else None

    def without_gain(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames divided by their own means where the configuration says so (step 1)."""
        if self.config.gain == "none":
            return frames
        mean = frames.mean(-1, keepdim=True)
        usable = mean >= TINY
        return torch.where(usable, frames * (1.0 / torch.where(usable, mean, torch.ones_like(mean))), frames)

    def set_normalisation(self, frames: torch.Tensor) -> None:
        """Takes mean (each feature) and scale (one for all) from frames [.., input_dim] of the training set."""
        x = self.without_gain(frames).reshape(-1, self.config.input_dim)
        self.mean.copy_(x.mean(0))
        self.scale.copy_((1.0 / (x - x.mean(0)).std()).expand(self.config.input_dim))

    def stem_filter(self) -> torch.Tensor | None:
        """The stem's kernel as it acts, [taps, w]."""
        if self.stem_kernel is None or not self.config.zero_sum_stem:
            return self.stem_kernel
        return self.stem_kernel - self.stem_kernel.mean(0)

    def hidden(self, frames: torch.Tensor) -> torch.Tensor:
        """What classifier and embedding see after each frame, [..., T, width]."""
        c = self.config
        if frames.dim() not in (2, 3) or frames.shape[-1] != c.input_dim:
            raise ShapeError.of("frames", f"shape (N, T, {c.input_dim}) or (T, {c.input_dim})", tuple(frames.shape))
        if frames.dim() == 2:
            return self.hidden(frames.unsqueeze(0)).squeeze(0)
        x = self.without_gain(frames)
        if c.normalisation:
            x = (x - self.mean) * self.scale
        if self.project is not None:
            x = F.linear(x, self.project.t(), self.project_bias)
        kernel = self.stem_filter()
        if kernel is not None and self.stem_bias is not None:
            x = causal_filter(x, kernel, self.stem_bias)
            if c.stem_activation == "relu":
                x = F.relu(x)
        x = F.dropout(x, c.dropout, self.training)
        for layer in self.layers:
            x = layer(x)
        if self.gain is not None and c.eps is not None:
            x = rms_norm(x, self.gain, c.eps)
        return trailing_mean(x, c.pool_frames) if c.pool_frames > 1 else x

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return F.linear(self.hidden(frames), self.classifier.t(), self.classifier_bias)

    def embeddings(self, frames: torch.Tensor) -> torch.Tensor:
        """L2-normalised embeddings [..., T, embedding_dim] of a network that has them."""
        if self.embed is None:
            raise ValueError("embedding_dim: expected at least 1, found 0")
        e = F.linear(self.hidden(frames), self.embed.t(), self.embed_bias)
        square = (e * e).sum(-1, keepdim=True)
        return torch.where(square > 0, e * torch.rsqrt(torch.where(square > 0, square, torch.ones_like(square))), e)


__all__ = ["Description"]


@dataclasses.dataclass(frozen=True, eq=False)
class Description:
    """Sections of a blob that no parameter stands behind (docs/spec/rvne.md); None leaves one out.

    neutral: sections that are written although they say no more than their absence would: of "pattern", "agc" and
    "pooling", and "extension" for one that is empty. A blob that was loaded is written again as it was.
    """

    class_names: Sequence[str] | None = None
    frame_rate: float | None = None
    provenance: str | None = None
    subcarriers: SubcarrierSettings | None = None
    timing: TimingSettings | None = None
    neutral: frozenset[str] = frozenset({"pattern", "agc", "extension"})
