"""The way from here to the modules that know the targets; nothing about a target is written down twice."""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]

if sys.version_info < (3, 11):  # noqa: UP036  # PlatformIO brings a Python of its own
    sys.exit(f"PlatformIO has to run under Python 3.11 or newer to read target files, found {sys.version.split()[0]}")
if str(REPOSITORY / "tools") not in sys.path:
    sys.path.insert(0, str(REPOSITORY / "tools"))

from parity_matrix import compile as commands  # noqa: E402
from parity_matrix import report, sizes, targets, vectors  # noqa: E402

__all__ = ["commands", "report", "sizes", "targets", "vectors"]
