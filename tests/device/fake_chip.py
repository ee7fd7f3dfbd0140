"""A chip for tests: replies of the parity application over a line that a test may damage, and flash with its slots."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count

from aether_temporal.device.update import TABLE_OFFSET
from aether_temporal.errors import PortError

# The lines of one report (which, its lines) to the bytes that arrive; further entries come when it is asked again.
Way = Callable[[int, list[str]], list[bytes]]


def line(text: str) -> str:
    text = f"aether {text}"
    return f"{text} *{zlib.crc32(text.encode()):08X}"


def file_line(index: int, failed: int = 0, kernels: str = "portable", **other: object) -> str:
    values = {"status": "OK", "cases": 5, "checks": 9, "compared": 100 + index, "failed": failed, "scratch": 8, **other}
    return line(f"file kernels={kernels} index={index} " + " ".join(f"{key}={value}" for key, value in values.items()))


def fail_line(case: str = "exp/edges", kernels: str = "portable") -> str:
    counts = "path=map status=OK expected_status=OK mismatches=1 compared=9"
    return line(f"fail kernels={kernels} case={case} {counts} element=3 expected=3F800000 got=3F800001")


def report_lines(identity: str = "boot", files: int = 3, fails: int = 0) -> list[str]:
    """A whole report with this many files, and failures in the last of them."""
    middle = [file_line(i) for i in range(files - 1)] + [fail_line(f"case/{i}") for i in range(fails)]
    middle.append(file_line(files - 1, fails))
    counts = f"variants=1 failed_files={int(fails > 0)} stack=100 stack_size=16384 lines={len(middle) + 2}"
    begin = line(f"begin id={identity} core=0.1.0 chip=fake bytes=1234 crc=0BADF00D")
    return [begin, *middle, line(f"end {counts}")]


def whole(which: int, lines: list[str]) -> list[bytes]:
    return [text.encode() + b"\n" for text in lines]


class FakeChip:
    """A Port. Every piece takes a second to arrive. `boots`: it has just started and runs by itself."""

    name = "fake"

    def __init__(self, way: Way = whole, boots: bool = True, deaf: int = 0, fails: int = 0) -> None:
        self.now = 0.0
        self.commands: list[str] = []
        self.resets = 0
        self._way, self._fails, self._deaf = way, fails, deaf
        self._runs: Iterator[int] = count()
        self._queue: deque[bytes | Exception] = deque()
        self._typed = b""
        if boots:
            self.run("boot")

    def clock(self) -> float:
        return self.now

    def run(self, identity: str) -> None:
        self._queue += self._way(next(self._runs), report_lines(identity, fails=self._fails))

    def read(self, seconds: float) -> bytes:
        if not self._queue:
            self.now += seconds
            return b""
        self.now += 1.0
        piece = self._queue.popleft()
        if isinstance(piece, Exception):
            raise piece
        return piece

    def write(self, data: bytes) -> bool:
        *lines, self._typed = (self._typed + data).split(b"\n")
        for text in filter(None, lines):
            self.commands.append(text.decode())
            if self._deaf > 0:
                self._deaf -= 1
                continue
            verb, identity = text.decode().split()
            if verb == "parity":
                self.run(identity)
            elif verb == "info":
                self._queue.append(line(f"info id={identity} core=0.1.0 chip=fake").encode() + b"\n")
        return True

    def reset(self) -> None:
        self.resets += 1
        self.run("boot")

    def reopen(self) -> bool:
        return False


class LostPort(FakeChip):
    """Its port vanishes after the first piece; whether it comes back is the test's choice."""

    def __init__(self, back: bool) -> None:
        super().__init__(lambda which, lines: [lines[0].encode() + b"\n"] if which == 0 else whole(which, lines))
        self._queue.append(PortError("fake: gone"))
        self._back = back

    def reopen(self) -> bool:
        if self._back:
            self.run("boot")
        return self._back


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
