"""Reading what the parity application prints (firmware/README.md)."""

from __future__ import annotations

import re
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any

LINE = re.compile(r"(aether ([a-z]+)((?: [a-z_]+=\S+)*)) \*([0-9A-F]{8})\r?")


class ReportError(ValueError):
    """A report that is not whole; the message says which line, or what is missing."""


@dataclass(frozen=True)
class Failure:
    """One way of computing one case that did not give the expected bits."""

    kernels: str
    case: str
    path: str
    status: str
    expected_status: str
    mismatches: int
    compared: int
    element: str = ""
    expected: str = ""
    got: str = ""

    def __str__(self) -> str:
        if self.status != self.expected_status:
            return f"{self.kernels} {self.case} [{self.path}]: status {self.status}, expected {self.expected_status}"
        first = f"{self.mismatches} words, first element {self.element}"
        where = "CRC of all words" if self.element == "crc" else first
        return f"{self.kernels} {self.case} [{self.path}]: {where}: got {self.got}, expected {self.expected}"


@dataclass(frozen=True)
class FileResult:
    """One golden file with one kernel variant."""

    kernels: str
    index: int
    status: str
    cases: int
    checks: int
    compared: int
    failed: int
    scratch: int


@dataclass
class Report:
    core: str = ""
    files: list[FileResult] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    variants: int = 0
    failed_files: int = 0
    stack: int = 0
    stack_size: int = 0
    ended: bool = False

    def total(self, what: str, kernels: str | None = None) -> int:
        """The sum of one count over the files, of one variant or of all."""
        return sum(getattr(f, what) for f in self.files if kernels is None or f.kernels == kernels)

    def kernels(self) -> list[str]:
        return list(dict.fromkeys(f.kernels for f in self.files))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def _typed(kind: type, values: dict[str, str]) -> Any:
    types = kind.__annotations__
    if not set(values) <= set(types):
        raise ReportError(f"unknown {', '.join(sorted(set(values) - set(types)))} in {values}")
    try:
        return kind(**{key: int(value) if types[key] == "int" else value for key, value in values.items()})
    except (TypeError, ValueError) as error:
        raise ReportError(f"{values}: {error}") from error


def _take(report: Report, kind: str, values: dict[str, str]) -> None:
    if kind == "begin":
        report.core = values["core"]
    elif kind == "file":
        report.files.append(_typed(FileResult, values))
    elif kind == "fail":
        report.failures.append(_typed(Failure, values))
    elif kind == "end":
        report.variants = int(values["variants"])
        report.failed_files = int(values["failed_files"])
        report.stack = int(values["stack"])
        report.stack_size = int(values["stack_size"])
        report.ended = True
    else:
        raise ReportError(f"unknown line {kind!r}")


def parse(text: str) -> Report:
    """Every line checked against its CRC. A report without its last line is returned with `ended` false."""
    report = Report()
    for number, line in enumerate(text.splitlines(), 1):
        match = LINE.fullmatch(line)
        if match is None or zlib.crc32(match[1].encode("ascii")) != int(match[4], 16):
            raise ReportError(f"line {number} is damaged: {line[:120]!r}")
        if report.ended:
            raise ReportError(f"line {number} comes after the end: {line[:120]!r}")
        try:
            _take(report, match[2], dict(part.split("=", 1) for part in match[3].split()))
        except (KeyError, ValueError) as error:
            raise ReportError(f"line {number}: {error}") from error
    if report.ended and report.failed_files != sum(f.status != "OK" or f.failed > 0 for f in report.files):
        raise ReportError("the last line counts other failed files than the lines before it")
    if report.total("failed") != len(report.failures):
        raise ReportError(f"{report.total('failed')} failed checks, but {len(report.failures)} lines about them")
    return report
