"""Weight blobs taken apart and put together again byte by byte, for tests that damage them. Written from
docs/spec/rvne.md with nothing of the package."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

HEADER = struct.Struct("<IHBBHHHHHHI")
FIELDS = (
    "magic",
    "version",
    "flags",
    "reserved",
    "input_dim",
    "n_q_heads",
    "n_kv_heads",
    "head_dim",
    "n_layers",
    "n_classes",
    "weights_len",
)
SECTION = struct.Struct("<HHI")
FOOTER = struct.Struct("<IHHI")
EXTENSION_MAGIC = 0x31545845


def floats(*values: float) -> bytes:
    """binary32 values."""
    return struct.pack(f"<{len(values)}f", *values)


def words(*values: int) -> bytes:
    """u32 values."""
    return struct.pack(f"<{len(values)}I", *values)


def sealed(data: bytes) -> bytes:
    """`data` with its last four bytes made the CRC of all before."""
    return data[:-4] + words(zlib.crc32(data[:-4]))


def with_header(blob: bytes, **changes: int) -> bytes:
    """The blob with header fields changed and its CRC correct."""
    values = dict(zip(FIELDS, HEADER.unpack_from(blob), strict=True)) | changes
    return sealed(HEADER.pack(*(values[name] for name in FIELDS)) + blob[HEADER.size :])


def blob_of(header: dict[str, int], weights: bytes) -> bytes:
    """A blob from its parts."""
    values = {"magic": 0x52564E45, "version": 1, "flags": 0, "reserved": 0, "weights_len": len(weights)} | header
    return sealed(HEADER.pack(*(values[name] for name in FIELDS)) + weights + bytes(4))


@dataclass(frozen=True)
class Section:
    """One section as it stands in a blob; `length` and `padding` None: what is correct."""

    ident: int
    payload: bytes
    reserved: int = 0
    length: int | None = None
    padding: bytes | None = None

    def encode(self) -> bytes:
        """Its bytes."""
        length = len(self.payload) if self.length is None else self.length
        padding = bytes(-len(self.payload) % 4) if self.padding is None else self.padding
        return SECTION.pack(self.ident, self.reserved, length) + self.payload + padding


@dataclass(frozen=True)
class Extended:
    """An extended blob in parts."""

    header: dict[str, int]
    core: bytes
    sections: tuple[Section, ...]
    width: int
    core_padding: bytes = b""
    extension_len: int | None = None
    version: int = 1
    magic: int = EXTENSION_MAGIC

    def encode(self) -> bytes:
        """The blob, its CRC correct."""
        padding = self.core_padding or bytes(-len(self.core) % 4)
        body = padding + b"".join(section.encode() for section in self.sections)
        length = len(body) + FOOTER.size if self.extension_len is None else self.extension_len
        footer = FOOTER.pack(length, self.width, self.version, self.magic)
        return blob_of(self.header, self.core + body + footer)

    def with_payload(self, ident: int, payload: bytes) -> Extended:
        """With another payload in one section."""
        return self.with_section(ident, payload=payload)

    def with_section(self, ident: int, **changes: object) -> Extended:
        """With one section changed."""
        assert any(section.ident == ident for section in self.sections)
        return replace(
            self,
            sections=tuple(replace(s, **changes) if s.ident == ident else s for s in self.sections),  # type: ignore[arg-type]
        )

    def with_sections(self, sections: Iterable[Section]) -> Extended:
        """With these sections, in this order."""
        return replace(self, sections=tuple(sections))

    def payload(self, ident: int) -> bytes:
        """One section's payload."""
        return next(section.payload for section in self.sections if section.ident == ident)


def _ramp(count: int, start: int) -> tuple[float, ...]:
    return tuple((((start + i) * 37) % 64 - 32) / 64 for i in range(count))


def plain(*, binary16: bool = False) -> bytes:
    """The smallest useful version 1 blob."""
    header = {"input_dim": 2, "n_q_heads": 2, "n_kv_heads": 1, "head_dim": 1, "n_layers": 1, "n_classes": 2}
    values = _ramp(2 * 2 + 2 * 1 + 2 * 1 + 2 * 2 + 2 * 2, 5)
    kind = "e" if binary16 else "f"
    return blob_of(header | {"flags": int(binary16)}, struct.pack(f"<{len(values)}{kind}", *values))


def extended(*, binary16: bool = False) -> Extended:
    """A blob with every section of the specification."""
    w, features, q, kv, layers, classes, hidden, embed, taps = 3, 2, 2, 1, 1, 3, 2, 2, 2
    kind = "e" if binary16 else "f"

    def matrix(rows: int, columns: int) -> bytes:
        return struct.pack(f"<{rows * columns}{kind}", *_ramp(rows * columns, rows))

    def vector(count: int) -> bytes:
        return floats(*_ramp(count, count))

    header = {
        "input_dim": features,
        "n_q_heads": 2,
        "n_kv_heads": 1,
        "head_dim": 1,
        "n_layers": layers,
        "n_classes": classes,
        "flags": 2 | int(binary16),
    }
    core = matrix(w, q) + matrix(w, kv) + matrix(w, kv) + matrix(q, w) + matrix(w, classes)
    payloads = {
        1: words(4, 2, 9, 3, 2, 0, 3),
        2: words(5) + struct.pack("<2H", 4, 1),
        3: words(1),
        4: vector(features) + floats(1.0, 0.5),
        5: vector(w) + matrix(features, w),
        6: floats(1e-5) + floats(*[1.0] * (w * (layers + 1))),
        7: words(taps) + vector(w * (1 + taps)),
        8: vector(q + 2 * kv + w) + vector(classes),
        9: words(hidden) + vector(w + hidden + w) + matrix(w, hidden) + matrix(hidden, w),
        10: words(1, 3),
        11: words(embed) + vector(embed) + matrix(w, embed),
        12: b"still\0moving \xc3\xa9\0\0",
        13: floats(50.0),
        14: b"made by a test, for tests",
        15: words(taps, 1) + vector(w * (1 + taps)),
        16: words(25, 20_000, 1_000_000),
        17: struct.pack("<2h2B", -28, 5, 2, 0),
    }
    return Extended(header, core, tuple(Section(ident, payload) for ident, payload in payloads.items()), w)
