"""What a blob can say beyond its plain version 1 arrays: one class a section of `docs/spec/rvne.md`.

These classes are the declaration of the sections: fields stand in the order of the payload, and what is written, read
and inspected follows from them. Arrays are real numbers of the shape given, in `layers`, `width`, `q_width` (Hq*D),
`kv_width` (Hkv*D), `n_classes`, `input_dim`; they are stored as binary32, matrices as the blob's own dtype. A section
left `None` is absent and does nothing. In a model in integers, arrays hold integers.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike

from ._internal.convert import as_array, expect_choice
from ._internal.fields import (
    Array,
    Choice,
    Flag,
    Indices,
    Integer,
    Numbers,
    Positive,
    Section,
    Text,
    Texts,
    Tokens,
    Words,
    whole,
)
from .config import OF_PATTERN, UNSET, TemporalHeadConfig
from .errors import InvalidConfigError
from .subcarriers import MOST as MOST_SUBCARRIER
from .subcarriers import Band, SubcarrierMap

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "BiasSettings",
    "CalibrationSettings",
    "ConvolutionSettings",
    "EmbeddingSettings",
    "FeedForwardSettings",
    "IntegerSettings",
    "ModelSettings",
    "NormSettings",
    "NormalisationSettings",
    "PatternSettings",
    "PoolingSettings",
    "ProjectionSettings",
    "StemSettings",
    "SubcarrierNumberSettings",
    "SubcarrierSettings",
    "TimingSettings",
]

_U32 = 0xFFFFFFFF
_NO_WINDOW = 2**64 - 1
ANY_SIZE = (1, 0x7FFFFFFF)
MAX_TAPS = 64

# The longest gap that a grid may bridge: in microseconds, exact in binary32, and in periods, so that one packet makes
# no more frames due than a node has time for.
MAX_GAP = 1 << 24
MAX_DUE = 256


class _Summarised:
    """A repr of one or two lines: what is as by default is left out, and arrays are shown by their shape. Sections
    within settings are shown without their arrays."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(_summary(self, arrays=True))})"

    def _default_of(self, field: dataclasses.Field[Any]) -> Any:
        return field.default


def _summary(settings: _Summarised, arrays: bool) -> Iterator[str]:
    for field in dataclasses.fields(cast("DataclassInstance", settings)):
        value = getattr(settings, field.name)
        if isinstance(value, _Summarised):
            inner = ", ".join(_summary(value, arrays=False))
            yield f"{field.name}({inner})" if inner else field.name
        elif isinstance(value, str):
            if value != settings._default_of(field):
                yield f"{field.name}={textwrap.shorten(value, 40, placeholder=' …')!r}"
        elif isinstance(value, tuple) and len(repr(value)) <= 80:
            if value != settings._default_of(field):
                yield f"{field.name}={value}"
        elif shape := np.shape(value):
            if arrays:
                yield f"{field.name}=[{', '.join(map(str, shape))}]"
        elif (text := _scalar(value)) != _scalar(settings._default_of(field)):
            yield f"{field.name}={text}"


def _scalar(value: object) -> str:
    """A scalar in the digits that binary32 holds."""
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


@dataclasses.dataclass(frozen=True, repr=False)
class PatternSettings(_Summarised):
    """Which tokens a query sees. `window` None: every token; `history` None: all of the past.

    pattern: "reference", or "pyramid" (docs/spec/pattern.md), which has no log-stride, landmarks or global tokens: they
    are True, True and (0,) by default, with the pyramid False, False and ().
    """

    window: Annotated[int | None, Integer(0, _U32 - 1, none=_U32)] = 32
    block_size: Annotated[int, Integer(1, _U32)] = 16
    history: Annotated[int | None, Integer(1, _U32, none=0)] = None
    use_log_stride: Annotated[bool, Flag(0)] = UNSET
    use_landmarks: Annotated[bool, Flag(1)] = UNSET
    pattern: Annotated[Literal["reference", "pyramid"], Flag(3, tuple(OF_PATTERN))] = dataclasses.field(
        default="reference", kw_only=True
    )
    global_tokens: Annotated[tuple[int, ...], Tokens()] = UNSET

    def __post_init__(self) -> None:
        expect_choice(self.pattern, tuple(OF_PATTERN), "pattern")
        for name, default in OF_PATTERN[self.pattern].items():
            if getattr(self, name) is UNSET:
                object.__setattr__(self, name, default)

    def _default_of(self, field: dataclasses.Field[Any]) -> Any:
        return OF_PATTERN[self.pattern].get(field.name, field.default)

    def replace(self, **changes: Any) -> PatternSettings:
        """A copy with some fields changed. Of another pattern, it has that pattern's defaults of what is not given, but
        window, block_size and history."""
        if changes.get("pattern", self.pattern) == self.pattern:
            return dataclasses.replace(self, **changes)
        kept = {"window": self.window, "block_size": self.block_size, "history": self.history}
        return PatternSettings(**{**kept, **changes})

    def head(self, q_heads: int = 4, kv_heads: int = 1, head_dim: int = 32) -> TemporalHeadConfig:
        """A head of this pattern. InvalidConfigError."""
        return TemporalHeadConfig(
            pattern=self.pattern,
            q_heads=q_heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            window=_NO_WINDOW if self.window is None else self.window,
            block_size=self.block_size,
            history=self.history,
            use_log_stride=self.use_log_stride,
            use_landmarks=self.use_landmarks,
            global_tokens=tuple(self.global_tokens),
        )

    def check(self, settings: ModelSettings | None = None) -> None:
        """Rules beyond single fields. InvalidConfigError."""
        try:
            self.head()
        except InvalidConfigError as error:
            raise InvalidConfigError.of(f"pattern.{error.field}", str(error.expected), error.found) from None


PYRAMID = PatternSettings(pattern="pyramid", window=8, block_size=4)
"""The sparse pattern of the recipes, chosen by the gates (docs/gates.md)."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SubcarrierSettings(_Summarised):
    """Feature `f` is the amplitude of I/Q pair `index[f]` ([input_dim], each below `n_pairs`) of a raw frame."""

    n_pairs: Annotated[int, Integer(1, 0xFFFF)]
    index: Annotated[ArrayLike, Indices("input_dim")]

    def check(self, settings: ModelSettings) -> None:
        """Rules beyond single fields. InvalidConfigError."""
        for i in as_array(self.index, "subcarriers.index").tolist():
            whole(i, 0, self.n_pairs - 1, "subcarriers.index")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SubcarrierNumberSettings(_Summarised):
    """Feature `f` is the amplitude of subcarrier `number[f]` of band `band[f]` (`Band`), wherever it is in a frame;
    both [input_dim], each subcarrier once. Beside it, `subcarriers` is for frames of which nobody knows the order."""

    number: Annotated[ArrayLike, Numbers("input_dim", MOST_SUBCARRIER)]
    band: Annotated[Sequence[str], Words("input_dim", tuple(map(str, Band)))]

    @classmethod
    def of(cls, wanted: SubcarrierMap) -> SubcarrierNumberSettings:
        """The section that asks for these subcarriers."""
        return cls(np.array(wanted.numbers), tuple(map(str, wanted.bands)))

    def wanted(self) -> SubcarrierMap:
        """The subcarriers that the features are."""
        return SubcarrierMap(tuple(map(Band, self.band)), tuple(as_array(self.number, "number").tolist()))

    def check(self, settings: ModelSettings) -> None:
        """Rules beyond single fields. InvalidConfigError."""
        seen = set()
        for place in zip(self.band, as_array(self.number, "number").tolist(), strict=True):
            if place in seen:
                raise InvalidConfigError.of(
                    "subcarrier_numbers", "each subcarrier once", f"{place[0]}:{place[1]} twice"
                )
            seen.add(place)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class NormalisationSettings(_Summarised):
    """`(x - mean) * scale`; both [input_dim]."""

    mean: Annotated[ArrayLike, Array(("input_dim",))]
    scale: Annotated[ArrayLike, Array(("input_dim",))]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ProjectionSettings(_Summarised):
    """Input features to width: bias [width], matrix weight [input_dim, width]."""

    bias: Annotated[ArrayLike, Array(("width",))]
    weight: Annotated[ArrayLike, Array(("input_dim", "width"), matrix=True)]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class NormSettings(_Summarised):
    """Root-mean-square norm before each layer (weight [layers, width]) and after the last (final [width])."""

    eps: Annotated[float, Positive()] = 1e-5
    weight: Annotated[ArrayLike, Array(("layers", "width"))]
    final: Annotated[ArrayLike, Array(("width",))]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ConvolutionSettings(_Summarised):
    """Causal convolution along time in each channel: bias [layers, width], weight [layers, taps, width] (tap 0 weighs
    the newest frame)."""

    bias: Annotated[ArrayLike, Array(("layers", "width"))]
    weight: Annotated[ArrayLike, Array(("layers", "taps", "width"))]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class BiasSettings(_Summarised):
    """Biases of the projections, bq [layers, q_width], bk and bv [layers, kv_width], bo [layers, width], and of the
    classifier [n_classes]."""

    bq: Annotated[ArrayLike, Array(("layers", "q_width"))]
    bk: Annotated[ArrayLike, Array(("layers", "kv_width"))]
    bv: Annotated[ArrayLike, Array(("layers", "kv_width"))]
    bo: Annotated[ArrayLike, Array(("layers", "width"))]
    classifier: Annotated[ArrayLike, Array(("n_classes",))]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FeedForwardSettings(_Summarised):
    """Norm, linear, ReLU, linear after each attention: norm [layers, width], b1 [layers, hidden], b2 [layers, width],
    matrices w1 [layers, width, hidden] and w2 [layers, hidden, width]. Needs the section norm, whose eps it uses."""

    norm: Annotated[ArrayLike, Array(("layers", "width"))]
    b1: Annotated[ArrayLike, Array(("layers", "hidden"))]
    b2: Annotated[ArrayLike, Array(("layers", "width"))]
    w1: Annotated[ArrayLike, Array(("layers", "width", "hidden"), matrix=True)]
    w2: Annotated[ArrayLike, Array(("layers", "hidden", "width"), matrix=True)]

    def check(self, settings: ModelSettings) -> None:
        """Rules beyond single fields. InvalidConfigError."""
        if settings.norm is None:
            raise InvalidConfigError.of("norm", "a norm, since there is a feed_forward", None)


@dataclasses.dataclass(frozen=True, repr=False)
class PoolingSettings(_Summarised):
    """What the classifier sees: the newest frame, or the mean of the last `frames` frames."""

    kind: Annotated[Literal["newest", "mean"], Choice(("newest", "mean"))] = "newest"
    frames: Annotated[int, Integer(1, 0xFFFF)] = 1

    def check(self, settings: ModelSettings) -> None:
        """Rules beyond single fields. InvalidConfigError."""
        if self.kind == "newest":
            whole(self.frames, 1, 1, "pooling.frames")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class EmbeddingSettings(_Summarised):
    """L2-normalised embedding beside the logits: bias [dim], matrix weight [width, dim]."""

    bias: Annotated[ArrayLike, Array(("dim",))]
    weight: Annotated[ArrayLike, Array(("width", "dim"), matrix=True)]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class StemSettings(_Summarised):
    """One short causal filter a channel, before the layers: bias [width], weight [taps, width] (1 to 64 taps; tap 0
    weighs the newest frame), then nothing or a ReLU."""

    activation: Annotated[Literal["none", "relu"], Choice(("none", "relu"))] = "none"
    bias: Annotated[ArrayLike, Array(("width",))]
    weight: Annotated[ArrayLike, Array(("taps", "width"))]


@dataclasses.dataclass(frozen=True, repr=False)
class TimingSettings(_Summarised):
    """How frames and predictions relate to time.

    label_delay: the prediction after frame t is for frame t - label_delay. period_us: microseconds of the steady grid
    that frames are to be put on before the model sees them (`Resampler`); None: they are taken as they come.
    max_gap_us: the longest gap that is bridged, period_us to 256 periods, at most 16777216; a longer one begins a new
    grid.
    """

    label_delay: Annotated[int, Integer(0, 0xFFFF)] = 0
    period_us: Annotated[int | None, Integer(1, MAX_GAP, none=0)] = None
    max_gap_us: Annotated[int | None, Integer(1, MAX_GAP, none=0)] = None

    def check(self, settings: ModelSettings) -> None:
        """Rules beyond single fields. InvalidConfigError."""
        period, rate = self.period_us, settings.frame_rate
        if period is None:
            if self.max_gap_us is not None:
                raise InvalidConfigError.of("timing.max_gap_us", "None without a period_us", self.max_gap_us)
            return
        if rate is not None and abs(rate * period / 1e6 - 1) > 0.01:
            raise InvalidConfigError.of("timing.period_us", f"about {1e6 / rate:.0f}, of the frame_rate", period)
        whole(self.max_gap_us, period, min(MAX_GAP, MAX_DUE * period), "timing.max_gap_us")


@dataclasses.dataclass(frozen=True, repr=False)
class CalibrationSettings(_Summarised):
    """The softmax of the logits is calibrated: how often a class is correct, by recordings that were not trained on.
    temperature: by what the logits were divided for it; the weights hold the divided ones."""

    temperature: Annotated[float, Positive()]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class IntegerSettings(_Summarised):
    """What only a model in integers has, and every one of them (docs/spec/integers.md): the units of inputs and
    logits, powers of two, and the multipliers, integers of at least 1: of each column of a matrix or channel of a
    filter, and of the scores of each query head. None: of a section that is not there."""

    input_unit: Annotated[float, Positive()]
    logit_unit: Annotated[float, Positive()]
    q: Annotated[ArrayLike, Array(("layers", "q_width"))]
    k: Annotated[ArrayLike, Array(("layers", "kv_width"))]
    v: Annotated[ArrayLike, Array(("layers", "kv_width"))]
    o: Annotated[ArrayLike, Array(("layers", "width"))]
    score: Annotated[ArrayLike, Array(("layers", "n_q_heads"))]
    convolution: Annotated[ArrayLike | None, Array(("layers", "width"), within="convolution")] = None
    w1: Annotated[ArrayLike | None, Array(("layers", "hidden"), within="feed_forward")] = None
    w2: Annotated[ArrayLike | None, Array(("layers", "width"), within="feed_forward")] = None
    classifier: Annotated[ArrayLike, Array(("n_classes",))]
    projection: Annotated[ArrayLike | None, Array(("width",), within="projection")] = None
    stem: Annotated[ArrayLike | None, Array(("width",), within="stem")] = None
    embedding: Annotated[ArrayLike | None, Array(("dim",), within="embedding")] = None


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ModelSettings(_Summarised):
    """All sections of a blob's extension. `width` None means the blob's `input_dim`; `agc` "mean" divides each frame
    by its mean, which removes the receiver's automatic gain; `frame_rate` is in frames a second."""

    width: int | None = None
    pattern: Annotated[PatternSettings | None, Section(1)] = None
    subcarriers: Annotated[SubcarrierSettings | None, Section(2)] = None
    agc: Annotated[Literal["none", "mean"] | None, Section(3), Choice(("none", "mean"))] = None
    normalisation: Annotated[NormalisationSettings | None, Section(4)] = None
    projection: Annotated[ProjectionSettings | None, Section(5)] = None
    norm: Annotated[NormSettings | None, Section(6)] = None
    convolution: Annotated[ConvolutionSettings | None, Section(7, {"taps": (1, MAX_TAPS)})] = None
    bias: Annotated[BiasSettings | None, Section(8)] = None
    feed_forward: Annotated[FeedForwardSettings | None, Section(9, {"hidden": ANY_SIZE})] = None
    pooling: Annotated[PoolingSettings | None, Section(10)] = None
    embedding: Annotated[EmbeddingSettings | None, Section(11, {"dim": ANY_SIZE})] = None
    class_names: Annotated[Sequence[str] | None, Section(12), Texts("n_classes")] = None
    frame_rate: Annotated[float | None, Section(13), Positive()] = None
    provenance: Annotated[str | None, Section(14), Text()] = None
    stem: Annotated[StemSettings | None, Section(15, {"taps": (1, MAX_TAPS)})] = None
    timing: Annotated[TimingSettings | None, Section(16)] = None
    subcarrier_numbers: Annotated[SubcarrierNumberSettings | None, Section(17)] = None
    calibration: Annotated[CalibrationSettings | None, Section(18)] = None
    integers: Annotated[IntegerSettings | None, Section(19)] = None

    def replace(self, **changes: Any) -> ModelSettings:
        """A copy with some sections changed."""
        return dataclasses.replace(self, **changes)
