"""Runs an image in its emulator, with a time limit, and reads its report as the package does."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .targets import ROOT, Target

SECONDS = 1800
"""Far beyond what a loaded machine takes: only what hangs is stopped."""


@dataclass(frozen=True)
class Run:
    code: int | None  # None: stopped at the time limit
    output: str
    errors: str
    seconds: float


def _text(data: bytes | None) -> str:
    return (data or b"").decode("latin-1")


def run(target: Target, image: Path, seconds: int = SECONDS) -> Run:
    command = [part.format(image=image, folder=target.folder) for part in target.emulator]
    begin = time.monotonic()
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as late:
        return Run(None, _text(late.stdout), _text(late.stderr), time.monotonic() - begin)
    return Run(done.returncode, _text(done.stdout), _text(done.stderr), time.monotonic() - begin)


if TYPE_CHECKING:
    from aether_temporal.device.report import Failure, FileResult, Line, Report, ReportError, parse, read_lines
else:
    _spec = importlib.util.spec_from_file_location(
        f"{__name__}.read", ROOT / "src" / "aether_temporal" / "device" / "report.py"
    )
    _module = importlib.util.module_from_spec(_spec)
    sys.modules[_spec.name] = _module  # dataclasses look up their module there
    _spec.loader.exec_module(_module)
    Failure, FileResult, Line = _module.Failure, _module.FileResult, _module.Line
    Report, ReportError = _module.Report, _module.ReportError
    parse, read_lines = _module.parse, _module.read_lines

__all__ = ["Failure", "FileResult", "Line", "Report", "ReportError", "parse", "read_lines"]
