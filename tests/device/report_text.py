"""Reports as a chip writes them."""

from __future__ import annotations

import zlib


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
