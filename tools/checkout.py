"""A virtual environment beside the sources, shared by `tools/test` and `tools/demo`. Standard library only."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)


def environment(extras: str = "") -> Path:
    """Make `.venv` (or use the one there), install this checkout, and give the environment's folder of programs."""
    if sys.version_info < OLDEST:
        sys.exit(f"Python: {'.'.join(map(str, OLDEST))} or newer is needed, found {sys.version.split()[0]}")
    home = Path(os.environ.get("AETHER_VENV", ROOT / ".venv"))
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    if not (programs / ("python.exe" if os.name == "nt" else "python")).exists():
        print(f"Making a virtual environment in {home}", flush=True)
        venv.create(home, with_pip=True)
    requirement = f"{ROOT}[{extras}]" if extras else str(ROOT)
    print("Compiling and installing aether-temporal", flush=True)
    run([programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement])
    return programs


def needs(tool: str, error: ModuleNotFoundError) -> NoReturn:
    """Ends a program that lacks a Python package: one line, how to get it."""
    name = (error.name or "").partition(".")[0]
    wanted, how = f"the Python package {name}", f"pip install {name}"
    if name == "aether_temporal":
        wanted, how = "this checkout's Python package", "pip install ."
    sys.exit(f"{tool}: expected {wanted} to be installed ({how}), found no {error.name}")


def run(command: list[str | Path]) -> None:
    """Run a command in the checkout; end with its exit code when it fails."""
    code = subprocess.run([str(part) for part in command], cwd=ROOT, check=False).returncode
    if code:
        sys.exit(code)
