"""Runs every target at every level, and the controls that must fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import emulation, vectors
from .build import Builder, BuildError
from .emulation import Report, ReportError, parse
from .sizes import Sizes
from .targets import Control, Target

TRAP = 100  # exit codes from this one on mean that the processor trapped


@dataclass
class Row:
    """Outcome of one image. `problem` is empty if it is as expected."""

    target: str
    level: str
    processor: str
    stands_for: str
    control: str = ""
    what: str = ""
    problem: str = ""
    report: Report = field(default_factory=Report)
    core: Sizes = field(default_factory=Sizes)
    program: Sizes = field(default_factory=Sizes)
    code: int | None = None
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "report": self.report.as_json()}


def _stopped(run: emulation.Run) -> str:
    if run.code is None:
        return f"still running after {emulation.SECONDS} s"
    return f"exit code {run.code}; {run.errors.strip()[-300:]}" if run.errors.strip() else f"exit code {run.code}"


def judge(row: Row, run: emulation.Run) -> str:
    """Why the run does not show parity; empty if it does."""
    if not row.report.ended:
        return f"the report is incomplete: {_stopped(run)}"
    if row.report.failures:
        return f"{len(row.report.failures)} failed checks, first {row.report.failures[0]}"
    for file in row.report.files:
        if file.status != "OK":
            return f"file {file.index} with {file.kernels}: {file.status}"
    if row.report.stack and row.report.stack == row.report.stack_size:
        return f"the stack of {row.report.stack_size} bytes is exhausted"
    if run.code != 0:
        return _stopped(run)
    good = vectors.whole()
    if row.report.variants != len(row.report.kernels()) or "portable" not in row.report.kernels():
        return f"{row.report.variants} variants, lines for {row.report.kernels()}"
    for kernels in row.report.kernels():
        files, cases = sum(f.kernels == kernels for f in row.report.files), row.report.total("cases", kernels)
        if files != len(good.files) or cases != good.cases:
            return f"{kernels}: {files} files and {cases} cases, expected {len(good.files)} and {good.cases}"
    return ""


def judge_control(row: Row, run: emulation.Run, control: Control) -> str:
    """Why the control did not fail as expected; empty if it did."""
    report = row.report
    if control.expect == "trap":
        if report.ended or run.code is None or run.code < TRAP:
            return f"expected a trap, found {'a complete report' if report.ended else _stopped(run)}"
        return ""
    if not report.ended or run.code != 1:
        return f"expected a complete report and exit code 1, found {_stopped(run)}"
    if control.expect == "rejected":
        states = [f.status for f in report.files]
        return "" if "GOLDEN" in states and not report.failures else f"expected a rejected file, found {states}"
    if any(f.status != "OK" for f in report.files):
        return f"expected readable files, found {[f.status for f in report.files]}"
    cases = {failure.case for failure in report.failures}
    if control.expect == "one-case":
        changed = vectors.flipped_under_crc()
        elements = {failure.element for failure in report.failures}
        if cases != {changed.changed_case} or elements != {str(changed.changed_element)}:
            return f"expected {changed.changed_case} element {changed.changed_element}, found {cases} {elements}"
        return ""
    return "" if any(failure.mismatches for failure in report.failures) else "expected other bits, found none"


class Matrix:
    """Builds in the folder `work`, `jobs` compilers at a time, and runs."""

    def __init__(self, work: Path, jobs: int) -> None:
        self.builder = Builder(work, jobs)

    def _row(self, target: Target, level: str, control: Control | None = None) -> Row:
        row = Row(target.name, level, target.processor, target.stands_for)
        if control is not None:
            row.control, row.what, target = control.name, control.what, target.under(control)
        try:
            image = self.builder.build(target, level, row.control)
            row.core, row.program = image.core, image.program
            run = emulation.run(target, image.path)
            row.code, row.seconds = run.code, round(run.seconds, 2)
            row.report = parse(run.output)
            row.problem = judge_control(row, run, control) if control is not None else judge(row, run)
        except (BuildError, ReportError) as error:
            row.problem = str(error)
        if not row.problem and target.portable_only and row.core.variables and target.recipe != "llvm-wasm":
            row.problem = f"the core has {row.core.variables} bytes of variables, expected none"
        return row

    def rows(self, target: Target, levels: list[str], controls: bool) -> Iterator[Row]:
        for level in levels:
            yield self._row(target, level)
        if controls:
            for control in target.control:
                yield self._row(target, levels[0], control)


def agreement(rows: list[Row]) -> str:
    """Why the targets do not agree on what they compared; empty if they do."""
    counts = {
        tuple(row.report.total(what, "portable") for what in ("cases", "checks", "compared")): row.target
        for row in rows
        if not row.control and not row.problem
    }
    return "" if len(counts) < 2 else f"expected equal counts of cases, checks and words on all targets, found {counts}"
