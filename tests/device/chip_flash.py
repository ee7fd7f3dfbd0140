"""Flash as it lies on a chip, for tests: a partition table and what the slots hold."""

from __future__ import annotations

import hashlib
import struct

from aether_temporal.device.update import TABLE_OFFSET

FLASH_BYTES = 0x80000
SLOT_A, SLOT_B, SLOT_BYTES = 0x40000, 0x60000, 0x20000


def entry(label: str, kind: int, subtype: int, offset: int, size: int, flags: int = 0) -> bytes:
    return struct.pack("<HBBII16sI", 0x50AA, kind, subtype, offset, size, label.encode(), flags)


ENTRIES = [
    entry("nvs", 1, 2, 0x9000, 0x6000),
    entry("phy_init", 1, 1, 0xF000, 0x1000),
    entry("factory", 0, 0, 0x10000, 0x30000),
    entry("aether_a", 1, 6, SLOT_A, SLOT_BYTES),
    entry("aether_b", 1, 6, SLOT_B, SLOT_BYTES),
]


def table_of(entries: list[bytes], md5: bool = True) -> bytes:
    body = b"".join(entries)
    end = b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(body).digest() if md5 else b""
    return (body + end).ljust(0xC00, b"\xff")


def blank(table: bytes | None = None) -> bytearray:
    flash = bytearray(b"\xff" * FLASH_BYTES)
    found = table_of(ENTRIES) if table is None else table
    flash[TABLE_OFFSET : TABLE_OFFSET + len(found)] = found
    return flash


class MemoryFlash:
    """A Flash in memory, without a program in between; `left` counts down the bytes until the power fails."""

    def __init__(self, data: bytearray | None = None) -> None:
        self.data = blank() if data is None else data
        self.left: int | None = None
        self.writes: list[tuple[int, int]] = []

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self.data[offset : offset + size])

    def write(self, offset: int, data: bytes) -> None:
        self.writes.append((offset, len(data)))
        for at in range(0, len(data), 4096):
            self._spend()
            self.data[offset + at : offset + at + 4096] = b"\xff" * 4096
            for i, byte in enumerate(data[at : at + 4096]):
                if self.left is not None:
                    self._spend()
                self.data[offset + at + i] &= byte

    def _spend(self) -> None:
        if self.left is not None:
            if self.left == 0:
                raise ConnectionAbortedError("power")
            self.left -= 1
