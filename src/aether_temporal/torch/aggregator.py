"""Attention over frames as a module: projections to queries, keys and values, the kernel, a projection back."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aether_temporal.cache_types import Dtype
from aether_temporal.config import TemporalHeadConfig
from aether_temporal.errors import InputTypeError, InvalidConfigError, ShapeError
from aether_temporal.head import AetherTemporalHead, KvCache

from .attention_operator import attention, widened

__all__ = ["AetherTemporalAggregator", "AggregatorStream"]


class AetherTemporalAggregator(nn.Module):
    """Frames (N, T, in_dim) or (T, in_dim) to the attention output of each frame, (…, T, out_dim).

    config: heads, pattern and backend ("sparse_gqa" or "dense"). out_dim: None: as in_dim. bias: in all four
    projections. Half-precision frames or projections (autocast) meet the kernel in float32. InvalidConfigError.
    """

    def __init__(
        self, in_dim: int, config: TemporalHeadConfig | None = None, *, out_dim: int | None = None, bias: bool = True
    ) -> None:
        super().__init__()
        self.config = c = TemporalHeadConfig() if config is None else config
        self.in_dim, self.out_dim = in_dim, in_dim if out_dim is None else out_dim
        for field, value in (("in_dim", self.in_dim), ("out_dim", self.out_dim)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidConfigError.of(field, "an integer of at least 1", repr(value))
        self.q = nn.Linear(self.in_dim, c.q_heads * c.head_dim, bias)
        self.k = nn.Linear(self.in_dim, c.kv_heads * c.head_dim, bias)
        self.v = nn.Linear(self.in_dim, c.kv_heads * c.head_dim, bias)
        self.out = nn.Linear(c.q_heads * c.head_dim, self.out_dim, bias)

    def heads(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values of frames: (…, T, heads, head_dim), float32."""
        c = self.config

        def part(layer: nn.Module, count: int) -> torch.Tensor:
            x = widened(layer(frames))
            return x.reshape(*x.shape[:-1], count, c.head_dim)

        return part(self.q, c.q_heads), part(self.k, c.kv_heads), part(self.v, c.kv_heads)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """ShapeError, InputTypeError, NonFiniteError (a projection is), ResultOverflowError."""
        if frames.dim() not in (2, 3) or frames.shape[-1] != self.in_dim:
            raise ShapeError.of("frames", f"shape (N, T, {self.in_dim}) or (T, {self.in_dim})", tuple(frames.shape))
        attended = attention(*self.heads(frames), self.config).flatten(-2)
        out: torch.Tensor = self.out(attended.to(frames.dtype))
        return out

    def stream(
        self,
        context: int = 1024,
        dtype: Dtype = "float32",
        on_full: Literal["error", "ring"] = "error",
    ) -> AggregatorStream:
        """For frames one by one, through the C core's cache, with the weights that the module has at each push.

        context: frames that the cache holds. dtype, on_full: as of `AetherTemporalHead.make_cache`.
        BackendDoesNotSupportStreamingError for a dense or non-causal configuration.
        """
        return AggregatorStream(self, context, dtype, on_full)

    def extra_repr(self) -> str:
        return f"in_dim={self.in_dim}, out_dim={self.out_dim}, {self.config}"


class AggregatorStream:
    """Row t of `forward`, when frame t arrives; made by `AetherTemporalAggregator.stream`. `len` counts frames.

    Attention is that of `forward` bit for bit (with on_full "ring", of a configuration with history=context); torch
    may round a projection of one frame otherwise than one of many. Without gradients.
    """

    def __init__(
        self,
        module: AetherTemporalAggregator,
        context: int,
        dtype: Dtype,
        on_full: Literal["error", "ring"],
    ) -> None:
        self.module = module
        self.head = AetherTemporalHead(module.config)
        self.cache: KvCache = self.head.make_cache(context, dtype, on_full)

    def __len__(self) -> int:
        return self.cache.tokens

    def push(self, frame: torch.Tensor) -> torch.Tensor:
        """One frame (in_dim,); its row (out_dim,). ShapeError, InputTypeError, NonFiniteError, CacheFullError …: the
        errors of `AetherTemporalHead.step`; the stream is then as it was."""
        if frame.dim() != 1 or frame.shape[0] != self.module.in_dim:
            raise ShapeError.of("frame", f"shape ({self.module.in_dim},)", tuple(frame.shape))
        return self._forward(frame.unsqueeze(0)).squeeze(0)

    def extend(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (T, in_dim) at once; their rows (T, out_dim). Errors as `push`."""
        if frames.dim() != 2 or frames.shape[1] != self.module.in_dim:
            raise ShapeError.of("frames", f"shape (T, {self.module.in_dim})", tuple(frames.shape))
        return self._forward(frames)

    def reset(self) -> None:
        """Forget all frames."""
        self.cache.reset()

    @torch.no_grad()
    def _forward(self, frames: torch.Tensor) -> torch.Tensor:
        q, k, v = map(_array, self.module.heads(frames))
        if len(frames) == 0:
            return frames.new_empty(0, self.module.out_dim)
        work = self.head.step if len(frames) == 1 else self.head.prefill
        rows = torch.from_numpy(work(q, k, v, self.cache))
        out: torch.Tensor = self.module.out(rows.flatten(1).to(frames.dtype))
        return out


def _array(x: torch.Tensor) -> NDArray[np.float32]:
    if x.dtype != torch.float32 or x.device.type != "cpu":
        raise InputTypeError.of("frame", "float32 on the CPU", f"{x.dtype} on {x.device}")
    found: NDArray[np.float32] = x.contiguous().numpy()
    return found
