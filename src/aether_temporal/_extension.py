"""The extension of a blob (`docs/spec/rvne.md`): `ModelSettings` to bytes and back.

The core checks whatever is read; this module only writes, and takes apart what the core has accepted.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._internal.convert import expect_type
from .errors import InvalidConfigError, ResultOverflowError, ShapeError
from .header import Shape, WeightBlobHeader
from .settings import (
    MAX_DUE,
    MAX_GAP,
    BiasSettings,
    ConvolutionSettings,
    EmbeddingSettings,
    FeedForwardSettings,
    ModelSettings,
    NormalisationSettings,
    NormSettings,
    PatternSettings,
    PoolingSettings,
    ProjectionSettings,
    StemSettings,
    SubcarrierSettings,
    TimingSettings,
    real_array,
)

FOOTER = struct.Struct("<IHHI")
FOOTER_MAGIC = 0x31545845
VERSION = 1
UNLIMITED = 0xFFFFFFFF
MAX_U32 = 0xFFFFFFFF
GAINS = ("none", "mean")
POOLINGS = ("newest", "mean")
ACTIVATIONS = ("none", "relu")


def padding(length: int) -> bytes:
    """Zero bytes up to the next multiple of 4."""
    return bytes(-length % 4)


def element_type(dtype: str) -> str:
    """numpy's name of the matrix elements."""
    return "<f2" if dtype == "float16" else "<f4"


def matrix_bytes(value: ArrayLike, shape: tuple[int, ...], dtype: str, field: str) -> bytes:
    """A matrix as the blob's dtype. ResultOverflowError when a value is beyond binary16."""
    array = real_array(value, shape, field)
    if dtype != "float16":
        return array.tobytes()
    with np.errstate(over="ignore"):
        half = array.astype("<f2")
    if not np.isfinite(half).all():
        worst = float(np.abs(array).max())
        raise ResultOverflowError.of(field, "magnitudes up to 65504 (binary16)", worst)
    return half.tobytes()


def _whole(value: int | None, low: int, high: int, field: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise InvalidConfigError.of(field, f"an integer from {low} to {high}", value)
    return int(value)


def _vector(value: ArrayLike, shape: tuple[int, ...], field: str) -> bytes:
    return real_array(value, shape, field).tobytes()


def _pattern(p: PatternSettings) -> bytes:
    window = UNLIMITED if p.window is None else _whole(p.window, 0, MAX_U32 - 1, "pattern.window")
    block = _whole(p.block_size, 1, MAX_U32, "pattern.block_size")
    history = 0 if p.history is None else _whole(p.history, 1, MAX_U32, "pattern.history")
    tokens = sorted({_whole(g, 0, MAX_U32, "pattern.global_tokens") for g in p.global_tokens})
    switches = int(p.use_log_stride) | int(p.use_landmarks) << 1
    return struct.pack(f"<5I{len(tokens)}I", window, block, history, switches, len(tokens), *tokens)


def _subcarriers(c: SubcarrierSettings, s: Shape) -> bytes:
    index = np.asarray(c.index)
    pairs = _whole(c.n_pairs, 1, 0xFFFF, "subcarriers.n_pairs")
    if index.shape != (s.input_dim,):
        raise ShapeError.of("subcarriers.index", f"shape {(s.input_dim,)}", index.shape)
    for i in index.tolist():
        _whole(i, 0, pairs - 1, "subcarriers.index")
    return struct.pack("<I", pairs) + index.astype("<u2").tobytes()


def _norm(n: NormSettings, s: Shape) -> bytes:
    if not (math.isfinite(n.eps) and np.float32(n.eps) > 0):
        raise InvalidConfigError.of("norm.eps", "a number above 0", n.eps)
    layers = _vector(n.layers, (s.layers, s.width), "norm.layers")
    return struct.pack("<f", n.eps) + layers + _vector(n.final, (s.width,), "norm.final")


def _convolution(c: ConvolutionSettings, s: Shape) -> bytes:
    kernel_shape = np.shape(c.kernel)
    if len(kernel_shape) != 3 or not 1 <= kernel_shape[1] <= 64:
        raise ShapeError.of("convolution.kernel", "shape (layers, 1 to 64 taps, width)", kernel_shape)
    taps = kernel_shape[1]
    kernel = real_array(c.kernel, (s.layers, taps, s.width), "convolution.kernel")
    bias = real_array(c.bias, (s.layers, s.width), "convolution.bias")
    return struct.pack("<I", taps) + b"".join(b.tobytes() + k.tobytes() for b, k in zip(bias, kernel, strict=True))


def _bias(b: BiasSettings, s: Shape) -> bytes:
    parts = [
        real_array(b.q, (s.layers, s.q), "bias.q"),
        real_array(b.k, (s.layers, s.kv), "bias.k"),
        real_array(b.v, (s.layers, s.kv), "bias.v"),
        real_array(b.o, (s.layers, s.width), "bias.o"),
    ]
    layers = b"".join(part[layer].tobytes() for layer in range(s.layers) for part in parts)
    return layers + _vector(b.classifier, (s.classes,), "bias.classifier")


def _feed_forward(f: FeedForwardSettings, s: Shape) -> bytes:
    shape = np.shape(f.b1)
    if len(shape) != 2 or shape[1] < 1:
        raise ShapeError.of("feed_forward.b1", "shape (layers, hidden)", shape)
    hidden = shape[1]
    gain = real_array(f.gain, (s.layers, s.width), "feed_forward.gain")
    b1 = real_array(f.b1, (s.layers, hidden), "feed_forward.b1")
    b2 = real_array(f.b2, (s.layers, s.width), "feed_forward.b2")
    w1 = real_array(f.w1, (s.layers, s.width, hidden), "feed_forward.w1")
    w2 = real_array(f.w2, (s.layers, hidden, s.width), "feed_forward.w2")
    out = [struct.pack("<I", hidden)]
    out += [row.tobytes() for layer in zip(gain, b1, b2, strict=True) for row in layer]
    for first, second in zip(w1, w2, strict=True):
        out.append(matrix_bytes(first, (s.width, hidden), s.dtype, "feed_forward.w1"))
        out.append(matrix_bytes(second, (hidden, s.width), s.dtype, "feed_forward.w2"))
    return b"".join(out)


def _pooling(p: PoolingSettings) -> bytes:
    if p.kind not in POOLINGS:
        raise InvalidConfigError.of("pooling.kind", " or ".join(POOLINGS), p.kind)
    frames = _whole(p.frames, 1, 1 if p.kind == "newest" else 0xFFFF, "pooling.frames")
    return struct.pack("<II", POOLINGS.index(p.kind), frames)


def _embedding(e: EmbeddingSettings, s: Shape) -> bytes:
    shape = np.shape(e.bias)
    if len(shape) != 1 or shape[0] < 1:
        raise ShapeError.of("embedding.bias", "shape (dim,)", shape)
    bias = _vector(e.bias, shape, "embedding.bias")
    matrix = matrix_bytes(e.matrix, (s.width, shape[0]), s.dtype, "embedding.matrix")
    return struct.pack("<I", shape[0]) + bias + matrix


def _stem(f: StemSettings, s: Shape) -> bytes:
    shape = np.shape(f.kernel)
    if len(shape) != 2 or not 1 <= shape[0] <= 64:
        raise ShapeError.of("stem.kernel", "shape (1 to 64 taps, width)", shape)
    if f.activation not in ACTIVATIONS:
        raise InvalidConfigError.of("stem.activation", " or ".join(ACTIVATIONS), f.activation)
    bias = _vector(f.bias, (s.width,), "stem.bias")
    kernel = _vector(f.kernel, (shape[0], s.width), "stem.kernel")
    return struct.pack("<II", shape[0], ACTIVATIONS.index(f.activation)) + bias + kernel


def _timing(t: TimingSettings, frame_rate: float | None) -> bytes:
    delay = _whole(t.delay, 0, 0xFFFF, "timing.delay")
    if t.period_us is None:
        if t.max_gap_us is not None:
            raise InvalidConfigError.of("timing.max_gap_us", "None without a period_us", t.max_gap_us)
        return struct.pack("<3I", delay, 0, 0)
    period = _whole(t.period_us, 1, MAX_GAP, "timing.period_us")
    if frame_rate is not None and abs(frame_rate * period / 1e6 - 1) > 0.01:
        raise InvalidConfigError.of("timing.period_us", f"about {1e6 / frame_rate:.0f}, of the frame_rate", period)
    most = min(MAX_GAP, MAX_DUE * period)
    return struct.pack("<3I", delay, period, _whole(t.max_gap_us, period, most, "timing.max_gap_us"))


def _text(value: str, field: str) -> bytes:
    expect_type(value, str, field, "text")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise InvalidConfigError.of(field, "text that UTF-8 can hold", repr(value)) from None


def _class_names(names: list[str], s: Shape) -> bytes:
    if len(names) != s.classes:
        raise ShapeError.of("class_names", f"{s.classes} names", len(names))
    for name in names:
        expect_type(name, str, "class_names", "text")
        if "\0" in name:
            raise InvalidConfigError.of("class_names", "text without a zero character", repr(name))
    return b"".join(_text(name, "class_names") + b"\0" for name in names)


def _sections(settings: ModelSettings, s: Shape) -> dict[int, bytes]:
    """Payload of each section that is there, by its id, ascending."""
    out: dict[int, bytes] = {}
    if settings.pattern is not None:
        out[1] = _pattern(settings.pattern)
    if settings.subcarriers is not None:
        out[2] = _subcarriers(settings.subcarriers, s)
    if settings.gain is not None:
        if settings.gain not in GAINS:
            raise InvalidConfigError.of("gain", " or ".join(GAINS), settings.gain)
        out[3] = struct.pack("<I", GAINS.index(settings.gain))
    if (n := settings.normalisation) is not None:
        shape = (s.input_dim,)
        out[4] = _vector(n.mean, shape, "normalisation.mean") + _vector(n.scale, shape, "normalisation.scale")
    if (p := settings.projection) is not None:
        matrix = matrix_bytes(p.matrix, (s.input_dim, s.width), s.dtype, "projection.matrix")
        out[5] = _vector(p.bias, (s.width,), "projection.bias") + matrix
    if settings.norm is not None:
        out[6] = _norm(settings.norm, s)
    if settings.convolution is not None:
        out[7] = _convolution(settings.convolution, s)
    if settings.bias is not None:
        out[8] = _bias(settings.bias, s)
    if settings.feed_forward is not None:
        out[9] = _feed_forward(settings.feed_forward, s)
    if settings.pooling is not None:
        out[10] = _pooling(settings.pooling)
    if settings.embedding is not None:
        out[11] = _embedding(settings.embedding, s)
    if settings.class_names is not None:
        out[12] = _class_names(list(settings.class_names), s)
    if settings.frame_rate is not None:
        rate = np.float32(settings.frame_rate)
        if not (np.isfinite(rate) and rate > 0):
            raise InvalidConfigError.of("frame_rate", "a number above 0", settings.frame_rate)
        out[13] = rate.astype("<f4").tobytes()
    if settings.provenance is not None:
        out[14] = _text(settings.provenance, "provenance")
    if settings.stem is not None:
        out[15] = _stem(settings.stem, s)
    if settings.timing is not None:
        out[16] = _timing(settings.timing, settings.frame_rate)
    return out


def width_for(settings: ModelSettings | None, header: WeightBlobHeader) -> int:
    """Model width that settings ask for. InvalidConfigError."""
    width = None if settings is None else settings.width
    return header.input_dim if width is None else _whole(width, 1, 0xFFFF, "width")


def encode(settings: ModelSettings, header: WeightBlobHeader) -> bytes:
    """What follows the core arrays inside `weights`: padding, sections, footer."""
    width = width_for(settings, header)
    if settings.projection is None and width != header.input_dim:
        raise InvalidConfigError.of("projection", f"a projection (width {width}, input_dim {header.input_dim})", None)
    if settings.feed_forward is not None and settings.norm is None:
        raise InvalidConfigError.of("norm", "a norm, since there is a feed_forward", None)
    shape = Shape.of(header, width)
    out = [padding(shape.core_bytes)]
    for ident, payload in _sections(settings, shape).items():
        out += [struct.pack("<HHI", ident, 0, len(payload)), payload, padding(len(payload))]
    body = b"".join(out)
    return body + FOOTER.pack(len(body) + FOOTER.size, width, VERSION, FOOTER_MAGIC)


class _Reader:
    """Takes a payload apart, front to back."""

    def __init__(self, payload: bytes, dtype: str) -> None:
        self.payload, self.dtype, self.at = payload, dtype, 0

    def u32(self) -> int:
        value: int = struct.unpack_from("<I", self.payload, self.at)[0]
        self.at += 4
        return value

    def array(self, *shape: int, kind: str = "<f4") -> NDArray[np.float32]:
        flat = np.frombuffer(self.payload, kind, math.prod(shape), self.at)
        self.at += flat.nbytes
        return flat.astype(np.float32).reshape(shape)

    def matrix(self, *shape: int) -> NDArray[np.float32]:
        return self.array(*shape, kind=element_type(self.dtype))


def _read_pattern(r: _Reader, s: Shape) -> PatternSettings:
    window, block, history, switches, n = (r.u32() for _ in range(5))
    return PatternSettings(
        window=None if window == UNLIMITED else window,
        block_size=block,
        history=history or None,
        use_log_stride=bool(switches & 1),
        use_landmarks=bool(switches & 2),
        global_tokens=tuple(r.u32() for _ in range(n)),
    )


def _read_subcarriers(r: _Reader, s: Shape) -> SubcarrierSettings:
    pairs = r.u32()
    return SubcarrierSettings(pairs, np.frombuffer(r.payload, "<u2", s.input_dim, r.at).copy())


def _read_normalisation(r: _Reader, s: Shape) -> NormalisationSettings:
    return NormalisationSettings(mean=r.array(s.input_dim), scale=r.array(s.input_dim))


def _read_projection(r: _Reader, s: Shape) -> ProjectionSettings:
    bias = r.array(s.width)
    return ProjectionSettings(matrix=r.matrix(s.input_dim, s.width), bias=bias)


def _read_norm(r: _Reader, s: Shape) -> NormSettings:
    eps = float(r.array(1)[0])
    return NormSettings(layers=r.array(s.layers, s.width), final=r.array(s.width), eps=eps)


def _read_convolution(r: _Reader, s: Shape) -> ConvolutionSettings:
    taps = r.u32()
    rows = r.array(s.layers, 1 + taps, s.width)
    return ConvolutionSettings(kernel=rows[:, 1:], bias=rows[:, 0])


def _read_bias(r: _Reader, s: Shape) -> BiasSettings:
    rows = r.array(s.layers, s.q + 2 * s.kv + s.width)
    q, k, v, o = np.split(rows, np.cumsum([s.q, s.kv, s.kv]), axis=1)
    return BiasSettings(q=q, k=k, v=v, o=o, classifier=r.array(s.classes))


def _read_feed_forward(r: _Reader, s: Shape) -> FeedForwardSettings:
    hidden = r.u32()
    rows = r.array(s.layers, 2 * s.width + hidden)
    gain, b1, b2 = np.split(rows, np.cumsum([s.width, hidden]), axis=1)
    both = r.matrix(s.layers, 2, s.width * hidden)
    w1 = both[:, 0].reshape(s.layers, s.width, hidden)
    w2 = both[:, 1].reshape(s.layers, hidden, s.width)
    return FeedForwardSettings(gain=gain, w1=w1, b1=b1, w2=w2, b2=b2)


def _read_pooling(r: _Reader, s: Shape) -> PoolingSettings:
    kind = r.u32()
    return PoolingSettings("mean" if kind else "newest", r.u32())


def _read_embedding(r: _Reader, s: Shape) -> EmbeddingSettings:
    dim = r.u32()
    bias = r.array(dim)
    return EmbeddingSettings(matrix=r.matrix(s.width, dim), bias=bias)


def _read_stem(r: _Reader, s: Shape) -> StemSettings:
    taps, activation = r.u32(), r.u32()
    bias = r.array(s.width)
    return StemSettings(kernel=r.array(taps, s.width), bias=bias, activation="relu" if activation else "none")


def _read_timing(r: _Reader, s: Shape) -> TimingSettings:
    delay, period, max_gap = (r.u32() for _ in range(3))
    return TimingSettings(delay, period or None, max_gap or None)


_READERS: dict[int, tuple[str, Callable[[_Reader, Shape], object]]] = {
    1: ("pattern", _read_pattern),
    2: ("subcarriers", _read_subcarriers),
    3: ("gain", lambda r, s: GAINS[r.u32()]),
    4: ("normalisation", _read_normalisation),
    5: ("projection", _read_projection),
    6: ("norm", _read_norm),
    7: ("convolution", _read_convolution),
    8: ("bias", _read_bias),
    9: ("feed_forward", _read_feed_forward),
    10: ("pooling", _read_pooling),
    11: ("embedding", _read_embedding),
    12: ("class_names", lambda r, s: tuple(n.decode() for n in r.payload.split(b"\0")[: s.classes])),
    13: ("frame_rate", lambda r, s: float(r.array(1)[0])),
    14: ("provenance", lambda r, s: r.payload.decode()),
    15: ("stem", _read_stem),
    16: ("timing", _read_timing),
}


def width_of(weights: bytes) -> int:
    """Model width of weights that end in an extension."""
    return int(FOOTER.unpack_from(weights, len(weights) - FOOTER.size)[1])


def decode(weights: bytes, header: WeightBlobHeader) -> ModelSettings:
    """Settings of weights that end in an extension and that the core has accepted."""
    _, width, _, _ = FOOTER.unpack_from(weights, len(weights) - FOOTER.size)
    shape = Shape.of(header, width)
    at = shape.core_bytes + len(padding(shape.core_bytes))
    found: dict[str, object] = {"width": width}
    while at < len(weights) - FOOTER.size:
        ident, _, size = struct.unpack_from("<HHI", weights, at)
        at += 8
        name, read = _READERS[ident]
        found[name] = read(_Reader(weights[at : at + size], header.dtype), shape)
        at += size + len(padding(size))
    return ModelSettings(**found)  # type: ignore[arg-type]
