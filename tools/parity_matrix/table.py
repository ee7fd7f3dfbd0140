"""Formats the matrix as Markdown tables and as lines, and checks before the long work that they can be written."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from .matrix import Row

BEGIN = "<!-- tools/parity --write: begin -->"
END = "<!-- tools/parity --write: end -->"


def _grid(head: list[str], lines: list[list[str]]) -> str:
    table = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in table)


def _number(value: int) -> str:
    return f"{value:,}".replace(",", " ") if value else "–"


def _problem(row: Row) -> str:
    return f"**{row.problem.splitlines()[0]}**"


def parity(rows: list[Row]) -> str:
    """The table of images whose results must be identical."""
    lines = []
    for row in rows:
        if row.control:
            continue
        report = row.report
        lines.append(
            [
                f"`{row.target}`",
                row.processor,
                row.stands_for,
                f"`{row.level}`",
                _number(report.total("cases")),
                _number(report.total("compared")),
                _problem(row) if row.problem else str(sum(failure.mismatches for failure in report.failures)),
                _number(row.core.code),
                _number(row.core.constants),
                _number(report.stack),
            ]
        )
    head = ["target", "processor", "stands for", "level", "cases", "elements compared", "mismatches"]
    return _grid([*head, "code", "constants", "stack"], lines)


def outcome(row: Row) -> str:
    """How a control failed."""
    report = row.report
    if not report.ended:
        return f"trapped, exit code {row.code}"
    if not report.failures:
        return "rejected: " + ", ".join(f"file {f.index} {f.status}" for f in report.files if f.status != "OK")
    cases = len({(failure.kernels, failure.case) for failure in report.failures})
    words = sum(failure.mismatches for failure in report.failures)
    return f"{_number(words)} mismatches in {cases} of {_number(report.total('cases'))} cases"


def controls(rows: list[Row]) -> str:
    """The table of controls, which must fail."""
    lines = []
    for row in rows:
        if row.control:
            lines.append([f"`{row.target}`", row.what, outcome(row), _problem(row) if row.problem else "yes"])
    return _grid(["target", "changed", "outcome", "as expected"], lines)


def line(row: Row) -> str:
    """One row for a terminal."""
    name = f"{row.target} {row.level}" + (f" {row.control}" if row.control else "")
    if row.problem:
        return f"{name:<34} WRONG {row.problem}"
    if row.control:
        return f"{name:<34} fails as expected: {outcome(row)}"
    report = row.report
    return (
        f"{name:<34} identical: {report.total('cases')} cases, {report.total('compared')} elements, "
        f"core {row.core.code} + {row.core.constants} bytes, stack {report.stack}, {row.seconds} s"
    )


def write(path: Path, rows: list[Row]) -> None:
    """Replaces the text between the two markers of the page."""
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{path}: expected the markers {BEGIN} and {END}, found none")
    body = f"{BEGIN}\n\n{parity(rows)}\n\nControls, which must fail:\n\n{controls(rows)}\n\n{END}"
    path.write_text(before + body + after, encoding="utf-8")


def need_writable(option: str, path: Path) -> None:
    """Ends the program with status 2 unless `path` can be written. Makes its folder; leaves the file as it is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _try(path)
    except OSError as problem:
        said = f"expected a writable file, found {path} ({problem.strerror or problem})"
        print(f"{option}: {said}", file=sys.stderr)
        sys.exit(2)


def _try(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        path.unlink()
        return
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        os.close(os.open(path, os.O_WRONLY))
    elif not os.access(path, os.W_OK):  # opening a pipe would wait for a reader
        raise PermissionError(13, "Permission denied")
