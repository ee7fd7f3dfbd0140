"""The model of docs/spec/model.md in binary64, keeping what each layer's attention works on.

To look at, not to answer with: the core's answers are the ones that count, and tests hold these to them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aether_temporal.errors import InvalidArgumentError
from aether_temporal.model import Dtype, TemporalModel
from aether_temporal.settings import BiasSettings, ModelSettings, NormSettings, PatternSettings

from .attending import Attending, Floats, block_means

_TINY = 2.0**-126


@dataclass(frozen=True, eq=False)
class Trace:
    """The layers' attention, first to last; `logits` [T, n_classes]; `embeddings` [T, embed_dim], None of a model
    without."""

    layers: tuple[Attending, ...]
    logits: Floats
    embeddings: Floats | None


def trace(model: TemporalModel, frames: NDArray[np.float32], context: int, dtype: Dtype = "float32") -> Trace:
    """The model over frames [T, input_dim] from the beginning, as a stream of this context and dtype sees them.

    InvalidArgumentError for no frames, or frames that are not finite.
    """
    if not len(frames) or not np.isfinite(frames).all():
        raise InvalidArgumentError.of("frames", "at least one frame, all of them finite", f"{frames.shape}")
    settings = model.settings or ModelSettings()
    arrays = {name: np.asarray(array, dtype=np.float64) for name, array in model.arrays().items()}
    pattern = settings.pattern or PatternSettings()
    history = min(pattern.history or context, context)
    x = _features(settings, np.asarray(frames, dtype=np.float64))
    layers = []
    for layer in range(model.header.n_layers):
        h = x if settings.norm is None else _rms(x, _f64(settings.norm.layers)[layer], settings.norm.eps)
        if settings.convolution is not None:
            h = _filter(h, _f64(settings.convolution.kernel)[layer], _f64(settings.convolution.bias)[layer])
        q, k, v = (
            (h @ arrays[f"layers.{layer}.W{name}"] + _bias(settings.bias, name, layer)).reshape(
                len(h), -1, model.header.head_dim
            )
            for name in "qkv"
        )
        means = (block_means(k, pattern.block_size), block_means(v, pattern.block_size))
        attending = Attending(pattern, history, q, _kept(k, dtype), _kept(v, dtype), *means)
        given = attending.output().reshape(len(h), -1)
        x = x + (given @ arrays[f"layers.{layer}.Wo"] + _bias(settings.bias, "o", layer))
        x = _feed_forward(settings, layer, x)
        layers.append(attending)
    if settings.norm is not None:
        x = _rms(x, _f64(settings.norm.final), settings.norm.eps)
    classifier = 0.0 if settings.bias is None else _f64(settings.bias.classifier)
    pooled = _pool(settings, x)
    return Trace(tuple(layers), pooled @ arrays["classifier"] + classifier, _embeddings(settings, pooled))


def has_classes(model: TemporalModel) -> bool:
    """Whether the logits say anything: a model for persons may have a classifier of zeros, since a blob must have
    one."""
    return bool(model.arrays()["classifier"].any())


def _f64(value: ArrayLike) -> Floats:
    return np.asarray(value, dtype=np.float64)


def _features(settings: ModelSettings, x: Floats) -> Floats:
    """Gain, normalisation, projection, stem."""
    if settings.gain == "mean":
        mean = x.mean(axis=1, keepdims=True)
        x = np.where(mean >= _TINY, x / np.where(mean >= _TINY, mean, 1.0), x)
    if settings.normalisation is not None:
        x = (x - _f64(settings.normalisation.mean)) * _f64(settings.normalisation.scale)
    if settings.projection is not None:
        x = x @ _f64(settings.projection.matrix) + _f64(settings.projection.bias)
    if settings.stem is not None:
        x = _filter(x, _f64(settings.stem.kernel), _f64(settings.stem.bias))
        if settings.stem.activation == "relu":
            x = np.maximum(x, 0.0)
    return x


def _embeddings(settings: ModelSettings, pooled: Floats) -> Floats | None:
    if settings.embedding is None:
        return None
    rows = pooled @ _f64(settings.embedding.matrix) + _f64(settings.embedding.bias)
    length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    result: Floats = rows / np.where(length > 0, length, 1.0)
    return result


def _filter(x: Floats, kernel: Floats, bias: Floats) -> Floats:
    """Causal, one filter a channel: kernel [taps, w]."""
    y = np.broadcast_to(bias, x.shape).copy()
    for j, tap in enumerate(kernel[: len(x)]):
        y[j:] += x[: len(x) - j] * tap
    return y


def _rms(x: Floats, gain: Floats, eps: float) -> Floats:
    result: Floats = x / np.sqrt((x * x).mean(axis=1, keepdims=True) + float(np.float32(eps))) * gain
    return result


def _bias(bias: BiasSettings | None, name: str, layer: int) -> Floats | float:
    return 0.0 if bias is None else _f64(getattr(bias, name))[layer]


def _kept(rows: Floats, dtype: Dtype) -> Floats:
    """As the cache keeps them: every type but float32 rounds to binary16."""
    return rows if dtype == "float32" else rows.astype(np.float32).astype(np.float16).astype(np.float64)


def _feed_forward(settings: ModelSettings, layer: int, x: Floats) -> Floats:
    f = settings.feed_forward
    if f is None:
        return x
    norm = settings.norm
    assert isinstance(norm, NormSettings)  # a blob with the one and without the other cannot be opened
    h = _rms(x, _f64(f.gain)[layer], norm.eps)
    u = np.maximum(h @ _f64(f.w1)[layer] + _f64(f.b1)[layer], 0.0)
    result: Floats = x + (u @ _f64(f.w2)[layer] + _f64(f.b2)[layer])
    return result


def _pool(settings: ModelSettings, x: Floats) -> Floats:
    pooling = settings.pooling
    if pooling is None or pooling.kind == "newest":
        return x
    n = pooling.frames
    total = np.cumsum(x, axis=0)
    total[n:] -= total[:-n].copy() if n < len(x) else 0.0
    result: Floats = total / np.minimum(np.arange(1, len(x) + 1), n)[:, None]
    return result
