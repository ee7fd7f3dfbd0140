#!/usr/bin/env python3
"""Makes src/self_test_vectors.c: the few golden cases that ruv_temporal_kernel_self_test runs."""

from __future__ import annotations

import argparse
import struct
import sys
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parents[2] / "tests" / "golden"
OUT = HERE / "src" / "self_test_vectors.c"

CASES = (
    "exp/edges",
    "exp/below",
    "sqrt/edges",
    "sqrt/subnormal",
    "scale/dims",
    "narrow/edges",
    "crc/65",
    "linear/2x17x33-bias-2^3",
    "linear/2x8x17-f16-bias-2^0",
    "linear/2x12x19-bias-2^-126",
    "amplitude/subcarriers",
    "gather/17-13-2x64",
    "gather/41-37-f16-4x32",
    "block-mean/7-of-30-2^-126",
    "resample/odd-parts",
    "attention/scores-subnormal",
    "attention/ring-33-f16",
    "model/every-section-f16",
)


def cases() -> dict[str, bytes]:
    """Every golden case by name, as it stands in its file."""
    found: dict[str, bytes] = {}
    for path in sorted(GOLDEN.glob("*.agv")):
        data = path.read_bytes()
        at = 16
        for _ in range(struct.unpack_from("<I", data, 12)[0]):
            size = struct.unpack_from("<I", data, at)[0]
            found[data[at + 32 : at + 80].split(b"\0")[0].decode("ascii")] = data[at : at + size]
            at += size
    return found


def source() -> str:
    """The whole C file."""
    known = cases()
    body = b"".join(known[name] for name in CASES)
    data = struct.pack("<4I", 0x31564741, 1, 16 + len(body) + 4, len(CASES)) + body
    data += struct.pack("<I", zlib.crc32(data))
    words = [f"0x{word:08X}u" for (word,) in struct.iter_unpack("<I", data)]
    lines = [", ".join(words[at : at + 8]) + "," for at in range(0, len(words), 8)]
    head = "/* Made by make_self_test.py from tests/golden. Do not edit. */\n"
    names = "".join(f"   {name}\n" for name in CASES).rstrip("\n")
    return (
        f"{head}/* Cases:\n{names} */\n"
        '#include "self_test_vectors.h"\n\n'
        f"const size_t ruv_self_test_bytes = {len(data)}u;\n"
        f"const uint32_t ruv_self_test_vectors[{len(words)}] = {{\n    " + "\n    ".join(lines) + "\n};\n"
    )


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    if parser.parse_args().check:
        if OUT.read_text(encoding="utf-8") == source():
            return 0
        print(f"{OUT} is not what tests/golden says: run {Path(__file__).name}", file=sys.stderr)
        return 1
    OUT.write_text(source(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
