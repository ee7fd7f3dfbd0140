"""The golden files as one image, intact or damaged on purpose (docs/spec/golden.md)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from .targets import ROOT

GOLDEN = ROOT / "tests" / "golden"
FILE_WORDS = 4
CASE_WORDS = 20


@dataclass(frozen=True)
class Vectors:
    """All files, one after another. flipped_under_crc sets changed_case and changed_element to what it changed."""

    data: bytes
    files: list[str]
    cases: int
    last: bytes  # bytes of the last file
    changed_case: str = ""
    changed_element: int = -1


def _words(data: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(data) // 4}I", data))


@cache
def whole() -> Vectors:
    """The intact files, read once."""
    paths = sorted(GOLDEN.glob("*.agv"))
    if not paths:
        raise FileNotFoundError(f"expected golden files in {GOLDEN}, found none")
    blocks = [path.read_bytes() for path in paths]
    cases = sum(_words(block)[3] for block in blocks)
    return Vectors(b"".join(blocks), [path.name for path in paths], cases, blocks[-1])


def flipped() -> Vectors:
    """With one bit flipped in the middle of the last file."""
    good = whole()
    data = bytearray(good.data)
    data[len(data) - len(good.last) // 2] ^= 0x10
    return replace(good, data=bytes(data))


def flipped_under_crc() -> Vectors:
    """With the lowest bit of the last expected word flipped, and a correct CRC."""
    good = whole()
    block = good.last
    words = _words(block)
    at, found = FILE_WORDS, None
    for _ in range(words[3]):
        end = at + words[at] // 4
        status, outputs, stride = words[at + 2], words[at + 5], words[at + 6]
        if status == 0 and outputs > 0:
            name = struct.pack("<12I", *words[at + 8 : at + CASE_WORDS]).split(b"\0")[0].decode("ascii")
            found = (name, end - 1, (outputs - 1) // stride * stride)
        at = end
    if found is None:
        raise ValueError(f"{good.files[-1]}: expected a case with outputs, found none")
    name, place, element = found
    words[place] ^= 1
    body = struct.pack(f"<{len(words) - 1}I", *words[:-1])
    data = good.data[: -len(block)] + body + struct.pack("<I", zlib.crc32(body))
    return replace(good, data=data, changed_case=name, changed_element=element)


def small() -> Vectors:
    """Without the largest file, for tests of the programs around the vectors."""
    paths = sorted(GOLDEN.glob("*.agv"))
    largest = max(paths, key=lambda path: path.stat().st_size)
    kept = [path for path in paths if path != largest]
    data = [path.read_bytes() for path in kept]
    return Vectors(b"".join(data), [path.name for path in kept], sum(_words(block)[3] for block in data), data[-1])


MAKERS: dict[str, Callable[[], Vectors]] = {
    "whole": whole,
    "flipped": flipped,
    "flipped-under-crc": flipped_under_crc,
    "small": small,
}


def write(kind: str, folder: Path) -> Path:
    """Writes the image to a file, if it differs from what is there. Returns its path."""
    path = folder / f"vectors-{kind}.bin"
    data = MAKERS[kind]().data
    if not path.exists() or path.read_bytes() != data:
        path.write_bytes(data)
    return path
