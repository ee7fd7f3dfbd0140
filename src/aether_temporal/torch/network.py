"""The model of docs/spec/model.md in torch: the same operations, so that what is trained is what runs.

Parameters are kept in the blob's own layout (matrices [in, out], kernels [taps, w]). An absent section is a parameter
that is None. Attention is the core's; the other sums are torch's, so values agree with the core's to rounding, not bit
for bit: the core's are the ones that count.
"""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from aether_temporal.config import TemporalHeadConfig
from aether_temporal.errors import InvalidConfigError, ShapeError
from aether_temporal.settings import PatternSettings, SubcarrierNumberSettings, SubcarrierSettings, TimingSettings

from .attention_operator import attention, widened

TINY = 2.0**-126


@dataclasses.dataclass(frozen=True, eq=False)
class Description:
    """Sections of a blob that no parameter of the network holds (docs/spec/rvne.md); None leaves one out.

    neutral: sections that are written although they say no more than their absence would: of "pattern", "agc" and
    "pooling", and "extension" for one that is empty. A blob that was loaded is written again as it was.
    others: every other section by its name in ModelSettings. The network does not use them; they are written again.
    """

    class_names: Sequence[str] | None = None
    frame_rate: float | None = None
    provenance: str | None = None
    subcarriers: SubcarrierSettings | None = None
    timing: TimingSettings | None = None
    subcarrier_numbers: SubcarrierNumberSettings | None = None
    neutral: frozenset[str] = frozenset({"pattern", "agc", "extension"})
    others: Mapping[str, Any] = dataclasses.field(default_factory=dict)


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
    agc: Literal["none", "mean"] = "none"
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
            expected = f"a divisor of n_q_heads ({self.n_q_heads})"
            raise InvalidConfigError.of("n_kv_heads", expected, self.n_kv_heads)
        if not self.projection and self.width != self.input_dim:
            expected = f"true where width ({self.width}) is not input_dim ({self.input_dim})"
            raise InvalidConfigError.of("projection", expected, self.projection)
        if self.hidden and self.eps is None:
            raise InvalidConfigError.of("eps", "a number, since there is a feed-forward part", None)

    def head(self) -> TemporalHeadConfig:
        """The attention of a layer."""
        return self.pattern.head(self.n_q_heads, self.n_kv_heads, self.head_dim)


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """x divided by its root mean square along the last axis, times weight."""
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def causal_filter(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """x [N, T, w] filtered along time, each channel by its own kernel [taps, w] (row 0 weighs the newest frame)."""
    if x.shape[1] == 0:  # which torch's convolution and pooling reject
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


def _section(**arrays: nn.Parameter | None) -> nn.ParameterDict:
    """The arrays of one section, in this order, by the names of docs/spec/model.md; None leaves one out."""
    return nn.ParameterDict(OrderedDict((name, array) for name, array in arrays.items() if array is not None))


class Normalisation(nn.Module):
    """Mean and scale of each feature [input_dim]: measured, not learned (`set_normalisation`)."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, input_dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(input_dim))
        self.register_buffer("scale", torch.ones(input_dim))


class Layer(nn.Module):
    """One layer: norm, convolution, attention, residual; norm, feed-forward, residual. An absent section is None."""

    def __init__(self, c: NetworkConfig) -> None:
        super().__init__()
        self.config = c
        self.head = c.head()
        q, kv, w = c.n_q_heads * c.head_dim, c.n_kv_heads * c.head_dim, c.width
        matrices = {"wq": _matrix(w, q), "wk": _matrix(w, kv), "wv": _matrix(w, kv), "wo": _matrix(q, w, 0.2)}
        biases = {"bq": _vector(q), "bk": _vector(kv), "bv": _vector(kv), "bo": _vector(w)} if c.bias else {}
        self.attention = _section(**matrices, **biases)
        self.norm = _section(weight=_vector(w, 1.0)) if c.eps is not None else None
        self.convolution = self.feed_forward = None
        if c.taps:
            start = 0.1 * torch.randn(c.taps, w)
            start[0] += 1.0
            self.convolution = _section(weight=nn.Parameter(start), bias=_vector(w))
        if c.hidden:
            norm, w1, w2 = _vector(w, 1.0), _matrix(w, c.hidden), _matrix(c.hidden, w, 0.2)
            self.feed_forward = _section(norm=norm, w1=w1, b1=_vector(c.hidden), w2=w2, b2=_vector(w))

    def queries_keys_values(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the attention of this layer gets from its input x [N, T, w]: q, k, v [N, T, heads, head_dim]."""
        c, arrays = self.config, self.attention
        if self.norm is not None and c.eps is not None:
            x = rms_norm(x, self.norm["weight"], c.eps)
        if self.convolution is not None:
            x = causal_filter(x, self.convolution["weight"], self.convolution["bias"])

        def heads(name: str, count: int) -> torch.Tensor:
            made = widened(F.linear(x, arrays[f"w{name}"].t(), arrays.get(f"b{name}")))
            return made.view(x.shape[0], x.shape[1], count, c.head_dim)

        return heads("q", c.n_q_heads), heads("k", c.n_kv_heads), heads("v", c.n_kv_heads)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        c, arrays = self.config, self.attention
        attended = attention(*self.queries_keys_values(x), self.head).flatten(2).to(x.dtype)
        x = x + F.dropout(F.linear(attended, arrays["wo"].t(), arrays.get("bo")), c.dropout, self.training)
        f = self.feed_forward
        if f is not None and c.eps is not None:
            u = F.relu(F.linear(rms_norm(x, f["norm"], c.eps), f["w1"].t(), f["b1"]))
            o = F.linear(F.dropout(u, c.dropout, self.training), f["w2"].t(), f["b2"])
            x = x + F.dropout(o, c.dropout, self.training)
        return x


class TemporalClassifier(nn.Module):
    """The whole model of a blob: frames float32 [N, T, input_dim] or [T, input_dim] to logits [..., T, n_classes] after
    each frame, and to embeddings where the configuration has them. `description` goes into the blob.

    Keys of the state_dict are the array names of docs/spec/model.md. An absent section is None. Under autocast the
    kernel gets float32.
    """

    def __init__(self, config: NetworkConfig, description: Description | None = None) -> None:
        super().__init__()
        c = self.config = config
        self.description = Description() if description is None else description
        self.normalisation = Normalisation(c.input_dim)
        self.projection = self.stem = self.norm = self.embedding = None
        if c.projection:
            self.projection = _section(weight=_matrix(c.input_dim, c.width), bias=_vector(c.width))
        if c.stem_taps:
            start = torch.randn(c.stem_taps, c.width) / math.sqrt(c.stem_taps)
            self.stem = _section(weight=nn.Parameter(start), bias=_vector(c.width))
        layers = nn.ModuleList(Layer(c) for _ in range(c.n_layers))  # drawn before the classifier, registered after it
        if c.eps is not None:
            self.norm = _section(final=_vector(c.width, 1.0))
        bias = _vector(c.n_classes) if c.bias else None
        self.classifier = _section(weight=_matrix(c.width, c.n_classes), bias=bias)
        if c.embedding_dim:
            self.embedding = _section(weight=_matrix(c.width, c.embedding_dim), bias=_vector(c.embedding_dim))
        self.layers = layers

    def remove_agc(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames divided by their own means where the configuration says so (step 1)."""
        if self.config.agc == "none":
            return frames
        mean = frames.mean(-1, keepdim=True)
        usable = mean >= TINY
        return torch.where(usable, frames * (1.0 / torch.where(usable, mean, torch.ones_like(mean))), frames)

    def set_normalisation(self, frames: torch.Tensor) -> None:
        """Takes mean (each feature) and scale (one for all) from frames [.., input_dim] of the training set."""
        x = self.remove_agc(frames).reshape(-1, self.config.input_dim)
        self.normalisation.mean.copy_(x.mean(0))
        self.normalisation.scale.copy_((1.0 / (x - x.mean(0)).std()).expand(self.config.input_dim))

    def stem_filter(self) -> torch.Tensor | None:
        """The stem's kernel as it acts, [taps, w]."""
        if self.stem is None:
            return None
        weight: torch.Tensor = self.stem["weight"]
        return weight - weight.mean(0) if self.config.zero_sum_stem else weight

    def hidden(self, frames: torch.Tensor) -> torch.Tensor:
        """What classifier and embedding see after each frame, [..., T, width]. ShapeError."""
        c = self.config
        if frames.dim() not in (2, 3) or frames.shape[-1] != c.input_dim:
            raise ShapeError.of("frames", f"shape (N, T, {c.input_dim}) or (T, {c.input_dim})", tuple(frames.shape))
        if frames.dim() == 2:
            return self.hidden(frames.unsqueeze(0)).squeeze(0)
        x = self.remove_agc(frames)
        if c.normalisation:
            x = (x - self.normalisation.mean) * self.normalisation.scale
        if self.projection is not None:
            x = F.linear(x, self.projection["weight"].t(), self.projection["bias"])
        kernel = self.stem_filter()
        if kernel is not None and self.stem is not None:
            x = causal_filter(x, kernel, self.stem["bias"])
            if c.stem_activation == "relu":
                x = F.relu(x)
        x = F.dropout(x, c.dropout, self.training)
        for layer in self.layers:
            x = layer(x)
        if self.norm is not None and c.eps is not None:
            x = rms_norm(x, self.norm["final"], c.eps)
        return trailing_mean(x, c.pool_frames) if c.pool_frames > 1 else x

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.classify(self.hidden(frames))

    def classify(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits [..., n_classes] of hidden states [..., width]."""
        return F.linear(hidden, self.classifier["weight"].t(), self.classifier.get("bias"))

    def embed(self, hidden: torch.Tensor) -> torch.Tensor:
        """Embeddings [..., embedding_dim] of hidden states [..., width], not yet normalised. InvalidConfigError for a
        network without."""
        if self.embedding is None:
            raise InvalidConfigError.of("embedding_dim", "at least 1", 0)
        return F.linear(hidden, self.embedding["weight"].t(), self.embedding["bias"])

    def embeddings(self, frames: torch.Tensor) -> torch.Tensor:
        """L2-normalised embeddings [..., T, embedding_dim] of a network that has them."""
        e = self.embed(self.hidden(frames))
        square = (e * e).sum(-1, keepdim=True)
        return torch.where(square > 0, e * torch.rsqrt(torch.where(square > 0, square, torch.ones_like(square))), e)
