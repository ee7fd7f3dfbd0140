"""docs/spec/rvne.md: reading and writing a blob."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from .numeric import Matrix, Vector, crc32, float_from_half, floats, is_finite
from .pattern import Pattern
from .status import Refused

MAGIC = 0x52564E45
EXTENSION_MAGIC = 0x31545845
BINARY16, EXTENSION = 1, 2
UNLIMITED = 0xFFFFFFFF

PATTERN, SUBCARRIERS, GAIN, NORMALISATION, PROJECTION, NORM, CONVOLUTION, BIAS = range(1, 9)
FEED_FORWARD, POOLING, EMBEDDING, CLASS_NAMES, FRAME_RATE, PROVENANCE, STEM, TIMING = range(9, 17)


@dataclass(frozen=True)
class Header:
    """The header's fields but magic, version and length."""

    input_dim: int
    n_q_heads: int
    n_kv_heads: int
    head_dim: int
    n_layers: int
    n_classes: int
    flags: int = 0

    @property
    def element(self) -> int:
        """Bytes of a weight."""
        return 2 if self.flags & BINARY16 else 4

    def core_shapes(self, width: int) -> list[tuple[int, int]]:
        """Shapes of the core arrays, in order."""
        q, kv = self.n_q_heads * self.head_dim, self.n_kv_heads * self.head_dim
        layer = [(width, q), (width, kv), (width, kv), (q, width)]
        return layer * self.n_layers + [(width, self.n_classes)]


def seal(header: Header, weights: bytes) -> bytes:
    """Header, weights, CRC."""
    head = struct.pack(
        "<IHBBHHHHHHI",
        MAGIC,
        1,
        header.flags,
        0,
        header.input_dim,
        header.n_q_heads,
        header.n_kv_heads,
        header.head_dim,
        header.n_layers,
        header.n_classes,
        len(weights),
    )
    return head + weights + struct.pack("<I", crc32(head + weights))


def _pad4(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def build(header: Header, core: bytes, width: int = 0, sections: Mapping[int, bytes] | None = None) -> bytes:
    """A blob; `sections` maps ids to payloads and makes it an extended one."""
    if not header.flags & EXTENSION:
        return seal(header, core)
    extension = bytes(-len(core) % 4)
    for number, payload in sorted((sections or {}).items()):
        extension += struct.pack("<HHI", number, 0, len(payload)) + _pad4(payload)
    extension += struct.pack("<IHHI", len(extension) + 12, width, 1, EXTENSION_MAGIC)
    return seal(header, core + extension)


@dataclass
class Layer:
    """One layer's arrays; an absent section leaves None."""

    wq: Matrix
    wk: Matrix
    wv: Matrix
    wo: Matrix
    norm: Vector | None = None
    conv_bias: Vector | None = None
    conv: Matrix | None = None
    bq: Vector | None = None
    bk: Vector | None = None
    bv: Vector | None = None
    bo: Vector | None = None
    ffn_norm: Vector = field(default_factory=list)
    b1: Vector = field(default_factory=list)
    b2: Vector = field(default_factory=list)
    w1: Matrix | None = None
    w2: Matrix | None = None


@dataclass
class Blob:
    """A parsed blob."""

    header: Header
    width: int
    pattern: Pattern
    layers: list[Layer]
    classifier: Matrix
    classifier_bias: Vector | None = None
    gain: int = 0
    mean: Vector | None = None
    scale: Vector | None = None
    projection: Matrix | None = None
    projection_bias: Vector | None = None
    stem_bias: Vector | None = None
    stem: Matrix | None = None
    stem_relu: bool = False
    eps: Vector | None = None
    final_norm: Vector | None = None
    pool_mean: bool = False
    pool_frames: int = 1
    embedding: Matrix | None = None
    embedding_bias: Vector | None = None


class _Reader:
    """Takes typed pieces off the front of some bytes."""

    def __init__(self, data: bytes, element: int) -> None:
        self.data, self.element = data, element

    def take(self, n: int) -> bytes:
        if n > len(self.data):
            raise Refused("BLOB_HEADER", "too short")
        piece, self.data = self.data[:n], self.data[n:]
        return piece

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def vector(self, n: int) -> Vector:
        return _finite(floats(self.take(4 * n)))

    def matrix(self, rows: int, columns: int) -> Matrix:
        raw = self.take(rows * columns * self.element)
        flat = _finite(floats(raw)) if self.element == 4 else [_widen(h) for (h,) in struct.iter_unpack("<H", raw)]
        return [flat[r * columns : (r + 1) * columns] for r in range(rows)]

    def end(self) -> None:
        if self.data:
            raise Refused("BLOB_HEADER", "too long")


def _finite(values: Vector) -> Vector:
    if not all(is_finite(x) for x in values):
        raise Refused("BLOB_HEADER", "weight not finite")
    return values


def _widen(half: int) -> np.float32:
    if half & 0x7C00 == 0x7C00:
        raise Refused("BLOB_HEADER", "weight not finite")
    return float_from_half(half)


def _need(condition: bool, what: str, status: str = "BLOB_HEADER") -> None:
    if not condition:
        raise Refused(status, what)


def parse(data: bytes) -> Blob:
    """Check and read a whole blob."""
    _need(len(data) >= 28, "length", "BLOB_SHORT")
    magic, version, flags, reserved, dim, q_heads, kv_heads, head_dim, n_layers, n_classes, weights_len = (
        struct.unpack_from("<IHBBHHHHHHI", data)
    )
    _need(magic == MAGIC, "magic", "BLOB_MAGIC")
    _need(version == 1, "version", "BLOB_VERSION")
    _need(28 + weights_len == len(data), "length", "BLOB_LENGTH")
    _need(crc32(data[:-4]) == int.from_bytes(data[-4:], "little"), "crc", "BLOB_CRC")
    _need(flags & ~3 == 0, "flags", "BLOB_FLAGS")
    _need(reserved == 0, "reserved")
    header = Header(dim, q_heads, kv_heads, head_dim, n_layers, n_classes, flags)
    values = (dim, q_heads, kv_heads, head_dim, n_layers)
    _need(all(v > 0 for v in values) and n_classes >= 2, "value")
    _need(header.n_q_heads % header.n_kv_heads == 0, "n_kv_heads")
    weights = data[24:-4]
    width, sections = header.input_dim, {}
    if flags & EXTENSION:
        _need(len(weights) >= 12, "footer")
        extension_len, width, ext_version, ext_magic = struct.unpack("<IHHI", weights[-12:])
        _need(ext_magic == EXTENSION_MAGIC and ext_version == 1 and width > 0, "footer")
        core_len = sum(r * c for r, c in header.core_shapes(width)) * header.element
        _need(core_len + extension_len == len(weights) and extension_len >= 12, "extension_len")
        sections = _sections(weights[core_len:-12], -core_len % 4)
        weights = weights[:core_len]
    core = _Reader(weights, header.element)
    arrays = [core.matrix(r, c) for r, c in header.core_shapes(width)]
    core.end()
    layers = [
        Layer(q, k, v, o) for q, k, v, o in zip(*(arrays[i : 4 * header.n_layers : 4] for i in range(4)), strict=True)
    ]
    blob = Blob(header, width, Pattern(), layers, arrays[-1])
    _need(width == header.input_dim or PROJECTION in sections, "projection")
    for number, payload in sections.items():
        reader = _Reader(payload, header.element)
        _read_section(blob, number, reader)
        reader.end()
    return blob


def _sections(data: bytes, padding: int) -> dict[int, bytes]:
    _need(not any(data[:padding]), "padding")
    at, found, last = padding, {}, 0
    while at < len(data):
        _need(at + 8 <= len(data), "section header")
        number, reserved, length = struct.unpack_from("<HHI", data, at)
        _need(reserved == 0 and last < number <= TIMING, "section id")
        end = at + 8 + length
        stop = end + -length % 4
        _need(stop <= len(data) and not any(data[end:stop]), "section")
        found[number], last, at = data[at + 8 : end], number, stop
    return found


def _read_section(blob: Blob, number: int, r: _Reader) -> None:
    h, w = blob.header, blob.width
    if number == PATTERN:
        window, block, history, switches, n = (r.u32() for _ in range(5))
        _need(block > 0 and switches <= 3, "pattern")
        tokens = tuple(r.u32() for _ in range(n))
        _need(all(a < b for a, b in pairwise(tokens)), "globals")
        blob.pattern = Pattern(
            1 << 62 if window == UNLIMITED else window,
            block,
            True,
            tokens,
            bool(switches & 1),
            bool(switches & 2),
            history,
        )
    elif number == SUBCARRIERS:
        pairs = r.u32()
        indices = struct.unpack(f"<{h.input_dim}H", r.take(2 * h.input_dim))
        _need(all(i < pairs for i in indices), "subcarriers")
    elif number == GAIN:
        blob.gain = r.u32()
        _need(blob.gain <= 1, "gain")
    elif number == NORMALISATION:
        blob.mean, blob.scale = r.vector(h.input_dim), r.vector(h.input_dim)
    elif number == PROJECTION:
        blob.projection_bias, blob.projection = r.vector(w), r.matrix(h.input_dim, w)
    elif number == NORM:
        blob.eps = r.vector(1)
        _need(bool(blob.eps[0] > 0), "eps")
        for layer in blob.layers:
            layer.norm = r.vector(w)
        blob.final_norm = r.vector(w)
    elif number == CONVOLUTION:
        taps = r.u32()
        _need(1 <= taps <= 64, "taps")
        for layer in blob.layers:
            layer.conv_bias = r.vector(w)
            layer.conv = [r.vector(w) for _ in range(taps)]
    elif number == BIAS:
        q, kv = h.n_q_heads * h.head_dim, h.n_kv_heads * h.head_dim
        for layer in blob.layers:
            layer.bq, layer.bk, layer.bv, layer.bo = r.vector(q), r.vector(kv), r.vector(kv), r.vector(w)
        blob.classifier_bias = r.vector(h.n_classes)
    elif number == FEED_FORWARD:
        hidden = r.u32()
        _need(hidden > 0 and blob.eps is not None, "feed-forward")
        for layer in blob.layers:
            layer.ffn_norm, layer.b1, layer.b2 = r.vector(w), r.vector(hidden), r.vector(w)
        for layer in blob.layers:
            layer.w1, layer.w2 = r.matrix(w, hidden), r.matrix(hidden, w)
    elif number == POOLING:
        kind, blob.pool_frames = r.u32(), r.u32()
        _need(kind <= 1 and 1 <= blob.pool_frames <= 0xFFFF and (kind == 1 or blob.pool_frames == 1), "pooling")
        blob.pool_mean = kind == 1
    elif number == EMBEDDING:
        dim = r.u32()
        _need(dim > 0, "embedding")
        blob.embedding_bias, blob.embedding = r.vector(dim), r.matrix(w, dim)
    elif number == CLASS_NAMES:
        _need(r.data.count(0) == h.n_classes and r.data.endswith(b"\0"), "class names")
        _utf8(r.take(len(r.data)))
    elif number == FRAME_RATE:
        _need(bool(r.vector(1)[0] > 0), "frame rate")
    elif number == STEM:
        taps, activation = r.u32(), r.u32()
        _need(1 <= taps <= 64 and activation <= 1, "stem")
        blob.stem_relu, blob.stem_bias = activation == 1, r.vector(w)
        blob.stem = [r.vector(w) for _ in range(taps)]
    elif number == TIMING:
        delay, period, max_gap = (r.u32() for _ in range(3))
        _need(delay <= 0xFFFF and period <= 1 << 24, "timing")
        _need(max_gap == 0 if period == 0 else period <= max_gap <= min(1 << 24, 4096 * period), "max gap")
    else:
        _utf8(r.take(len(r.data)))


def _utf8(data: bytes) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("BLOB_HEADER", "text") from error


def pattern_payload(p: Pattern) -> bytes:
    """Section 1."""
    window = min(p.window, UNLIMITED)
    switches = int(p.log_stride) | int(p.landmarks) << 1
    return struct.pack(
        f"<5I{len(p.globals_)}I", window, p.block_size, p.history, switches, len(p.globals_), *p.globals_
    )


def words(values: Sequence[int]) -> bytes:
    """u32 values as bytes."""
    return struct.pack(f"<{len(values)}I", *values)
