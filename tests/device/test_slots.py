"""Slot images, packed and damaged; which slot an update goes to; the package's slots against the node's C."""

from __future__ import annotations

import contextlib
import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from device.fake_chip import ENTRIES, SLOT_A, SLOT_B, SLOT_BYTES, entry, table_of
from hypothesis import given
from hypothesis import strategies as st
from parity_matrix.build import core_sources
from parity_matrix.targets import all_targets

from aether_temporal import TemporalModel, crc32
from aether_temporal.bundled import bundled_models
from aether_temporal.device.slots import (
    Slot,
    SlotHeader,
    check_frames,
    check_value,
    choose_target,
    first_choice,
    next_sequence,
    pack_slot,
    read_slot,
    slot_bytes_needed,
    without_commit,
)
from aether_temporal.device.update import Partition, parse_table, slot_partitions
from aether_temporal.errors import BlobCrcError, PartitionError, SlotError

BLOB = bundled_models()["activity"].read_bytes()
IMAGE = pack_slot(BLOB, 7)


def with_word(image: bytes, at: int, value: int) -> bytes:
    return image[:at] + value.to_bytes(4, "little") + image[at + 4 :]


def test_where_everything_stands() -> None:
    """The layout of docs/spec/slots.md, read here without the package's own reader."""
    magic, version, size, sequence, offset, length, blob_crc, frames = struct.unpack_from("<IHHIIIII", IMAGE)
    assert IMAGE[:4] == b"ASLT"
    assert (magic, version, size, sequence) == (0x544C5341, 1, 64, 7)
    assert (offset, length, frames) == (256, len(BLOB), 8)
    assert blob_crc == crc32(BLOB[:-4])
    assert IMAGE[0x28:0x3C] == bytes(20)
    assert int.from_bytes(IMAGE[0x3C:0x40], "little") == crc32(IMAGE[:0x3C])
    assert IMAGE[0x40:0x44] == b"CMIT"
    assert set(IMAGE[0x44:256]) == {0xFF}
    assert IMAGE[256 : 256 + len(BLOB)] == BLOB
    assert len(IMAGE) % 4096 == 0
    assert len(IMAGE) == slot_bytes_needed(len(BLOB))
    assert set(IMAGE[256 + len(BLOB) :]) <= {0xFF}


def test_reads_what_was_packed() -> None:
    slot = read_slot("aether_a", IMAGE)
    assert slot.valid
    assert slot.blob == BLOB
    assert (slot.committed, slot.trials, slot.confirmed) == (True, 0, False)
    assert slot.header is not None
    assert slot.header.sequence == 7


def test_frames_of_the_check() -> None:
    frames = check_frames(2, 3, 5)
    assert frames.dtype == np.float32
    for i, value in enumerate(frames.ravel().tolist()):
        h = (5 + i * 0x9E3779B9) % 2**32
        h ^= h >> 16
        h = h * 0x85EBCA6B % 2**32
        h ^= h >> 13
        h = h * 0xC2B2AE35 % 2**32
        h ^= h >> 16
        assert value == (h >> 8) / 2**18


@pytest.mark.parametrize("name", list(bundled_models()))
def test_check_values_are_the_logits_of_a_stream(name: str) -> None:
    model = TemporalModel.from_blob(name)
    stream, parts = model.stream(256, "float16"), []
    for frame in check_frames(8, model.input_dim, 99):
        parts += [bytes(4), stream.push(frame).tobytes()]
        if (embedding := stream.embedding) is not None:
            parts.append(embedding.tobytes())
    assert check_value(model, 8, 99, "float16") == crc32(b"".join(parts))
    assert check_value(model, 8, 99, "float32") != check_value(model, 8, 98, "float32")


def test_a_blob_is_opened_before_it_is_packed() -> None:
    with pytest.raises(BlobCrcError):
        pack_slot(BLOB[:-1] + bytes([BLOB[-1] ^ 1]))
    with pytest.raises(SlotError, match="size: expected a multiple of 4096 bytes, at least 69632 for this blob"):
        pack_slot(BLOB, size=65536)
    with pytest.raises(SlotError, match="found 69633"):
        pack_slot(BLOB, size=69633)
    with pytest.raises(SlotError, match="sequence"):
        pack_slot(BLOB, 1 << 32)
    assert pack_slot(BLOB, 7, size=0x20000) == IMAGE


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (b"\xff" * 4096, "slot magic: expected 0x544C5341, found erased flash"),
        (bytes(4096), "found 0x00000000"),
        (b"ASLT", "expected at least 64 bytes, found 4"),
        (with_word(IMAGE, 4, 2 | 64 << 16), "slot version: expected 1, found 2"),
        (with_word(IMAGE, 8, 8), "slot header CRC"),
        (without_commit(IMAGE), "the update was interrupted"),
        (with_word(IMAGE, 0x40, 0), "the update was interrupted"),
        (with_word(with_word(with_word(IMAGE, 0x50, 0), 0x60, 0), 0x70, 0), "not confirmed after 3 trials"),
        (IMAGE[:5000] + b"\x00\x01" + IMAGE[5002:], "the blob is damaged: expected CRC 0x"),
    ],
)
def test_rejects_models_a_node_cannot_use(image: bytes, problem: str) -> None:
    slot = read_slot("aether_a", image, 0x20000)
    assert not slot.valid
    assert problem in slot.problem


def header_with(**changes: int) -> bytes:
    header = SlotHeader.decode(IMAGE, len(IMAGE))
    return replace(header, **changes).encode() + IMAGE[64:]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"blob_offset": 260}, "blob_offset: expected a multiple of 16 from 256 on, found 260"),
        ({"blob_offset": 240}, "blob_offset"),
        ({"blob_length": 27}, "blob_length: expected 28 to"),
        ({"blob_length": len(IMAGE)}, "blob_length"),
        ({"check_frames": 0}, "check_frames: expected 1 to 64"),
        ({"check_frames": 65}, "check_frames"),
        ({"check_binary32": 1}, "the model computes other bits with a float32 cache: expected 0x00000001"),
        ({"check_binary16": 1}, "the model computes other bits with a float16 cache"),
        ({"blob_length": len(BLOB) - 4, "blob_crc": crc32(BLOB[:-8])}, "the blob is rejected: "),
    ],
)
def test_header_fields(changes: dict[str, int], problem: str) -> None:
    assert problem in read_slot("aether_b", header_with(**changes)).problem


@given(st.integers(0, 63), st.integers(1, 255))
def test_any_damage_to_the_header_is_noticed(at: int, flip: int) -> None:
    assert not read_slot("aether_a", IMAGE[:at] + bytes([IMAGE[at] ^ flip]) + IMAGE[at + 1 :]).valid


def slot(sequence: int | None = None, confirmed: bool = False, problem: str = "", last_resort: bool = False) -> Slot:
    header = None if sequence is None else SlotHeader(sequence, 256, 28, 0, 8, 0, 0, 0)
    problem = problem or ("empty" if header is None else "")
    return Slot("x", header, committed=True, confirmed=confirmed, problem=problem, last_resort=last_resort)


def spent(sequence: int) -> Slot:
    return slot(sequence, problem="no trials left", last_resort=True)


EMPTY = slot()


def test_trials_are_used_up() -> None:
    """A model that the node has run is its last resort; one that it never ran is not."""
    spent = with_word(with_word(with_word(IMAGE, 0x50, 0), 0x60, 0), 0x70, 0)
    assert not read_slot("aether_a", spent).last_resort
    found = read_slot("aether_a", with_word(spent, 0x90, 0x214E4152))
    assert found.last_resort
    assert found.problem == "not confirmed after 3 trials; write it again"
    assert not found.valid
    assert read_slot("aether_a", with_word(spent, 0x80, 0x464E4F43)).valid


@pytest.mark.parametrize(
    ("a", "b", "target", "sequence", "first"),
    [
        (EMPTY, EMPTY, 0, 0, None),
        (slot(0), EMPTY, 1, 1, 0),
        (EMPTY, slot(3), 0, 4, 1),
        (slot(4, True), slot(3, True), 1, 5, 0),
        (slot(4, True), slot(5, True), 0, 6, 1),
        (slot(4, True), slot(5), 1, 5, 1),  # the newer one has not shown itself yet: the older one must stay
        (slot(4), slot(3, True), 0, 4, 0),
        (slot(4), slot(4), 0, 5, 0),
        (slot(0, True), slot(0xFFFFFFFF, True), 1, 1, 0),  # sequences wrap
        (slot(0xFFFFFFFF, True), slot(9, problem="damaged"), 1, 0, 0),
        (slot(9, problem="damaged"), slot(2), 0, 3, 1),
        (slot(9, problem="damaged"), slot(7, problem="damaged"), 0, 8, None),
        (spent(9), slot(3, True), 0, 4, 1),
        (spent(9), EMPTY, 1, 10, 0),
        (slot(9, problem="damaged"), spent(7), 0, 8, 1),
        (spent(9), spent(7), 1, 10, 0),
        (spent(4), slot(2), 0, 3, 1),
    ],
)
def test_which_slot(a: Slot, b: Slot, target: int, sequence: int, first: int | None) -> None:
    assert choose_target((a, b)) == target
    assert next_sequence((a, b)[1 - target]) == sequence
    assert first_choice((a, b)) == first


def test_packing_is_the_same_every_time(tmp_path: Path) -> None:
    assert pack_slot(BLOB, 7) == IMAGE


TABLE = table_of(ENTRIES)


def test_a_table() -> None:
    table = parse_table(TABLE)
    assert [part.label for part in table] == ["nvs", "phy_init", "factory", "aether_a", "aether_b"]
    assert table[2] == Partition("factory", "app", "factory", 0x10000, 0x30000)
    assert table[3] == Partition("aether_a", "data", "undefined", SLOT_A, SLOT_BYTES)
    assert slot_partitions(table, 70_000) == (table[3], table[4])
    assert parse_table(table_of(ENTRIES, md5=False)) == table


def test_names_of_types() -> None:
    found = parse_table(table_of([entry("a", 0, 0x11, 0x10000, 4096), entry("b", 1, 0x82, 0x20000, 4096, 3)]))
    assert (found[0].type, found[0].subtype) == ("app", "ota_1")
    assert (found[1].type, found[1].subtype, found[1].encrypted, found[1].read_only) == ("data", "spiffs", True, True)
    (other,) = parse_table(table_of([entry("c", 0x40, 7, 0x10000, 4096)]))
    assert (other.type, other.subtype) == ("0x40", "0x07")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff" * 0xC00, "none; flash firmware first"),
        (b"", "expected entries at 0x8000"),
        (b"\x00" * 0xC00, "found 0x0000"),
        (TABLE.replace(b"factory", b"factorY"), "partition table MD5: expected"),
        (table_of([entry("x", 1, 6, 0x1001, 4096)]), "partition 'x': expected an offset that is a multiple of 4096"),
        (table_of([entry("x", 1, 6, 0x1000, 0)]), "found 0x1000 and 0x0"),
        (table_of([entry("x", 1, 6, 0xFFFFF000, 0x2000)]), "found 0xFFFFF000"),
    ],
)
def test_rejects_a_damaged_partition_table(data: bytes, message: str) -> None:
    with pytest.raises(PartitionError, match=message):
        parse_table(data)


@given(st.binary(max_size=0xC00))
def test_any_bytes(data: bytes) -> None:
    with contextlib.suppress(PartitionError):
        assert parse_table(data)


@pytest.mark.parametrize(
    ("slot", "message"),
    [
        (None, "expected partitions aether_a and aether_b, found nvs, phy_init, factory, aether_a"),
        (entry("aether_b", 1, 2, SLOT_B, SLOT_BYTES), "partition aether_b: expected data, undefined, without flags"),
        (entry("aether_b", 1, 6, SLOT_B, SLOT_BYTES, 1), "found data, undefined, encrypted"),
        (entry("aether_b", 1, 6, SLOT_B, SLOT_BYTES, 2), "found data, undefined, readonly"),
        (entry("aether_b", 1, 6, SLOT_B, 0x1001), "a multiple of 4096 bytes"),
        (entry("aether_b", 1, 6, SLOT_B, 0x1000), "expected at least 73728 bytes for a blob of 70000, found 4096"),
    ],
)
def test_rejects_a_damaged_slot_image(slot: bytes | None, message: str) -> None:
    table = parse_table(table_of([*ENTRIES[:4], *([] if slot is None else [slot])]))
    with pytest.raises(PartitionError, match=message):
        slot_partitions(table, 70_000)


ROOT = Path(__file__).resolve().parents[2]
CSRC, NODE = ROOT / "csrc", ROOT / "firmware" / "node"
SLOT = 0x20000
BLOBS = {name: path.read_bytes() for name, path in bundled_models().items() if path.stat().st_size < SLOT - 256}
OPTIONS = ["-std=c11", "-O1", "-ffp-contract=off", "-DAETHER_PORTABLE_ONLY", "-Wall", "-Wextra", "-Werror"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is missing")
    chip = next(target for target in all_targets() if target.portable_only)
    sources = [*core_sources(chip), *sorted(NODE.glob("*.c"))]
    folders = [CSRC / "include", CSRC / "src", CSRC / "src" / "kernels", NODE]
    out = tmp_path_factory.mktemp("slots") / "slots_host"
    includes = [f"-I{folder}" for folder in folders]
    files = [str(path) for path in [*sources, Path(__file__).with_name("slots_host.c")]]
    subprocess.run(["gcc", *OPTIONS, *includes, *files, "-o", str(out)], check=True)
    return out


def run(program: Path, folder: Path, a: bytes, b: bytes, cache: str = "f32") -> tuple[int, list[str], bytes, bytes]:
    """What the node does with two slots: which it uses, its words about both, and both as it leaves them."""
    file = folder / "slots.bin"
    file.write_bytes(a.ljust(SLOT, b"\xff") + b.ljust(SLOT, b"\xff"))
    done = subprocess.run([program, file, str(SLOT), cache], capture_output=True, text=True, check=True)
    used, *words = done.stdout.splitlines()
    left = file.read_bytes()
    return int(used), words, left[:SLOT], left[SLOT:]


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["f32", "f16"])
@pytest.mark.parametrize("name", list(BLOBS))
def test_node_accepts_packed_slots(program: Path, tmp_path: Path, name: str, cache: str) -> None:
    image = pack_slot(BLOBS[name], 5)
    used, words, a, _ = run(program, tmp_path, image, b"", cache)
    assert (used, words) == (0, ["in use", "empty"])
    slot = read_slot("aether_a", a)
    assert (slot.valid, slot.trials, slot.confirmed) == (True, 1, True)
    assert a[:0x44] + a[256:] == image.ljust(SLOT, b"\xff")[:0x44] + image.ljust(SLOT, b"\xff")[256:]


def harmed(kind: str) -> bytes:
    image = bytearray(pack_slot(BLOBS["demo"], 6))
    if kind == "blob":
        image[5000] ^= 1
    elif kind == "header":
        image[9] ^= 1
    elif kind == "check":
        image = bytearray(pack_slot(BLOBS["demo"], 6))
        image[0x20] ^= 1
        image[0x3C:0x40] = _crc(bytes(image[:0x3C]))
    elif kind == "cut":
        image = bytearray(without_commit(bytes(image)))
    elif kind == "no-trials-left":
        for at in (0x50, 0x60, 0x70):
            image[at : at + 4] = bytes(4)
    return bytes(image)


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["whole", "blob", "header", "check", "cut", "no-trials-left"])
def test_both_take_and_reject_the_same(program: Path, tmp_path: Path, kind: str) -> None:
    """An older model in one slot, an update, harmed or not, in the other."""
    a, b = pack_slot(BLOBS["activity"], 5), harmed(kind)
    slots = read_slot("aether_a", a), read_slot("aether_b", b)
    used, words, left_a, left_b = run(program, tmp_path, a, b)
    assert used == first_choice(slots) == (1 if kind == "whole" else 0), (words, slots)
    after = read_slot("aether_a", left_a), read_slot("aether_b", left_b)
    assert first_choice(after) == used  # the next update leaves this one alone
    assert choose_target(after) == 1 - used
    assert next_sequence(after[used]) == (7 if kind == "whole" else 6)


@pytest.mark.slow
def test_a_row_of_updates(program: Path, tmp_path: Path) -> None:
    a, b = b"\xff" * SLOT, b"\xff" * SLOT
    for number in range(6):
        blob = BLOBS[("demo", "activity")[number % 2]]
        slots = read_slot("aether_a", a), read_slot("aether_b", b)
        target = choose_target(slots)
        image = pack_slot(blob, next_sequence(slots[1 - target]), SLOT)
        a, b = (image, b) if target == 0 else (a, image)
        used, words, a, b = run(program, tmp_path, a, b)
        assert used == target == number % 2, words
