"""Golden vectors: files of inputs and exact output bits (docs/spec/golden.md), run against the core on this host."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from aether_temporal import _core
from aether_temporal._internal.kernels import choose

__all__ = ["GoldenCheck", "GoldenReport", "golden_files", "run_golden", "run_golden_files"]


class GoldenCheck(NamedTuple):
    """One way of computing one case. `first` is the first element that differs (None: none, or only the CRC over all
    does); `expected` and `found` are binary32 bits there."""

    case: str
    path: str
    passed: bool
    compared: int
    mismatches: int
    first: int | None
    expected: int
    found: int
    expected_status: str
    status: str

    def __str__(self) -> str:
        if self.passed:
            return f"{self.case} ({self.path}): {self.compared} values, all bits equal"
        if self.status != self.expected_status:
            return f"{self.case} ({self.path}): expected status {self.expected_status}, found {self.status}"
        where = "CRC over all values" if self.first is None else f"element {self.first}"
        return (
            f"{self.case} ({self.path}): {self.mismatches} of {self.compared} values differ; {where}: "
            f"expected 0x{self.expected:08X}, found 0x{self.found:08X}"
        )


@dataclasses.dataclass(frozen=True)
class GoldenReport:
    """The result of one kernel variant on a golden file."""

    file: str
    kernels: str
    cases: int
    compared: int
    checks: tuple[GoldenCheck, ...]

    @property
    def failures(self) -> tuple[GoldenCheck, ...]:
        return tuple(check for check in self.checks if not check.passed)

    @property
    def passed(self) -> bool:
        """Whether every check passed, and there was one."""
        return bool(self.checks) and not self.failures


def run_golden(data: bytes, kernels: str | None = None, file: str = "") -> GoldenReport:
    """Runs the bytes of a golden file with a kernel variant. GoldenFileError, KernelsError."""
    variant = choose(kernels)
    (cases, _, _, compared), rows = _core.run_golden(data, variant)
    return GoldenReport(file, variant, cases, compared, tuple(GoldenCheck(*row) for row in rows))


def golden_files(folder: str | os.PathLike[str] | None = None) -> list[tuple[str, bytes]]:
    """Name and bytes of the golden files in a folder; None: those that came with the package. FileNotFoundError when
    there are none."""
    found: list[tuple[str, bytes]] = []
    place = resources.files("aether_temporal") / "golden_vectors" if folder is None else Path(folder)
    if place.is_dir():
        found = sorted((item.name, item.read_bytes()) for item in place.iterdir() if item.name.endswith(".agv"))
    if not found:
        raise FileNotFoundError(f"no golden files (*.agv) in {place}")
    return found


def run_golden_files(
    folder: str | os.PathLike[str] | None = None, kernels: str | None = None
) -> Iterator[GoldenReport]:
    """Runs every golden file of a folder (None: the package's own), one report each."""
    for name, data in golden_files(folder):
        yield run_golden(data, kernels, name)
