"""What a blob can say beyond its plain version 1 arrays: one dataclass a section of `docs/spec/rvne.md`.

`w` is the model width, `L` the number of layers, `Hq`, `Hkv`, `D` the head shape. Arrays are real numbers of the
shape given; they are stored as binary32, the ones called matrix as the blob's own dtype. A section left `None` is
absent and does nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._internal.convert import as_array
from .errors import InvalidConfigError, ShapeError

__all__ = [
    "BiasSettings",
    "ConvolutionSettings",
    "EmbeddingSettings",
    "FeedForwardSettings",
    "ModelSettings",
    "NormSettings",
    "NormalisationSettings",
    "PatternSettings",
    "PoolingSettings",
    "ProjectionSettings",
    "StemSettings",
    "SubcarrierSettings",
    "TimingSettings",
]


@dataclasses.dataclass(frozen=True)
class PatternSettings:
    """Which tokens a query sees. `window` None: every token; `history` None: all of the past."""

    window: int | None = 32
    block_size: int = 16
    history: int | None = None
    use_log_stride: bool = True
    use_landmarks: bool = True
    global_tokens: tuple[int, ...] = (0,)


@dataclasses.dataclass(frozen=True, eq=False)
class SubcarrierSettings:
    """Feature `f` is the amplitude of I/Q pair `index[f]` ([input_dim], each below `n_pairs`) of a raw frame."""

    n_pairs: int
    index: ArrayLike


@dataclasses.dataclass(frozen=True, eq=False)
class NormalisationSettings:
    """`(x - mean) * scale`; both [input_dim]."""

    mean: ArrayLike
    scale: ArrayLike


@dataclasses.dataclass(frozen=True, eq=False)
class ProjectionSettings:
    """Input features to width: matrix [input_dim, w], bias [w]."""

    matrix: ArrayLike
    bias: ArrayLike


@dataclasses.dataclass(frozen=True, eq=False)
class StemSettings:
    """One short causal filter a channel, before the layers: kernel [taps, w] (1 to 64 taps; tap 0 weighs the newest
    frame), bias [w], then nothing or a ReLU."""

    kernel: ArrayLike
    bias: ArrayLike
    activation: Literal["none", "relu"] = "none"


@dataclasses.dataclass(frozen=True, eq=False)
class NormSettings:
    """Root-mean-square norm before each layer (layers [L, w]) and after the last (final [w])."""

    layers: ArrayLike
    final: ArrayLike
    eps: float = 1e-5


@dataclasses.dataclass(frozen=True, eq=False)
class ConvolutionSettings:
    """Causal convolution along time in each channel: kernel [L, taps, w] (tap 0 weighs the newest frame), bias [L,
    w]."""

    kernel: ArrayLike
    bias: ArrayLike


@dataclasses.dataclass(frozen=True, eq=False)
class BiasSettings:
    """Biases of the projections, q [L, Hq*D], k and v [L, Hkv*D], o [L, w], and of the classifier [n_classes]."""

    q: ArrayLike
    k: ArrayLike
    v: ArrayLike
    o: ArrayLike
    classifier: ArrayLike


@dataclasses.dataclass(frozen=True, eq=False)
class FeedForwardSettings:
    """Norm, linear, ReLU, linear after each attention: gain [L, w], b1 [L, hidden], b2 [L, w], matrices w1 [L, w,
    hidden] and w2 [L, hidden, w]. Needs `norm`, whose eps it uses."""

    gain: ArrayLike
    w1: ArrayLike
    b1: ArrayLike
    w2: ArrayLike
    b2: ArrayLike


@dataclasses.dataclass(frozen=True)
class PoolingSettings:
    """What the classifier sees: the newest frame, or the mean of the last `frames` frames."""

    kind: Literal["newest", "mean"] = "newest"
    frames: int = 1


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddingSettings:
    """L2-normalised embedding beside the logits: matrix [w, dim], bias [dim]."""

    matrix: ArrayLike
    bias: ArrayLike


# The longest gap that a grid may bridge: in microseconds, exact in binary32, and in periods, so that one packet makes
# no more frames due than a node has time for.
MAX_GAP = 1 << 24
MAX_DUE = 4096


@dataclasses.dataclass(frozen=True)
class TimingSettings:
    """How frames and answers relate to time.

    delay: the answer after frame t describes frame t - delay. period_us: microseconds of the steady grid that frames
    are to be put on before the model sees them (`Resampler`); None: they are taken as they come. max_gap_us: the
    longest gap that is bridged, period_us to 4096 periods, at most 16777216; with a longer one everything begins anew.
    """

    delay: int = 0
    period_us: int | None = None
    max_gap_us: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class ModelSettings:
    """All sections of a blob's extension. `width` None means the blob's `input_dim`; `gain` "mean" divides each frame
    by its mean; `frame_rate` is in frames a second."""

    width: int | None = None
    pattern: PatternSettings | None = None
    subcarriers: SubcarrierSettings | None = None
    gain: Literal["none", "mean"] | None = None
    normalisation: NormalisationSettings | None = None
    projection: ProjectionSettings | None = None
    norm: NormSettings | None = None
    convolution: ConvolutionSettings | None = None
    bias: BiasSettings | None = None
    feed_forward: FeedForwardSettings | None = None
    pooling: PoolingSettings | None = None
    embedding: EmbeddingSettings | None = None
    class_names: Sequence[str] | None = None
    frame_rate: float | None = None
    provenance: str | None = None
    stem: StemSettings | None = None
    timing: TimingSettings | None = None

    def replace(self, **changes: Any) -> ModelSettings:
        """A copy with some sections changed."""
        return dataclasses.replace(self, **changes)


def real_array(value: ArrayLike, shape: tuple[int, ...], field: str) -> NDArray[np.float32]:
    """`value` as finite binary32 of exactly this shape. InputTypeError, ShapeError, InvalidConfigError."""
    given = as_array(value, field)
    array = np.ascontiguousarray(given, dtype="<f4").reshape(given.shape)
    if array.shape != shape:
        raise ShapeError.of(field, f"shape {shape}", array.shape)
    if not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InvalidConfigError.of(field, "finite numbers", f"{array[index]} at {index}")
    return array
