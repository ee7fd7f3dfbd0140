#!/usr/bin/env python3
"""Puts the consumer's program into a folder, and its data as words: `make_sources.py FOLDER`. Standard library only."""

from __future__ import annotations

import shutil
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BLOB = ROOT / "src" / "aether_temporal" / "blobs" / "demo.rvne"
GOLDEN = ROOT / "tests" / "golden" / "kernels.agv"


def words(name: str, data: bytes) -> str:
    body = ", ".join(f"{word}u" for (word,) in struct.iter_unpack("<I", data))
    return f"static const uint32_t {name}[] = {{{body}}};\n"


def make(folder: Path) -> None:
    for name in ("consumer.c", "say.h"):
        shutil.copy(HERE / name, folder)
    data = words("blob", BLOB.read_bytes()) + words("golden", GOLDEN.read_bytes())
    (folder / "data.h").write_text(data, encoding="ascii")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
