"""What fuzz_host_files.py and the tests share: readers of files that Python alone reads, each with a whole file.

A reader returns, or raises one of the package's errors; anything else is a fault. What it returns can be used.
"""

from __future__ import annotations

import io
import struct
import tempfile
import zipfile
from collections.abc import Callable
from hashlib import md5
from pathlib import Path

import numpy as np

from aether_temporal import TemporalError, WeightBlobHeader, crc32
from aether_temporal.blob_tools import random_blob
from aether_temporal.device import report, slots, update
from aether_temporal.running import Gallery
from aether_temporal.running.gallery import is_gallery

_FILE = Path(tempfile.mkdtemp()) / "file"
_SLOT_BYTES = 1 << 16


def _gallery(data: bytes) -> None:
    _FILE.write_bytes(data)
    if not is_gallery(_FILE):
        return
    found = Gallery.load(_FILE)
    assert found.embeddings.dtype == np.float32
    assert np.isfinite(found.embeddings).all()
    found.scores(np.ones(found.embeddings.shape[1], dtype=np.float32))
    "".join(found.names).encode("utf-8", "surrogatepass")


def _slot(data: bytes) -> None:
    found = slots.read_slot("aether_a", data, _SLOT_BYTES)
    assert found.valid == (not found.problem)
    slots.first_choice([found, found])


def _table(data: bytes) -> None:
    for partition in update.parse_table(data):
        assert partition.size > 0
        assert partition.offset + partition.size <= 1 << 32
    update.slot_partitions(update.parse_table(data))


def _report(data: bytes) -> None:
    splitter = report.LineSplitter()
    lines = [line for at in range(0, len(data), 61) for line in splitter.feed(data[at : at + 61])]
    for line in lines:
        report.read_lines(line)
    try:
        report.parse("\n".join(lines)).as_json()
    except report.ReportError:
        return


READERS: dict[str, Callable[[bytes], None]] = {
    "gallery": _gallery,
    "slot": _slot,
    "partition_table": _table,
    "report": _report,
}


def read(name: str, data: bytes) -> None:
    """AssertionError, or what the reader must not raise."""
    try:
        READERS[name](data)
    except TemporalError as error:
        assert str(error)


def seed(name: str) -> bytes:
    """The whole file that inputs start from, without its checksums (`sealed` adds them)."""
    if name == "gallery":
        names, embeddings = _npy(np.array(["ann", "bob"])), _npy(np.eye(2, 5, dtype=np.float32))
        return len(names).to_bytes(2, "little") + names + embeddings
    if name == "slot":
        header = WeightBlobHeader(
            dtype="float32", input_dim=2, n_q_heads=1, n_kv_heads=1, head_dim=2, n_layers=1, n_classes=2
        )
        return slots.pack_slot(random_blob(header, 1).serialize(), 7)
    if name == "partition_table":
        rows = [
            struct.pack("<HBBII16sI", 0x50AA, 1, 6, 0x10000 * (i + 1), _SLOT_BYTES, label, 0)
            for i, label in enumerate((b"nvs", b"aether_a", b"aether_b"))
        ]
        return b"".join(rows) + (b"\xeb\xeb" + b"\xff" * 30).ljust(0x100, b"\xff")
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
    if name == "slot":
        return data[:60] + crc32(data[:60]).to_bytes(4, "little") + data[64:]
    if name == "partition_table":
        at = next((at for at in range(0, len(data), 32) if data[at : at + 2] == b"\xeb\xeb"), len(data))
        return data[: at + 16] + md5(data[:at], usedforsecurity=False).digest() + data[at + 32 :]
    return b"".join(line + f" *{crc32(line):08X}\n".encode() for line in data.splitlines())


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
