"""Reports of the parity application (firmware/README.md).

Standard library only and nothing of this package: tools/parity uses it from a checkout that is not installed.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Failure", "FileResult", "Line", "LineSplitter", "Report", "ReportError", "parse", "read_lines"]

LINE = re.compile(r"(aether ([a-z]+)((?: [a-z_]+=\S+)*)) \*([0-9A-F]{8})")


class ReportError(ValueError):
    """The report is incomplete or damaged; the message names the line, or what is missing."""


@dataclass(frozen=True)
class Failure:
    """One way of computing one case that gave wrong bits."""

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


@dataclass(frozen=True)
class Line:
    """One line with a correct CRC."""

    kind: str
    values: dict[str, str]


@dataclass
class Report:
    """The lines of one run, in order. Complete when `ended` is set; `check` verifies that no line is missing."""

    id: str = ""
    core: str = ""
    chip: str = ""
    bytes: int = 0  # of golden vectors in the image
    crc: str = ""  # of them
    files: list[FileResult] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    variants: int = 0
    failed_files: int = 0
    stack: int = 0
    stack_size: int = 0
    lines: int = 0  # as the last line counts them
    taken: int = 0  # that were read
    ended: bool = False

    def total(self, what: str, kernels: str | None = None) -> int:
        """The sum of one count over the files, of one variant or of all."""
        return sum(getattr(f, what) for f in self.files if kernels is None or f.kernels == kernels)

    def kernels(self) -> list[str]:
        return list(dict.fromkeys(f.kernels for f in self.files))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def take(self, line: Line) -> None:
        """Takes the next line. ReportError when the line is invalid or out of order."""
        kind, values = line.kind, line.values
        if self.ended:
            raise ReportError(f"line: expected none after 'end', found {kind!r}")
        if (kind == "begin") != (self.taken == 0):
            raise ReportError(f"line: expected {'no second' if self.taken else 'the'} line 'begin', found {kind!r}")
        try:
            self._take(kind, values)
        except KeyError as error:
            raise ReportError(f"line {kind!r}: expected {error.args[0]}, found no such value") from error
        except (TypeError, ValueError) as error:
            raise ReportError(f"line {kind!r}: {error}") from error
        self.taken += 1

    def _take(self, kind: str, values: dict[str, str]) -> None:
        if kind == "begin":
            self.bytes = _number(values, "bytes")
            self.id, self.core, self.chip, self.crc = (values[key] for key in ("id", "core", "chip", "crc"))
        elif kind == "file":
            self.files.append(_typed(FileResult, values))
        elif kind == "fail":
            self.failures.append(_typed(Failure, values))
        elif kind == "end":
            names = ("variants", "failed_files", "stack", "stack_size", "lines")
            counts = [_number(values, key) for key in names]
            self.variants, self.failed_files, self.stack, self.stack_size, self.lines = counts
            self.ended = True
        else:
            raise ReportError(f"unknown line {kind!r}")

    def check(self) -> None:
        """ReportError when the lines contradict each other, because some are missing."""
        if self.ended and self.lines != self.taken:
            raise ReportError(f"{self.lines} lines were sent, {self.taken} arrived")
        files = {(file.kernels, file.index) for file in self.files}
        failures = {(failure.kernels, failure.case, failure.path) for failure in self.failures}
        if len(files) != len(self.files) or len(failures) != len(self.failures):
            raise ReportError("lines: expected each once, found one twice")
        if self.ended and self.failed_files != sum(f.status != "OK" or f.failed > 0 for f in self.files):
            counted = sum(f.status != "OK" or f.failed > 0 for f in self.files)
            raise ReportError(f"failed_files: expected {counted}, as the lines say, found {self.failed_files}")
        if self.total("failed") != len(self.failures):
            raise ReportError(
                f"failed checks: expected a line for each of {self.total('failed')}, found {len(self.failures)}"
            )


def _number(values: dict[str, str], key: str) -> int:
    if not re.fullmatch("[0-9]{1,20}", values[key]):
        raise ReportError(f"{key}: expected a count, found {values[key]!r}")
    return int(values[key])


def _typed(kind: type, values: dict[str, str]) -> Any:
    types = kind.__annotations__
    if not set(values) <= set(types):
        raise ReportError(f"unknown {', '.join(sorted(set(values) - set(types)))} in {values}")
    return kind(**{key: _number(values, key) if types[key] == "int" else value for key, value in values.items()})


def _line(match: re.Match[str] | None) -> Line | None:
    if match is None or zlib.crc32(match[1].encode("latin-1", "replace")) != int(match[4], 16):
        return None
    return Line(match[2], dict(part.split("=", 1) for part in match[3].split()))


def read_lines(text: str) -> list[Line]:
    """The report lines in `text` with a correct CRC; other text is ignored."""
    starts = [found.start() for found in re.finditer("aether ", text)]
    return [line for start in starts if (line := _line(LINE.match(text, start))) is not None]


def parse(text: str) -> Report:
    """Parses text that holds one report only. Without its last line, `ended` is False. ReportError."""
    report = Report()
    for number, text_line in enumerate(text.splitlines(), 1):
        line = _line(LINE.fullmatch(text_line.removesuffix("\r")))
        if line is None:
            raise ReportError(f"line {number} is damaged: {text_line[:120]!r}")
        try:
            report.take(line)
        except ReportError as error:
            raise ReportError(f"line {number}: {error}: {text_line[:120]!r}") from error
    report.check()
    return report


class LineSplitter:
    """Splits bytes into lines. A line longer than `longest`, which no report line is, loses its beginning."""

    def __init__(self, longest: int = 4096) -> None:
        self._longest = longest
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that these bytes complete, without line ends, decoded as Latin-1."""
        *lines, rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        self._rest = rest[-self._longest :]
        return [line[-self._longest :].decode("latin-1") for line in lines if line]

    def drop(self) -> None:
        """Discards the incomplete line."""
        self._rest = b""
