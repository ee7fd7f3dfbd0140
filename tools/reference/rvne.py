"""docs/spec/rvne.md: reading and writing a blob."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import numpy as np

from . import Rejected, integers
from .numeric import Matrix, Vector, crc32, float_from_half, floats, is_finite
from .pattern import Pattern
from .resample import MAX_DUE

MAGIC = 0x52564E45
EXTENSION_MAGIC = 0x31545845
BINARY16, EXTENSION, INT8 = 1, 2, 4
UNLIMITED = 0xFFFFFFFF

CORE, PATTERN, SUBCARRIERS, AGC, NORMALISATION, PROJECTION, NORM, CONVOLUTION, BIAS = range(9)
FEED_FORWARD, POOLING, EMBEDDING, CLASS_NAMES, FRAME_RATE, PROVENANCE, STEM, TIMING = range(9, 17)
SUBCARRIER_NUMBERS, CALIBRATION, INTEGERS = range(17, 20)


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
        return 1 if self.flags & INT8 else 2 if self.flags & BINARY16 else 4

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


@dataclass(frozen=True)
class Array:
    """An array of a section: its shape by names of sizes, or numbers; `layers`: one a layer; `matrix`: of the blob's
    own type. Neighbours that are alike in both stand together, layer by layer. `within`: the section with which it is
    there."""

    name: str
    shape: tuple[str | int, ...]
    layers: bool = False
    matrix: bool = False
    within: int = CORE


@dataclass(frozen=True)
class Section:
    """A section: u32 values (name, least, most), with least None a binary32 above 0; then arrays. A section with a
    reader of its own in `_read_other` has neither."""

    values: tuple[tuple[str, int | None, int], ...] = ()
    arrays: tuple[Array, ...] = ()


ANY = (1 << 31) - 1
SECTIONS = {
    CORE: Section(
        arrays=(
            Array("attention.wq", ("width", "q_width"), layers=True, matrix=True),
            Array("attention.wk", ("width", "kv_width"), layers=True, matrix=True),
            Array("attention.wv", ("width", "kv_width"), layers=True, matrix=True),
            Array("attention.wo", ("q_width", "width"), layers=True, matrix=True),
            Array("classifier.weight", ("width", "n_classes"), matrix=True),
        )
    ),
    PATTERN: Section(),
    SUBCARRIERS: Section(),
    AGC: Section((("agc.kind", 0, 1),)),
    NORMALISATION: Section(
        arrays=(Array("normalisation.mean", ("input_dim",)), Array("normalisation.scale", ("input_dim",)))
    ),
    PROJECTION: Section(
        arrays=(
            Array("projection.bias", ("width",)),
            Array("projection.weight", ("input_dim", "width"), matrix=True),
        )
    ),
    NORM: Section(
        (("norm.eps", None, 0),),
        (Array("norm.weight", ("width",), layers=True), Array("norm.final", ("width",))),
    ),
    CONVOLUTION: Section(
        (("convolution.taps", 1, 64),),
        (
            Array("convolution.bias", ("width",), layers=True),
            Array("convolution.weight", ("convolution.taps", "width"), layers=True),
        ),
    ),
    BIAS: Section(
        arrays=(
            Array("attention.bq", ("q_width",), layers=True),
            Array("attention.bk", ("kv_width",), layers=True),
            Array("attention.bv", ("kv_width",), layers=True),
            Array("attention.bo", ("width",), layers=True),
            Array("classifier.bias", ("n_classes",)),
        )
    ),
    FEED_FORWARD: Section(
        (("feed_forward.hidden", 1, ANY),),
        (
            Array("feed_forward.norm", ("width",), layers=True),
            Array("feed_forward.b1", ("feed_forward.hidden",), layers=True),
            Array("feed_forward.b2", ("width",), layers=True),
            Array("feed_forward.w1", ("width", "feed_forward.hidden"), layers=True, matrix=True),
            Array("feed_forward.w2", ("feed_forward.hidden", "width"), layers=True, matrix=True),
        ),
    ),
    POOLING: Section((("pooling.kind", 0, 1), ("pooling.n", 1, 0xFFFF))),
    EMBEDDING: Section(
        (("embedding.dim", 1, ANY),),
        (
            Array("embedding.bias", ("embedding.dim",)),
            Array("embedding.weight", ("width", "embedding.dim"), matrix=True),
        ),
    ),
    CLASS_NAMES: Section(),
    FRAME_RATE: Section((("frame_rate", None, 0),)),
    PROVENANCE: Section(),
    STEM: Section(
        (("stem.taps", 1, 64), ("stem.activation", 0, 1)),
        (Array("stem.bias", ("width",)), Array("stem.weight", ("stem.taps", "width"))),
    ),
    TIMING: Section((("timing.label_delay", 0, 0xFFFF), ("timing.period", 0, 1 << 24), ("timing.max_gap", 0, 1 << 24))),
    SUBCARRIER_NUMBERS: Section(),
    CALIBRATION: Section((("calibration.temperature", None, 0),)),
    INTEGERS: Section(
        (("integers.input_unit", None, 0), ("integers.logit_unit", None, 0)),
        (
            Array("integers.q", ("q_width",), layers=True),
            Array("integers.k", ("kv_width",), layers=True),
            Array("integers.v", ("kv_width",), layers=True),
            Array("integers.o", ("width",), layers=True),
            Array("integers.score", ("n_q_heads",), layers=True),
            Array("integers.convolution", ("width",), layers=True, within=CONVOLUTION),
            Array("integers.w1", ("feed_forward.hidden",), layers=True, within=FEED_FORWARD),
            Array("integers.w2", ("width",), layers=True, within=FEED_FORWARD),
            Array("integers.classifier", ("n_classes",)),
            Array("integers.projection", ("width",), within=PROJECTION),
            Array("integers.stem", ("width",), within=STEM),
            Array("integers.embedding", ("embedding.dim",), within=EMBEDDING),
        ),
    ),
}


@dataclass
class Blob:
    """A parsed blob: values and arrays by name; those of layer n begin with "layers.n."."""

    header: Header
    width: int
    pattern: Pattern = field(default_factory=Pattern)
    values: dict[str, int] = field(default_factory=dict)
    reals: dict[str, np.float32] = field(default_factory=dict)
    vectors: dict[str, Vector] = field(default_factory=dict)
    matrices: dict[str, Matrix] = field(default_factory=dict)
    integers: dict[str, list[int]] = field(default_factory=dict)  # all arrays of an int8 blob, rows one after the other

    def size(self, name: str | int) -> int:
        """A size by name; a number is one itself."""
        if isinstance(name, int):
            return name
        h = self.header
        sizes = {
            "input_dim": h.input_dim,
            "width": self.width,
            "q_width": h.n_q_heads * h.head_dim,
            "kv_width": h.n_kv_heads * h.head_dim,
            "n_classes": h.n_classes,
            "n_q_heads": h.n_q_heads,
        }
        return sizes[name] if name in sizes else self.values[name]


class _Reader:
    """Takes typed pieces off the front of some bytes."""

    def __init__(self, data: bytes, element: int) -> None:
        self.data, self.element = data, element

    def take(self, n: int) -> bytes:
        if n > len(self.data):
            raise Rejected("BLOB_HEADER", "too short")
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

    def integers(self, count: int, size: int) -> list[int]:
        """Signed integers of so many bytes each."""
        raw = self.take(count * size)
        return [int.from_bytes(raw[at : at + size], "little", signed=True) for at in range(0, len(raw), size)]

    def end(self) -> None:
        if self.data:
            raise Rejected("BLOB_HEADER", "too long")


def _finite(values: Vector) -> Vector:
    if not all(is_finite(x) for x in values):
        raise Rejected("BLOB_HEADER", "weight not finite")
    return values


def _widen(half: int) -> np.float32:
    if half & 0x7C00 == 0x7C00:
        raise Rejected("BLOB_HEADER", "weight not finite")
    return float_from_half(half)


def _need(condition: bool, what: str, status: str = "BLOB_HEADER") -> None:
    if not condition:
        raise Rejected(status, what)


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
    _need(flags & ~7 == 0 and (flags & INT8 == 0 or flags & 3 == EXTENSION), "flags", "BLOB_FLAGS")
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
    blob = Blob(header, width)
    _need(width == header.input_dim or PROJECTION in sections, "projection")
    for number, payload in {CORE: weights, **sections}.items():
        reader = _Reader(payload, header.element)
        present = {CORE, *sections}
        _read_section(blob, number, reader, present)
        reader.end()
    _need((INTEGERS in sections) == bool(flags & INT8), "integers")
    if flags & INT8:
        integers.check(blob)
    return blob


def _sections(data: bytes, padding: int) -> dict[int, bytes]:
    _need(not any(data[:padding]), "padding")
    at, found, last = padding, {}, 0
    while at < len(data):
        _need(at + 8 <= len(data), "section header")
        number, reserved, length = struct.unpack_from("<HHI", data, at)
        _need(reserved == 0 and last < number <= max(SECTIONS), "section id")
        end = at + 8 + length
        stop = end + -length % 4
        _need(stop <= len(data) and not any(data[end:stop]), "section")
        found[number], last, at = data[at + 8 : end], number, stop
    return found


def _read_section(blob: Blob, number: int, r: _Reader, present: set[int]) -> None:
    for name, least, most in SECTIONS[number].values:
        if least is None:
            blob.reals[name] = r.vector(1)[0]
            _need(bool(blob.reals[name] > 0), name)
        else:
            blob.values[name] = r.u32()
            _need(least <= blob.values[name] <= most, name)
    for (layers, _), run in groupby(SECTIONS[number].arrays, lambda array: (array.layers, array.matrix)):
        alike = [array for array in run if array.within in present]
        for prefix in [f"layers.{n}." for n in range(blob.header.n_layers)] if layers else [""]:
            for array in alike:
                _read_array(blob, array, prefix + array.name, r)
    _read_other(blob, number, r)


def _read_array(blob: Blob, array: Array, name: str, r: _Reader) -> None:
    rows, *columns = (blob.size(size) for size in array.shape)
    if blob.header.flags & INT8:
        blob.integers[name] = r.integers(rows * (columns or [1])[0], 1 if array.matrix else 4)
    elif not columns:
        blob.vectors[name] = r.vector(rows)
    elif array.matrix:
        blob.matrices[name] = r.matrix(rows, columns[0])
    else:
        blob.matrices[name] = [r.vector(columns[0]) for _ in range(rows)]


def _read_other(blob: Blob, number: int, r: _Reader) -> None:
    """What the table does not say."""
    h, values = blob.header, blob.values
    if number == PATTERN:
        window, block, history, switches, n = (r.u32() for _ in range(5))
        _need(block > 0 and switches & ~11 == 0, "pattern")
        tokens = tuple(r.u32() for _ in range(n))
        _need(all(a < b for a, b in pairwise(tokens)), "globals")
        unlimited = 1 << 62 if window == UNLIMITED else window
        strides, landmarks, runs = (bool(switches & bit) for bit in (1, 2, 8))
        blob.pattern = Pattern(unlimited, block, True, tokens, strides, landmarks, history, pyramid=runs)
        _need(not runs or _is_pyramid(blob.pattern), "pyramid")
    elif number == SUBCARRIERS:
        pairs = r.u32()
        indices = struct.unpack(f"<{h.input_dim}H", r.take(2 * h.input_dim))
        _need(all(i < pairs for i in indices), "subcarriers")
    elif number == FEED_FORWARD:
        _need("norm.eps" in blob.reals, "feed_forward without norm")
    elif number == POOLING:
        _need(values["pooling.kind"] == 1 or values["pooling.n"] == 1, "pooling.n")
    elif number == CLASS_NAMES:
        _need(r.data.count(0) == h.n_classes and r.data.endswith(b"\0"), "class names")
        _utf8(r.take(len(r.data)))
    elif number == PROVENANCE:
        _utf8(r.take(len(r.data)))
    elif number == TIMING:
        period, max_gap = values["timing.period"], values["timing.max_gap"]
        _need(max_gap == 0 if period == 0 else period <= max_gap <= min(1 << 24, MAX_DUE * period), "timing.max_gap")
    elif number == SUBCARRIER_NUMBERS:
        numbers = struct.unpack(f"<{h.input_dim}h", r.take(2 * h.input_dim))
        bands = r.take(h.input_dim)
        _need(all(abs(number) <= 511 for number in numbers) and all(band < 7 for band in bands), "subcarrier_numbers")
        _need(len(set(zip(bands, numbers, strict=True))) == h.input_dim, "subcarrier_numbers twice")


def _is_pyramid(p: Pattern) -> bool:
    """Whether a pattern is one that a pyramid can have."""
    return (
        p.window <= 1 << 20
        and p.block_size in [1 << level for level in range(17)]
        and (p.history == 0 or p.history > p.window)
        and not (p.globals_ or p.log_stride or p.landmarks)
    )


def _utf8(data: bytes) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected("BLOB_HEADER", "text") from error


def pattern_payload(p: Pattern) -> bytes:
    """Section 1."""
    window = min(p.window, UNLIMITED)
    switches = int(p.log_stride) | int(p.landmarks) << 1 | int(p.pyramid) << 3
    return struct.pack(
        f"<5I{len(p.globals_)}I", window, p.block_size, p.history, switches, len(p.globals_), *p.globals_
    )


def words(values: Sequence[int]) -> bytes:
    """u32 values as bytes."""
    return struct.pack(f"<{len(values)}I", *values)
