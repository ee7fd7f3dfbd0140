"""Damaged blobs: always a named error, never a crash or a large allocation. Exhaustive over two small blobs: one plain,
one with every section."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from blob_bytes import FIELDS, HEADER, Extended, Section, blob_of, extended, floats, plain, sealed, with_header, words

from aether_temporal import TemporalModel, WeightBlob
from aether_temporal.errors import (
    BlobCrcError,
    BlobError,
    BlobFlagsError,
    BlobHeaderError,
    BlobLengthError,
    BlobMagicError,
    BlobTooShortError,
    BlobVersionError,
    ResultOverflowError,
)

WHOLE = {
    "plain": plain(),
    "plain-binary16": plain(binary16=True),
    "extended": extended().encode(),
    "extended-binary16": extended(binary16=True).encode(),
}
NAN, INFINITY = float("nan"), float("inf")
Reader = Callable[[bytes], object]
READERS: dict[str, Reader] = {"WeightBlob.parse": WeightBlob.parse, "TemporalModel.from_blob": TemporalModel.from_blob}

whole = pytest.mark.parametrize("blob", WHOLE.values(), ids=WHOLE.keys())
readers = pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())


@pytest.fixture(autouse=True)
def _traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def reject(read: Reader, blob: bytes, kind: type[BlobError] = BlobError) -> BlobError:
    """`blob` is rejected with exactly this kind of error, which says what is wrong; little is allocated on the way."""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    with pytest.raises(kind) as caught:
        read(blob)
    peak = tracemalloc.get_traced_memory()[1] - before
    assert peak < 65536 + 8 * len(blob)
    error = caught.value
    if kind is not BlobError:
        assert type(error) is kind
    assert error.found is not None
    assert f"{error.field}: expected {error.expected}, found" in str(error)
    return error


def use(blob: bytes) -> None:
    """Read a blob both ways and push some frames; every result is finite."""
    assert WeightBlob.parse(blob).serialize() == blob
    model = TemporalModel.from_blob(blob)
    stream = model.stream(context=5)
    frames = np.linspace(0.5, 2.0, 8 * 2, dtype=np.float32).reshape(8, 2)
    for frame in frames:
        assert np.isfinite(stream.push(frame)).all()


@whole
def test_undamaged_blobs_work(blob: bytes) -> None:
    use(blob)


@whole
@readers
def test_every_truncation(blob: bytes, read: Reader) -> None:
    for length in range(len(blob)):
        reject(read, blob[:length], BlobTooShortError if length < 28 else BlobLengthError)


@whole
@readers
def test_every_truncation_with_length_and_crc_right(blob: bytes, read: Reader) -> None:
    for length in range(28, len(blob)):
        reject(read, with_header(blob[:length], weights_len=length - 28), BlobHeaderError)


@whole
@readers
def test_bytes_too_many(blob: bytes, read: Reader) -> None:
    for extra in (1, 3, 4, 64):
        reject(read, blob + bytes(extra), BlobLengthError)
        longer = blob[:-4] + bytes(extra + 4)
        reject(read, with_header(longer, weights_len=len(longer) - 28), BlobHeaderError)


def flips(blob: bytes) -> Iterator[tuple[int, bytes]]:
    """Every blob that differs in one bit, with that bit's byte."""
    for bit in range(8 * len(blob)):
        damaged = bytearray(blob)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bit // 8, bytes(damaged)


@whole
@readers
def test_every_flipped_bit(blob: bytes, read: Reader) -> None:
    for byte, damaged in flips(blob):
        kind: type[BlobError] = BlobCrcError
        if byte < 4:
            kind = BlobMagicError
        elif byte < 6:
            kind = BlobVersionError
        elif 20 <= byte < 24:
            kind = BlobLengthError
        reject(read, damaged, kind)


@whole
def test_every_flipped_bit_with_crc_right(blob: bytes) -> None:
    """Behind a correct CRC a flipped bit is an error, or another model that works."""
    outcomes = {outcome(sealed(damaged + bytes(4)), byte) for byte, damaged in flips(blob[:-4])}
    assert {"works", "BlobHeaderError", "BlobMagicError", "BlobVersionError", "BlobLengthError"} <= outcomes


def outcome(blob: bytes, byte: int) -> str:
    """What comes of using a blob; an error in the header's bytes is one about the blob."""
    try:
        use(blob)
    except BlobError as error:
        return type(error).__name__
    except ResultOverflowError:
        if byte < HEADER.size:
            raise
    return "works"


HEADER_DAMAGE = {
    "input_dim 0": {"input_dim": 0},
    "n_q_heads 0": {"n_q_heads": 0},
    "n_kv_heads 0": {"n_kv_heads": 0},
    "n_kv_heads above n_q_heads": {"n_kv_heads": 3},
    "n_kv_heads divides not": {"n_q_heads": 5, "n_kv_heads": 2},
    "head_dim 0": {"head_dim": 0},
    "n_layers 0": {"n_layers": 0},
    "n_classes 0": {"n_classes": 0},
    "n_classes 1": {"n_classes": 1},
    "reserved": {"reserved": 1},
    "reserved, highest bit": {"reserved": 0x80},
    **{f"{name} 65535": {name: 0xFFFF} for name in FIELDS[4:10]},
    "all 65535": dict.fromkeys(FIELDS[4:10], 0xFFFF),
    "a product that wraps 32 bits": {"input_dim": 0x8000, "n_q_heads": 0x8000, "head_dim": 4},
    "a product that wraps 64 bits": dict.fromkeys(("input_dim", "n_q_heads", "head_dim", "n_layers"), 0x8000),
}


@whole
@readers
@pytest.mark.parametrize("changes", HEADER_DAMAGE.values(), ids=HEADER_DAMAGE.keys())
def test_header_fields_out_of_range(blob: bytes, read: Reader, changes: dict[str, int]) -> None:
    error = reject(read, with_header(blob, **changes), BlobHeaderError)
    if len(changes) == 1 and 0 in changes.values():
        assert error.field in changes


@whole
@readers
def test_flags_magic_version_length(blob: bytes, read: Reader) -> None:
    flags = HEADER.unpack_from(blob)[2]
    for bit in range(3, 8):
        reject(read, with_header(blob, flags=flags | 1 << bit), BlobFlagsError)
    in_integers = with_header(blob, flags=flags | 4)  # its arrays would be shorter
    reject(read, in_integers, BlobHeaderError if flags == 2 else BlobFlagsError)
    for version in (0, 2, 0x0100, 0xFFFF):
        reject(read, with_header(blob, version=version), BlobVersionError)
    for magic in (0, 0x454E5652, 0xFFFFFFFF):
        reject(read, with_header(blob, magic=magic), BlobMagicError)
    for length in (0, 1, len(blob), 0x7FFFFFFF, 0x80000000, 0xFFFFFFE3, 0xFFFFFFE4, 0xFFFFFFFF):
        reject(read, with_header(blob, weights_len=length), BlobLengthError)


@readers
def test_the_order_of_checks(read: Reader) -> None:
    """Length 28, magic, version, length, CRC, flags, values: the first failure is the one reported."""
    bad = bytearray(with_header(plain(), magic=1, version=9, weights_len=7, flags=0x80, n_layers=0))
    bad[-1] ^= 1
    reject(read, bytes(bad[:27]), BlobTooShortError)
    reject(read, bytes(bad), BlobMagicError)
    for kind, name, right in (
        (BlobVersionError, "magic", 0x52564E45),
        (BlobLengthError, "version", 1),
        (BlobCrcError, "weights_len", len(bad) - 28),
    ):
        values = dict(zip(FIELDS, HEADER.unpack_from(bad), strict=True)) | {name: right}
        bad[: HEADER.size] = HEADER.pack(*(values[field] for field in FIELDS))
        reject(read, bytes(bad), kind)
    reject(read, sealed(bytes(bad)), BlobFlagsError)
    reject(read, with_header(bytes(bad), flags=0), BlobHeaderError)


def checked(blob: bytes) -> None:
    """A plain blob is read whatever its weights are, so that it can be looked at; `check` is what a model asks."""
    WeightBlob.parse(blob).check()


@pytest.mark.parametrize("read", [checked, TemporalModel.from_blob], ids=["WeightBlob.check", "from_blob"])
@pytest.mark.parametrize("bits", [0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001], ids=hex)
def test_weights_that_are_not_finite(read: Reader, bits: int) -> None:
    blob = plain()
    for at in range(HEADER.size, len(blob) - 4, 4):
        reject(read, sealed(blob[:at] + words(bits) + blob[at + 4 :]), BlobHeaderError)
    half = plain(binary16=True)
    for at in range(HEADER.size, len(half) - 4, 2):
        reject(
            read, sealed(half[:at] + struct.pack("<H", bits >> 16 & 0xFC00 | 0x7C00) + half[at + 2 :]), BlobHeaderError
        )


SOUND = extended()
HUGE = (0x20000000, 0x3FFFFFFF, 0x40000000, 0x55555556, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
LAST = max(section.ident for section in SOUND.sections)


def section_damage() -> Iterator[tuple[str, Extended]]:
    """One defect each in an otherwise sound extended blob."""
    for s in SOUND.sections:
        fixed = s.ident != 14
        if fixed:
            yield f"section {s.ident} empty", SOUND.with_payload(s.ident, b"")
            yield f"section {s.ident} 4 bytes short", SOUND.with_payload(s.ident, s.payload[:-4])
            yield f"section {s.ident} 1 byte short", SOUND.with_payload(s.ident, s.payload[:-1])
            yield f"section {s.ident} 4 bytes long", SOUND.with_payload(s.ident, s.payload + bytes(4))
            yield f"section {s.ident} 1 byte long", SOUND.with_payload(s.ident, s.payload + b"\1")
        yield f"section {s.ident} reserved", SOUND.with_section(s.ident, reserved=1)
        for length in (0, len(s.payload) + 4, 0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFC, 0xFFFFFFFF):
            yield f"section {s.ident} says {length} bytes", SOUND.with_section(s.ident, length=length)
        if len(s.payload) % 4:
            yield f"section {s.ident} padding", SOUND.with_section(s.ident, padding=b"\1" * (-len(s.payload) % 4))
        yield (
            f"section {s.ident} twice",
            SOUND.with_sections(x for y in SOUND.sections for x in ([y, y] if y is s else [y])),
        )
    for ident in (0, LAST, LAST + 1, 0x100, 0xFFFF):
        yield (
            f"section {ident}",
            SOUND.with_sections(
                [Section(ident, bytes(4)), *SOUND.sections]
                if not ident
                else [*SOUND.sections, Section(ident, bytes(4))]
            ),
        )
    yield "sections in reverse", SOUND.with_sections(reversed(SOUND.sections))
    yield (
        "sections 3 and 4 swapped",
        SOUND.with_sections(sorted(SOUND.sections, key=lambda s: {3: 4, 4: 3}.get(s.ident, s.ident))),
    )
    yield "no projection", SOUND.with_sections(s for s in SOUND.sections if s.ident != 5)
    yield "feed-forward without norm", SOUND.with_sections(s for s in SOUND.sections if s.ident != 6)
    yield "width 0", replace(SOUND, width=0)
    yield "width 2", replace(SOUND, width=2)
    yield "width 65535", replace(SOUND, width=0xFFFF)
    for version in (0, 2, 0xFFFF):
        yield f"extension version {version}", replace(SOUND, version=version)
    for magic in (0, 0x45585431, 0xFFFFFFFF):
        yield f"extension magic {magic:08X}", replace(SOUND, magic=magic)
    true_len = len(SOUND.encode()) - 28 - len(SOUND.core)
    for length in (0, 4, 11, 12, true_len - 4, true_len + 4, *HUGE):
        yield f"extension_len {length}", replace(SOUND, extension_len=length)
    yield from value_damage()


def value_damage() -> Iterator[tuple[str, Extended]]:
    """Values out of range inside the sections."""

    def put(ident: int, at: int, value: bytes) -> Extended:
        payload = SOUND.payload(ident)
        return SOUND.with_payload(ident, payload[:at] + value + payload[at + len(value) :])

    yield "block_size 0", put(1, 4, words(0))
    for switches in (4, 8, 0x80000000, 0xFFFFFFFF):
        yield f"switches {switches}", put(1, 12, words(switches))
    for name, fields in {
        "window": (2**20 + 1, 4, 0, 8, 0),
        "no end of the window": (0xFFFFFFFF, 4, 0, 8, 0),
        "block of 12": (8, 12, 0, 8, 0),
        "block of 2^17": (8, 2**17, 0, 8, 0),
        "history within the window": (8, 4, 8, 8, 0),
        "log-stride": (8, 4, 0, 9, 0),
        "landmarks": (8, 4, 0, 10, 0),
        "bit 2": (8, 4, 0, 12, 0),
        "a global token": (8, 4, 0, 8, 1, 0),
        "a byte more": (8, 4, 0, 8, 0, 0),
    }.items():
        yield f"pyramid: {name}", SOUND.with_payload(1, words(*fields))
    for n in (0, 1, 3, *HUGE):
        yield f"{n} global tokens", put(1, 16, words(n))
    yield "global tokens descending", put(1, 20, words(3, 0))
    yield "global tokens equal", put(1, 20, words(3, 3))
    yield "subcarrier beyond n_pairs", put(2, 0, words(4))
    yield "n_pairs 0", put(2, 0, words(0))
    for number in (512, -512, -32768):
        yield f"subcarrier number {number}", put(17, 2, struct.pack("<h", number))
    for band in (7, 255):
        yield f"band {band}", put(17, 5, bytes([band]))
    yield "a subcarrier twice", put(17, 0, struct.pack("<2h2B", 5, 5, 0, 0))
    for kind in (2, 256, 0xFFFFFFFF):
        yield f"gain kind {kind}", put(3, 0, words(kind))
        yield f"pooling kind {kind}", put(10, 0, words(kind))
    yield "pooling 0 frames", put(10, 4, words(0))
    yield "pooling newest of 2", put(10, 0, words(0, 2))
    for frames in (0x10000, *HUGE):
        yield f"pooling {frames} frames", put(10, 4, words(frames))
    for taps in (0, 1, 3, 65, 256, *HUGE):
        yield f"taps {taps}", put(7, 0, words(taps))
    for count in (0, 1, 3, *HUGE):
        yield f"hidden {count}", put(9, 0, words(count))
        yield f"embedding dim {count}", put(11, 0, words(count))
    for eps in (0.0, -0.0, -1.0, NAN, INFINITY):
        yield f"eps {eps}", put(6, 0, floats(eps))
        yield f"frame rate {eps}", put(13, 0, floats(eps))
    for bad in (NAN, INFINITY, -INFINITY):
        for ident, first in ((4, 0), (5, 0), (6, 4), (7, 4), (8, 0), (9, 4), (11, 4)):
            for at in range(first, len(SOUND.payload(ident)), 4):
                yield f"{bad} in section {ident} at {at}", put(ident, at, floats(bad))
    yield "a class name too few", SOUND.with_payload(12, b"a\0b\0")
    yield "a class name too many", SOUND.with_payload(12, b"a\0b\0c\0d\0")
    yield "class names without an end", SOUND.with_payload(12, b"a\0b\0c")
    for name, text in BAD_UTF8.items():
        yield f"class name: {name}", SOUND.with_payload(12, b"a\0b\0" + text + b"\0")
        yield f"provenance: {name}", SOUND.with_payload(14, text)
    yield "core padding", replace(extended(binary16=True), core_padding=b"\1\0")


BAD_UTF8 = {
    "lone continuation": b"\x80",
    "cut sequence": b"\xe2\x82",
    "overlong": b"\xc0\xaf",
    "overlong of three": b"\xe0\x80\xaf",
    "overlong of four": b"\xf0\x80\x80\xaf",
    "surrogate": b"\xed\xa0\x80",
    "beyond the last code point": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "0xFF": b"\xff",
}
SECTION_DAMAGE = list(section_damage())


@readers
@pytest.mark.parametrize("damaged", [d for _, d in SECTION_DAMAGE], ids=[name for name, _ in SECTION_DAMAGE])
def test_sections_out_of_range(damaged: Extended, read: Reader) -> None:
    reject(read, damaged.encode(), BlobHeaderError)


def test_each_section_can_be_absent() -> None:
    """The defects above are defects: without a section that is not needed the blob still works."""
    for ident in range(1, LAST + 1):
        if ident not in (5, 6):
            use(SOUND.with_sections(s for s in SOUND.sections if s.ident != ident).encode())
    use(SOUND.with_sections(s for s in SOUND.sections if s.ident == 5).encode())


def test_declared_sizes_allocate_nothing() -> None:
    """A header may declare terabytes; what is allocated goes by the bytes that are there."""
    header = dict.fromkeys(FIELDS[4:10], 0xFFFF)
    for length in (0, 12, 64):
        for flags in (0, 1, 2, 3):
            for read in READERS.values():
                reject(read, blob_of(header | {"flags": flags}, bytes(length)), BlobHeaderError)


def test_a_window_or_history_without_end_costs_nothing() -> None:
    for window, history in ((0xFFFFFFFF, 0), (0xFFFFFFFE, 0xFFFFFFFF), (0, 1)):
        blob = SOUND.with_payload(1, words(window, 0xFFFFFFFF, history, 3, 0)).encode()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        use(blob)
        peak = tracemalloc.get_traced_memory()[1] - before
        assert peak < 1 << 20
