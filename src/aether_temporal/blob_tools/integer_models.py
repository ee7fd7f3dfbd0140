"""Makes a model in integers (docs/spec/integers.md) of one in floating point, after training.

Frames say how large the numbers between the operations become; each scale leaves a margin above that. Weights are
rounded to the nearest of 255 levels, with a scale for each column. The arithmetic is the core's own: nothing here
imitates it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aether_temporal.blob import CORE_NAMES, WeightBlob
from aether_temporal.errors import InvalidConfigError, ShapeError
from aether_temporal.model import TemporalModel
from aether_temporal.settings import IntegerSettings, ModelSettings, NormalisationSettings

__all__ = ["IntegerCost", "integer_cost", "quantise"]

Real = NDArray[np.float64]
Whole = NDArray[np.int64]

RESIDUAL, ACTIVATION, STORED, LOGIT = 32767, 2047, 127, 2**24 - 1
SUMS = 2**27
"""No sum reaches it."""
ONE = 2**29
"""The multiplier that changes nothing."""
UNIT = 2**22
"""What stands for 1 in a vector divided by its length."""
MARGIN = {"input": 4.0, "residual": 2.0, "activation": 1.5, "stored": 1.0, "logits": 16.0}
"""How many times as large as in the frames a number may be before it is clamped (or a frame rejected)."""
AGC_UNIT = 2.0**-12


@dataclasses.dataclass
class _Ranges:
    """The largest magnitude of each number between operations; of a head where there are heads."""

    input: float = 0.0
    normalised: float = 0.0
    projected: float = 0.0
    residual: float = 0.0
    logits: float = 0.0
    embedding: float = 0.0
    final: float = 0.0
    layers: dict[tuple[str, int], Real] = dataclasses.field(default_factory=dict)

    def see(self, name: str, values: NDArray[Any]) -> None:
        setattr(self, name, max(getattr(self, name), float(np.abs(values).max(initial=0.0))))

    def see_layer(self, name: str, layer: int, values: NDArray[Any]) -> None:
        """values: (T, ...): one range for each head, of (T, heads, D), or one."""
        found = np.abs(values).max(axis=(0, -1)) if values.ndim == 3 else np.abs(values).max()
        old = self.layers.get((name, layer), np.float64(0))
        self.layers[name, layer] = np.maximum(old, found)


class _Observed:
    """A model's numbers over frames, in binary64 but for what the core computed."""

    def __init__(self, model: TemporalModel) -> None:
        self.model, self.settings = model, model.settings or ModelSettings()
        self.arrays = {name: np.asarray(array, np.float64) for name, array in model.arrays().items()}
        self.ranges = _Ranges()

    def see(self, frames: NDArray[np.float32]) -> None:
        s, a, ranges = self.settings, self.arrays, self.ranges
        traces, logits = self.model.trace(frames), self.model.forward(frames)
        x = frames.astype(np.float64)
        ranges.see("input", x)
        if s.agc == "mean":
            means = x.mean(axis=1, keepdims=True)
            x = np.divide(x, means, out=x.copy(), where=means > 0)
        if s.normalisation is not None:
            x = (x - a["normalisation.mean"]) * a["normalisation.scale"]
        ranges.see("normalised", x)
        if s.projection is not None:
            x = x @ a["projection.weight"] + a["projection.bias"]
        ranges.see("projected", x)
        if s.stem is not None:
            x = _filtered(x, a["stem.weight"]) + a["stem.bias"]
            x = np.maximum(x, 0) if s.stem.activation == "relu" else x
        ranges.see("residual", x)
        for n, trace in enumerate(traces):
            x = self._layer(n, x, trace.q, trace.k, trace.v, trace.out)
        x = self._norm(x, "norm.final")
        ranges.see("final", x)
        ranges.see("logits", logits)

    def _norm(self, x: Real, name: str) -> Real:
        if self.settings.norm is None:
            return x
        root = np.sqrt((x * x).mean(axis=1, keepdims=True) + self.settings.norm.eps)
        scaled: Real = x / root * self.arrays[name]
        return scaled

    def _layer(self, n: int, x: Real, q: NDArray[Any], k: NDArray[Any], v: NDArray[Any], out: NDArray[Any]) -> Real:
        s, a, ranges, at = self.settings, self.arrays, self.ranges, f"layers.{n}."
        h = self._norm(x, at + "norm.weight")
        ranges.see_layer("h", n, h)
        if s.convolution is not None:
            h = _filtered(h, a[at + "convolution.weight"]) + a[at + "convolution.bias"]
            ranges.see_layer("filtered", n, h)
        for name, values in (("q", q), ("k", k), ("v", v)):
            ranges.see_layer(name, n, values)
        x = x + out.reshape(len(x), -1) @ a[at + "attention.wo"] + a.get(at + "attention.bo", 0.0)
        ranges.see("residual", x)
        if s.feed_forward is not None:
            h = self._norm(x, at + "feed_forward.norm")
            u = np.maximum(h @ a[at + "feed_forward.w1"] + a[at + "feed_forward.b1"], 0)
            ranges.see_layer("fed", n, h)
            ranges.see_layer("hidden", n, u)
            x = x + u @ a[at + "feed_forward.w2"] + a[at + "feed_forward.b2"]
            ranges.see("residual", x)
        return x


def _filtered(x: Real, taps: Real) -> Real:
    y = np.zeros_like(x)
    for j, weight in enumerate(taps[: len(x)]):
        y[j:] += x[: len(x) - j] * weight
    return y


@dataclasses.dataclass(frozen=True)
class _Matrix:
    """Columns in integers."""

    weights: Whole
    bias: Whole
    multipliers: Whole


def _matrix(weights: Real, bias: Real | None, unit_in: Real | float, unit_out: Real | float) -> _Matrix:
    """A matrix whose inputs and outputs have these units (a number, or one for each row and column)."""
    columns = weights.shape[1]
    folded = weights * np.broadcast_to(np.asarray(unit_in, float), len(weights))[:, None]
    out = np.broadcast_to(np.asarray(unit_out, float), columns)
    bias = np.zeros(columns) if bias is None else bias
    step = np.abs(folded).max(axis=0) / STORED
    step = np.where(step > 0, step, out / 256)
    while True:
        whole, start = np.rint(folded / step), np.rint(bias / step)
        heavy = np.abs(start) + ACTIVATION * np.abs(whole).sum(axis=0) >= SUMS
        if not heavy.any():
            return _Matrix(whole.astype(np.int64), start.astype(np.int64), _multipliers(step / out))
        step = np.where(heavy, 2 * step, step)


def _channels(weights: Real, bias: Real, unit_in: float, unit_out: float, most: int) -> _Matrix:
    """One filter a channel, [taps, channels], with inputs up to `most`: its weights fill half of what a sum holds."""
    step = np.abs(weights).sum(axis=0) * unit_in * most / (SUMS / 2)
    step = np.maximum(np.where(step > 0, step, unit_out / 256), np.abs(bias) / (SUMS / 4))
    whole, start = np.rint(weights * unit_in / step), np.rint(bias / step)
    return _Matrix(whole.astype(np.int64), start.astype(np.int64), _multipliers(step / unit_out))


def _multipliers(ratios: Real) -> Whole:
    """At least 1; 4 and more is clamped, which `_coarse` has made rare: a sum of few inputs."""
    return np.clip(np.rint(ratios * ONE), 1, 2**31 - 1).astype(np.int64)


def _coarse(unit: float, steps: Real | float) -> float:
    """A unit of what is narrowed from sums of these steps: a multiplier is less than 4."""
    return max(unit, float(np.max(steps)) / 3.99)


def _power(least: float) -> float:
    """The smallest power of two from 2^-24 to 2^24 that is not below `least`."""
    return float(2.0 ** min(24, max(-24, math.ceil(math.log2(least))))) if least > 0 else 2.0**-24


def quantise(blob: WeightBlob, frames: Iterable[ArrayLike]) -> WeightBlob:
    """The model in integers: int8 matrices, keys and values, scaled by recordings (T, input_dim) of such frames as it
    will see, which should be training data.

    InvalidConfigError (a model in integers already; one without the pyramid pattern; one without a projection whose
    normalisation has a negative scale), ShapeError (no frame), BlobHeaderError (numbers so far apart that no integers
    hold them), and those of `TemporalModel.forward`.
    """
    if blob.header.dtype == "int8":
        raise InvalidConfigError.of("blob", "a model in floating point", "int8")
    model = TemporalModel.from_blob(blob)
    if model.config.pattern != "pyramid":
        raise InvalidConfigError.of("pattern", "the pyramid, the only one in integers; train with it", "reference")
    observed = _Observed(model)
    seen = 0
    for recording in frames:
        rows = np.asarray(recording, np.float32)
        if rows.ndim != 2 or rows.shape[1] != model.input_dim:
            raise ShapeError.of("frames", f"shape (T, {model.input_dim})", rows.shape)
        if len(rows):
            observed.see(rows)
            seen += len(rows)
    if seen == 0:
        raise ShapeError.of("frames", "at least one frame", "none")
    return _convert(blob, observed)


def _convert(blob: WeightBlob, observed: _Observed) -> WeightBlob:
    s, a, ranges, h = observed.settings, observed.arrays, observed.ranges, blob.header
    q_group = h.n_q_heads // h.n_kv_heads
    found: dict[str, Any] = {}
    scales: dict[str, Any] = {}
    input_unit = _power(MARGIN["input"] * ranges.input / RESIDUAL)
    residual = MARGIN["residual"] * max(ranges.residual, 1e-30) / RESIDUAL

    # The input.
    frame = AGC_UNIT if s.agc == "mean" else input_unit
    mean = a.get("normalisation.mean", np.zeros(h.input_dim))
    scale = a.get("normalisation.scale", np.ones(h.input_dim))
    if s.projection is None and (scale < 0).any():
        raise InvalidConfigError.of("normalisation.scale", "positive numbers", float(scale.min()))
    if np.abs(mean).max() / frame > RESIDUAL:
        raise InvalidConfigError.of("normalisation.mean", f"up to {RESIDUAL * frame:g}", float(np.abs(mean).max()))
    steps = np.abs(scale) * frame
    if s.projection is not None:
        normalised = _coarse(MARGIN["activation"] * ranges.normalised / ACTIVATION, steps)
        signs = np.where(scale < 0, -1.0, 1.0)[:, None]
        weight = a["projection.weight"] * signs
        before = residual if s.stem is None else MARGIN["residual"] * ranges.projected / RESIDUAL
        made = _matrix(weight, a["projection.bias"], normalised, before)
        found["projection"] = dataclasses.replace(s.projection, weight=made.weights, bias=made.bias)
        scales["projection"] = made.multipliers
    else:
        before = residual if s.stem is None else MARGIN["residual"] * ranges.projected / RESIDUAL
        normalised = before = _coarse(before, steps)
        residual = before if s.stem is None else residual
    found["normalisation"] = NormalisationSettings(
        mean=np.rint(mean / frame).astype(np.int64), scale=_multipliers(steps / normalised)
    )
    if s.stem is not None:
        made = _channels(a["stem.weight"], a["stem.bias"], before, residual, RESIDUAL)
        found["stem"] = dataclasses.replace(s.stem, weight=made.weights, bias=made.bias)
        scales["stem"] = made.multipliers

    # Norms.
    def activation(largest: float) -> float:
        return MARGIN["activation"] * max(largest, 1e-30) / ACTIVATION if s.norm is not None else 16 * residual

    def norm(name: str, unit: float) -> Whole:
        factors = np.rint(ONE / UNIT * math.sqrt(blob.width) * a[name] / unit)
        return np.clip(factors, 1 - 2**31, 2**31 - 1).astype(np.int64)

    if s.norm is not None:
        eps = float(np.clip(np.rint(s.norm.eps * blob.width / residual**2), 1, 2**24))

    # The layers.
    layers: list[dict[str, Whole]] = []
    stacked: dict[str, list[Whole]] = {}

    def keep(name: str, values: Whole) -> None:
        stacked.setdefault(name, []).append(values)

    for n in range(h.n_layers):
        at = f"layers.{n}."
        unit = activation(float(ranges.layers["h", n]))
        if s.norm is not None:
            keep("norm.weight", norm(at + "norm.weight", unit))
        if s.convolution is not None:
            after = MARGIN["activation"] * max(float(ranges.layers["filtered", n]), 1e-30) / ACTIVATION
            made = _channels(a[at + "convolution.weight"], a[at + "convolution.bias"], unit, after, ACTIVATION)
            keep("convolution.weight", made.weights)
            keep("convolution.bias", made.bias)
            keep("integers.convolution", made.multipliers)
            unit = after
        units = {
            name: np.maximum(MARGIN[margin] * ranges.layers[name, n], 1e-30) / most
            for name, margin, most in (
                ("q", "activation", ACTIVATION),
                ("k", "stored", STORED),
                ("v", "stored", STORED),
            )
        }
        core: dict[str, Whole] = {}
        for name in "qkv":
            weight, bias = a[f"{at}attention.w{name}"], a.get(f"{at}attention.b{name}")
            made = _matrix(weight, bias, unit, np.repeat(units[name], h.head_dim))
            core["w" + name] = made.weights
            keep("bias.b" + name, made.bias)
            keep("integers." + name, made.multipliers)
        ratio = units["q"] * np.repeat(units["k"], q_group) / math.sqrt(h.head_dim) / math.log(2) * 256
        keep("integers.score", _multipliers(ratio))
        rows = np.repeat(np.repeat(units["v"], q_group), h.head_dim) / 16
        made = _matrix(a[at + "attention.wo"], a.get(at + "attention.bo"), rows, residual)
        core["wo"] = made.weights
        keep("bias.bo", made.bias)
        keep("integers.o", made.multipliers)
        layers.append(core)
        if s.feed_forward is not None:
            unit = activation(float(ranges.layers["fed", n]))
            hidden = MARGIN["activation"] * max(float(ranges.layers["hidden", n]), 1e-30) / ACTIVATION
            keep("feed_forward.norm", norm(at + "feed_forward.norm", unit))
            for which, before_it, after_it in (("1", unit, hidden), ("2", hidden, residual)):
                weight, bias = a[f"{at}feed_forward.w{which}"], a[f"{at}feed_forward.b{which}"]
                made = _matrix(weight, bias, before_it, after_it)
                keep("feed_forward.w" + which, made.weights)
                keep("feed_forward.b" + which, made.bias)
                keep("integers.w" + which, made.multipliers)

    # The outputs.
    final = activation(ranges.final)
    weight, bias = a["classifier.weight"], a.get("classifier.bias")
    step = np.abs(weight).max(axis=0) * final / STORED
    logit_unit = _power(max(float(step.max()) / 3.9, MARGIN["logits"] * ranges.logits / LOGIT))
    classifier = _matrix(weight, bias, final, logit_unit)
    scales["classifier"] = classifier.multipliers
    if s.embedding is not None:
        weight = a["embedding.weight"]
        largest = np.abs(weight).sum(axis=0).max() * ACTIVATION * final + np.abs(a["embedding.bias"]).max()
        steps = np.abs(weight).max(axis=0) * final / STORED
        made = _matrix(weight, a["embedding.bias"], final, _coarse(largest / RESIDUAL, steps))
        found["embedding"] = dataclasses.replace(s.embedding, weight=made.weights, bias=made.bias)
        scales["embedding"] = made.multipliers

    stacks: Mapping[str, Whole] = {name: np.stack(values) for name, values in stacked.items()}

    def of(section: str) -> dict[str, Whole]:
        return {name.split(".")[1]: values for name, values in stacks.items() if name.startswith(section + ".")}

    if s.norm is not None:
        found["norm"] = dataclasses.replace(s.norm, eps=eps, final=norm("norm.final", final), **of("norm"))
    if s.convolution is not None:
        found["convolution"] = dataclasses.replace(s.convolution, **of("convolution"))
    if s.bias is not None:
        found["bias"] = dataclasses.replace(s.bias, classifier=classifier.bias, **of("bias"))
    if s.feed_forward is not None:
        found["feed_forward"] = dataclasses.replace(s.feed_forward, **of("feed_forward"))
    found["integers"] = IntegerSettings(input_unit=input_unit, logit_unit=logit_unit, **of("integers"), **scales)
    assert set(CORE_NAMES) == set(layers[0])
    header = h.replace(dtype="int8", extension=True)
    return WeightBlob.from_arrays(header, layers, classifier.weights, s.replace(width=blob.width, **found))


@dataclasses.dataclass(frozen=True)
class IntegerCost:
    """How far the outputs of a model in integers are from those of the one it was made of.

    changed: share of frames whose prediction changes. logits: the root mean square of the differences, over the largest
    logit. embeddings: the mean cosine of both embeddings; None for a model without one.
    """

    frames: int
    changed: float
    logits: float
    embeddings: float | None


def integer_cost(before: WeightBlob, after: WeightBlob, frames: Iterable[ArrayLike]) -> IntegerCost:
    """Runs both over recordings (T, input_dim). The errors of `TemporalModel.forward`; ShapeError (no frame)."""
    models = [TemporalModel.from_blob(blob) for blob in (before, after)]
    embeds = models[0].embed_dim > 0
    count = changed = 0
    squares = largest = cosines = 0.0
    for recording in frames:
        (was, e), (now, f) = (model.run(recording, model.default_context, "float32", embeds) for model in models)
        count += len(was)
        changed += int((was.argmax(axis=1) != now.argmax(axis=1)).sum())
        squares += float(((now.astype(np.float64) - was) ** 2).mean(axis=1).sum())
        largest = max(largest, float(np.abs(was).max(initial=0.0)))
        if e is not None and f is not None:
            cosines += float((e.astype(np.float64) * f).sum())
    if count == 0:
        raise ShapeError.of("frames", "at least one frame", "none")
    moved = math.sqrt(squares / count)
    return IntegerCost(
        count, changed / count, moved / largest if largest > 0 else moved, cosines / count if embeds else None
    )
