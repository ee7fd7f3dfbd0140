"""Damaged galleries, slot images, partition tables and reports give a result or one of the package's errors. The
archive of what the fuzzers found is deterministic and holds nothing twice."""

from __future__ import annotations

import io
import struct
import sys
import zipfile
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest

from aether_temporal import InvalidArgumentError, StreamPool, WeightBlobHeader, crc32
from aether_temporal.blob_tools import random_blob
from aether_temporal.device import report, slots, update
from aether_temporal.running import Gallery

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools" / "fuzz"))

import corpus
from readers import READERS, random_model

NAMES = ("gallery", "slot_image", "partition_table", "serial_report", "saved_pool")
SPECIAL = (b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff", b"\x00" * 8, b"\xff" * 8, b"\xff\xff\xff\x7f")


def seed(name: str) -> bytes:
    """The whole file that inputs start from, without its checksums (`sealed` adds them)."""
    if name == "gallery":
        names, embeddings = _npy(np.array(["ann", "bob"])), _npy(np.eye(2, 5, dtype=np.float32))
        return len(names).to_bytes(2, "little") + names + embeddings
    if name == "slot_image":
        header = WeightBlobHeader(
            dtype="float32", input_dim=2, n_q_heads=1, n_kv_heads=1, head_dim=2, n_layers=1, n_classes=2
        )
        return slots.pack_slot(random_blob(header, 1).serialize(), 7)
    if name == "partition_table":
        rows = [
            struct.pack("<HBBII16sI", 0x50AA, 1, 6, 0x10000 * (i + 1), 1 << 16, label, 0)
            for i, label in enumerate((b"nvs", b"aether_a", b"aether_b"))
        ]
        return b"".join(rows) + (b"\xeb\xeb" + b"\xff" * 30).ljust(0x100, b"\xff")
    if name == "saved_pool":
        return dict(corpus.saved_pools())["three"]
    return (
        b"aether begin id=1 core=0.1.0 chip=esp32s3 bytes=100 crc=0x00000001\n"
        b"aether file index=0 kernels=scalar status=OK cases=1 checks=2 compared=3 failed=0 scratch=9\n"
        b"aether end variants=1 failed_files=0 stack=100 stack_size=4096 lines=3\n"
    )


def sealed(name: str, data: bytes) -> bytes:
    """A file with these contents and checksums that fit, so that what is behind them is reached."""
    if name == "gallery":
        size = int.from_bytes(data[:2], "little")
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("gallery_names.npy", data[2 : 2 + size])
            archive.writestr("gallery_embeddings.npy", data[2 + size :])
        return buffer.getvalue()
    if name == "slot_image":
        return data[:60] + crc32(data[:60]).to_bytes(4, "little") + data[64:]
    if name == "saved_pool":
        return data[:-4] + crc32(data[:-4]).to_bytes(4, "little")
    if name == "partition_table":
        at = next((at for at in range(0, len(data), 32) if data[at : at + 2] == b"\xeb\xeb"), len(data))
        return data[: at + 16] + md5(data[:at], usedforsecurity=False).digest() + data[at + 32 :]
    return b"".join(line + f" *{crc32(line):08X}\n".encode() for line in data.splitlines())


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes: a byte, special bytes, a piece cut out, a piece doubled."""
    found = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(0, len(found) + 1))
        size = int(rng.integers(1, 17))
        match rng.integers(0, 4):
            case 0:
                found[at : at + 1] = bytes([rng.integers(0, 256)])
            case 1:
                value = SPECIAL[rng.integers(0, len(SPECIAL))]
                found[at : at + len(value)] = value
            case 2:
                del found[at : at + size]
            case _:
                found[at:at] = found[at : at + size]
    return bytes(found)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("whole", [True, False])
def test_damage_gives_a_named_error(name: str, whole: bool) -> None:
    """With checksums that fit, and with those of the whole file."""
    rng = np.random.default_rng(len(name))
    data = seed(name)
    complete = sealed(name, data)
    for _ in range(1500):
        changed = sealed(name, damaged(data, rng)) if whole else damaged(complete, rng)
        READERS[name](changed)


@pytest.mark.parametrize("name", NAMES)
def test_truncation_gives_a_named_error(name: str) -> None:
    data = sealed(name, seed(name))
    for size in range(len(data)):
        READERS[name](data[:size])


def test_whole_files_are_read(tmp_path: Path) -> None:
    """Otherwise the tests above would test nothing but the first check."""
    whole = {name: sealed(name, seed(name)) for name in NAMES}
    (tmp_path / "x.npz").write_bytes(whole["gallery"])
    assert Gallery.load(tmp_path / "x.npz").names == ("ann", "bob")
    assert slots.read_slot("a", whole["slot_image"]).valid
    assert [partition.label for partition in update.parse_table(whole["partition_table"])] == [
        "nvs",
        "aether_a",
        "aether_b",
    ]
    assert len(StreamPool.from_bytes(random_model(), whole["saved_pool"])) == 3
    found = report.parse(whole["serial_report"].decode())
    assert found.ended
    assert found.total("checks") == 2


def test_embeddings_beyond_binary32_are_rejected(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", gallery_names=np.array(["ann"]), gallery_embeddings=np.array([[1e300, 0.0]]))
    with pytest.raises(InvalidArgumentError, match="expected names and finite embeddings"):
        Gallery.load(tmp_path / "x.npz")


def test_archive_is_what_packing_its_finds_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed = corpus.ARCHIVE.read_bytes()
    finds = corpus.finds()
    monkeypatch.setattr(corpus, "ARCHIVE", tmp_path / "corpus.zip")
    corpus.pack(dict(reversed(finds.items())))
    assert corpus.ARCHIVE.read_bytes() == committed


def test_every_target_has_inputs(tmp_path: Path) -> None:
    targets = {path.stem.removeprefix("fuzz_") for path in Path(corpus.__file__).parent.glob("fuzz_*.c")}
    targets |= set(READERS)
    count = corpus.unpack(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == targets
    assert len(list(tmp_path.glob("*/*"))) == count == len(corpus.finds()) + len(corpus.seeds())


def test_adding_keeps_new_bytes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = corpus.finds()
    corpus.unpack(tmp_path / "work")
    monkeypatch.setattr(corpus, "ARCHIVE", tmp_path / "corpus.zip")
    corpus.pack(before)
    assert corpus.add(tmp_path / "work") == 0
    (tmp_path / "work" / "rvne" / "renamed").write_bytes(corpus.seeds()["rvne/plain-binary32"])
    (tmp_path / "work" / "rvne" / "new").write_bytes(b"new")
    assert corpus.add(tmp_path / "work") == 1
    assert corpus.finds() == {**before, "rvne/new": b"new"}
