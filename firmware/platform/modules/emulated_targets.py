"""Makes the modules of tools/parity_matrix importable, so that each target is described once."""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]

if sys.version_info < (3, 11):  # noqa: UP036  # PlatformIO may bring its own Python
    sys.exit(f"PlatformIO: expected Python 3.11 or newer, found {sys.version.split()[0]}")
if str(REPOSITORY / "tools") not in sys.path:
    sys.path.insert(0, str(REPOSITORY / "tools"))

from parity_matrix import build, emulation, sizes, targets, vectors  # noqa: E402

__all__ = ["build", "emulation", "sizes", "targets", "vectors"]
