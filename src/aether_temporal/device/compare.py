"""Compares a chip's report with this computer's run of the same vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aether_temporal import __version__
from aether_temporal._core import crc32
from aether_temporal.host.golden import run_golden

from .report import Report

__all__ = ["Comparison", "FileCounts", "HostRun", "compare", "host_run"]

PORTABLE = "portable"  # the variant that every build has


@dataclass(frozen=True)
class FileCounts:
    """Counts of one golden file, by the portable variant on this computer."""

    name: str
    cases: int
    checks: int
    compared: int
    failed: int


@dataclass(frozen=True)
class HostRun:
    """This computer's run: core version, bytes of the vectors, CRC over their files' own CRCs, counts file by file."""

    core: str
    bytes: int
    crc: str
    files: tuple[FileCounts, ...]

    def total(self, what: str) -> int:
        return sum(getattr(file, what) for file in self.files)


@dataclass(frozen=True)
class Comparison:
    """`differences` describes each difference; empty: every bit is equal."""

    host: HostRun
    report: Report
    differences: tuple[str, ...]

    @property
    def identical(self) -> bool:
        return not self.differences

    def as_json(self) -> dict[str, Any]:
        return {
            "identical": self.identical,
            "differences": list(self.differences),
            "host": asdict(self.host),
            "chip": self.report.as_json(),
        }


def host_run(files: Sequence[tuple[str, bytes]]) -> HostRun:
    """Runs golden files (name and bytes, in the order of their names) here. GoldenFileError."""
    counts, crc = [], 0
    for name, data in files:
        report = run_golden(data, PORTABLE, name)
        counts.append(FileCounts(name, report.cases, len(report.checks), report.compared, len(report.failures)))
        crc = crc32(
            data[-4:], crc
        )  # the file's own CRC, because the CRC over a file that ends with its CRC is constant
    return HostRun(__version__, sum(len(data) for _, data in files), f"{crc:08X}", tuple(counts))


def compare(report: Report, host: HostRun) -> Comparison:
    """Compares a complete report with the host's run. Other vectors, a missing variant or file, and other counts are
    differences, like a wrong bit."""
    return Comparison(host, report, (*_identity(report, host), *_files(report, host), *_bits(report)))


def _identity(report: Report, host: HostRun) -> list[str]:
    found = []
    if report.core != host.core:
        found.append(f"core: expected version {host.core} as here, found {report.core}")
    if (report.bytes, report.crc) != (host.bytes, host.crc):
        here = f"{host.bytes} bytes with CRC {host.crc}"
        found.append(f"golden vectors: expected {here} as here, found {report.bytes} with {report.crc}")
    if host.total("failed"):
        found.append(
            f"this computer: expected no failed check, found {host.total('failed')} (aether parity shows them)"
        )
    return found


def _files(report: Report, host: HostRun) -> list[str]:
    found = []
    variants = report.kernels()
    if PORTABLE not in variants or report.variants != len(variants):
        found.append(f"variants: expected {report.variants}, {PORTABLE!r} among them, found {variants}")
    for kernels in variants:
        mine = [file for file in report.files if file.kernels == kernels]
        if [file.index for file in mine] != list(range(len(host.files))):
            found.append(f"{kernels}: expected files 0 to {len(host.files) - 1}, found {[file.index for file in mine]}")
            continue
        for file, here in zip(mine, host.files, strict=True):
            if file.status != "OK":
                found.append(f"{kernels} {here.name}: expected status OK, found {file.status}")
                continue
            for what in ("cases", "checks", "compared"):
                if getattr(file, what) != getattr(here, what):
                    count = f"expected {getattr(here, what)} as here, found {getattr(file, what)}"
                    found.append(f"{kernels} {here.name}: {what}: {count}")
    return found


def _bits(report: Report) -> list[str]:
    found = [str(failure) for failure in report.failures]
    if report.stack and report.stack == report.stack_size:
        found.append(f"stack: expected less than {report.stack_size} bytes, found all of them used")
    return found
