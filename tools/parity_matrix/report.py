"""The package's reader of reports, loaded from this checkout by path, so that the package need not be installed."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING

from .targets import ROOT

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
