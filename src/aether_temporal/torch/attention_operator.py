"""Attention of the C core as a differentiable torch operator.

`torch.ops.aether_temporal.attention` and `attention_backward` call the package's own extension; there is no link to
libtorch, so one build serves every torch. Only q, k and v are kept for the backward pass, which recomputes the weights
of a row: memory grows with T and not with its square.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.autograd import forward_ad

from aether_temporal import _core
from aether_temporal._internal import threads
from aether_temporal._internal.kernels import choose
from aether_temporal.config import TemporalHeadConfig
from aether_temporal.errors import InputTypeError, ShapeError
from aether_temporal.head import AetherTemporalHead

__all__ = ["attention"]

Settings = tuple[str, str, int, int, int | None, list[int], bool, bool, bool]
Three = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

_SETTINGS = (
    "str backend, str pattern, int window, int block_size, int? history, int[] global_tokens, bool causal, "
    "bool use_log_stride, bool use_landmarks"
)
_FAR = 2**63 - 1  # torch's integers end here; no sequence is as long


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, config: TemporalHeadConfig) -> torch.Tensor:
    """Attention over whole sequences with gradients for q, k and v, the block means included.

    q: float32 CPU tensor (N, T, q_heads, head_dim) or (T, q_heads, head_dim); k, v: the same with kv_heads. Contiguous
    tensors are used where they lie, others copied. Returns a new contiguous tensor of q's shape, with the bits of
    `AetherTemporalHead(config).forward`.

    Works on `torch.get_num_threads()` threads where there is work for them; neither outputs nor gradients depend on
    how many. Gradients agree between kernel variants to rounding. There is no second derivative and none forward.

    InputTypeError (dtype, device), ShapeError, NonFiniteError (q, k, v; what is not finite in the incoming gradient is
    so in the outgoing ones), ResultOverflowError; NotImplementedError where another derivative is asked for.
    """
    if not torch.compiler.is_compiling() and any(map(_has_tangent, (q, k, v))):
        raise NotImplementedError(  # torch would take the tangent for zero
            "attention: expected inputs without a forward-mode tangent, found one (it is differentiated backward only)"
        )
    if q.dim() == 3:
        if k.dim() != 3 or v.dim() != 3:
            raise ShapeError.of("k", "three dimensions, as q has", tuple(k.shape if k.dim() != 3 else v.shape))
        return attention(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), config).squeeze(0)
    if q.dim() != 4 or q.shape[2] != config.q_heads or q.shape[3] != config.head_dim:
        expected = f"shape (N, T, {config.q_heads}, {config.head_dim}), or without N"
        raise ShapeError.of("q", expected, tuple(q.shape))
    if k.dim() != 4 or k.shape[2] != config.kv_heads:
        raise ShapeError.of("k", f"shape (N, T, {config.kv_heads}, {config.head_dim})", tuple(k.shape))
    found: torch.Tensor = torch.ops.aether_temporal.attention(q, k, v, *_settings(config))
    return found


def widened(x: torch.Tensor) -> torch.Tensor:
    """x as the kernel takes it: half precision, as autocast makes it, becomes float32."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _has_tangent(x: torch.Tensor) -> bool:
    return forward_ad.unpack_dual(x).tangent is not None  # type: ignore[no-untyped-call]


def _settings(config: TemporalHeadConfig) -> Settings:
    """What the operators take beside tensors, which say the heads by their shapes."""
    return (
        config.backend,
        config.pattern,
        min(config.window, _FAR),
        min(config.block_size, _FAR),
        None if config.history is None else min(config.history, _FAR),
        list(config.global_tokens),
        config.causal,
        config.use_log_stride,
        config.use_landmarks,
    )


@functools.lru_cache(maxsize=64)
def _cached_head(shape: tuple[int, int, int], settings: tuple[Any, ...], kernels: str) -> AetherTemporalHead:
    backend, pattern, window, block_size, history, global_tokens, causal, use_log_stride, use_landmarks = settings
    config = TemporalHeadConfig(
        backend=backend,
        pattern=pattern,
        q_heads=shape[0],
        kv_heads=shape[1],
        head_dim=shape[2],
        window=window,
        block_size=block_size,
        causal=causal,
        global_tokens=global_tokens,
        use_log_stride=use_log_stride,
        use_landmarks=use_landmarks,
        history=history,
    )
    return AetherTemporalHead(config, kernels)


def _head(q: torch.Tensor, k: torch.Tensor, settings: Sequence[Any]) -> AetherTemporalHead:
    flat = tuple(tuple(value) if isinstance(value, list) else value for value in settings)
    return _cached_head((q.shape[2], k.shape[2], q.shape[3]), flat, choose(None))


def _expect(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, d_out: torch.Tensor | None = None) -> None:
    """What real and fake tensors must both keep to."""
    for field, x in (("q", q), ("k", k), ("v", v), ("d_out", d_out)):
        if x is None:
            continue
        if x.dtype != torch.float32 or x.device.type not in ("cpu", "meta") or x.layout != torch.strided:
            found = f"{x.dtype} ({x.layout}) on {x.device}"
            raise InputTypeError.of(field, "a dense float32 tensor on the CPU", found)
        if x.dim() != 4:
            raise ShapeError.of(field, "shape (N, T, heads, head_dim)", tuple(x.shape))
    if k.shape[0] != q.shape[0] or k.shape[1] != q.shape[1] or k.shape[3] != q.shape[3]:
        raise ShapeError.of("k", f"q's shape {tuple(q.shape)} but for the heads", tuple(k.shape))
    if v.shape != k.shape:
        raise ShapeError.of("v", f"k's shape {tuple(k.shape)}", tuple(v.shape))
    if d_out is not None and d_out.shape != q.shape:
        raise ShapeError.of("d_out", f"q's shape {tuple(q.shape)}", tuple(d_out.shape))


def _thread_count(config: TemporalHeadConfig, batch: int, tokens: int) -> int:
    """torch's number of threads; one for problems too small to be split."""
    return 1 if threads.choose_threads(None, config, batch, tokens) == 1 else torch.get_num_threads()


def _array(x: torch.Tensor) -> NDArray[np.float32]:
    """The tensor's own memory where it is contiguous."""
    found: NDArray[np.float32] = x.detach().resolve_neg().contiguous().numpy()
    return found


def _empty(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.custom_op(
    "aether_temporal::attention", mutates_args=(), schema=f"(Tensor q, Tensor k, Tensor v, {_SETTINGS}) -> Tensor"
)
def _attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *settings: Any) -> torch.Tensor:
    _expect(q, k, v)
    head = _head(q, k, settings)
    if q.numel() == 0:
        return _empty(q)
    job = _core.Attention(head, _array(q), _array(k), _array(v), False)
    threads.run(job, _thread_count(head.config, job.batch, job.tokens))
    return torch.from_numpy(job.result())


@_attention.register_fake
def _attention_fake(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *settings: Any) -> torch.Tensor:
    _expect(q, k, v)
    return _empty(q)


@torch.library.custom_op(
    "aether_temporal::attention_backward",
    mutates_args=(),
    schema=f"(Tensor d_out, Tensor q, Tensor k, Tensor v, {_SETTINGS}) -> (Tensor, Tensor, Tensor)",
)
def _attention_backward(
    d_out: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *settings: Any
) -> Three:
    _expect(q, k, v, d_out)
    head = _head(q, k, settings)
    if q.numel() == 0:
        return _empty(q), _empty(k), _empty(v)
    job = _core.AttentionGradient(head, _array(q), _array(k), _array(v), _array(d_out))
    threads.run_gradient(job, _thread_count(head.config, q.shape[0], q.shape[1]))
    d_q, d_k, d_v = map(torch.from_numpy, job.result())
    return d_q, d_k, d_v


@_attention_backward.register_fake
def _attention_backward_fake(
    d_out: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *settings: Any
) -> Three:
    _expect(q, k, v, d_out)
    return _empty(q), _empty(k), _empty(v)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    q, k, v, *ctx.settings = inputs
    ctx.save_for_backward(q, k, v)


def _backward(ctx: Any, d_out: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    found = torch.ops.aether_temporal.attention_backward(d_out, *ctx.saved_tensors, *ctx.settings)
    return (*found, *(None for _ in ctx.settings))


_attention.register_autograd(_backward, setup_context=_setup)


def _no_second_derivative(ctx: Any, *gradients: torch.Tensor) -> None:
    raise NotImplementedError(
        "attention: expected its first derivative only, found a backward through its backward (create_graph=True); "
        "there is no second derivative"
    )


_attention_backward.register_autograd(_no_second_derivative)
