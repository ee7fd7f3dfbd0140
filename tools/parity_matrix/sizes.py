"""Counts the bytes of code and data in a program or object file: ELF (32 and 64 bit) or WebAssembly."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

WRITABLE, ALLOCATED, EXECUTABLE = 1, 2, 4
NOBITS = 8


@dataclass(frozen=True)
class Sizes:
    """Bytes of instructions, constants, and variables including zeroed ones. WebAssembly counts no variables."""

    code: int = 0
    constants: int = 0
    variables: int = 0

    def __add__(self, other: Sizes) -> Sizes:
        return Sizes(self.code + other.code, self.constants + other.constants, self.variables + other.variables)


def measure(path: Path) -> Sizes:
    data = path.read_bytes()
    if data[:4] == b"\x7fELF":
        return _elf(data)
    if data[:4] == b"\0asm":
        return _wasm(data)
    raise ValueError(f"{path}: expected ELF or WebAssembly, found neither")


def _elf(data: bytes) -> Sizes:
    wide = data[4] == 2
    table = struct.unpack_from("<Q" if wide else "<I", data, 40 if wide else 32)[0]
    size, count = struct.unpack_from("<HH", data, 58 if wide else 46)
    total = Sizes()
    for i in range(count):
        header = struct.unpack_from("<IIQQQQ" if wide else "<IIIIII", data, table + i * size)
        flags, length = header[2], header[5]
        if not flags & ALLOCATED:
            continue
        if flags & EXECUTABLE:
            total += Sizes(code=length)
        elif flags & WRITABLE:
            total += Sizes(variables=length)
        else:
            total += Sizes(constants=length)
    return total


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _wasm(data: bytes) -> Sizes:
    total, at = Sizes(), 8
    while at < len(data):
        kind = data[at]
        length, at = _number(data, at + 1)
        if kind == 10:
            total += Sizes(code=length)
        elif kind == 11:
            total += Sizes(constants=length)
        at += length
    return total
