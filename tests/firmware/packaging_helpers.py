"""What the tests of PlatformIO and of the packages share."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
OFFLINE = ROOT / "tools" / "pio-offline"
SECONDS = 600


def lacks(what: str, package: str) -> None:
    """Skips the test and names what is missing."""
    pytest.skip(f"{what} is missing: pip install {package}")


def need_module(module: str, package: str) -> None:
    if importlib.util.find_spec(module) is None:
        lacks(module, package)


def need_program(name: str, package: str) -> str:
    """The program beside this Python, or on the path."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        lacks(name, package)
    assert found is not None
    return found


def need_platformio() -> None:
    need_module("platformio", ".[firmware]")
    need_module("SCons", ".[firmware]")


def call(
    command: list[str | Path], folder: Path, seconds: int = SECONDS, good: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs to the end; its output is in the message when its exit code is not as expected."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=dict(os.environ, **environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if (done.returncode == 0) != good:
        raise AssertionError(
            f"{command[:4]} ended with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )
    return done


def pio(core: Path, folder: Path, *arguments: str | Path, good: bool = True, **environment: str) -> str:
    """`tools/pio-offline` in a folder, with a core folder of its own; what it printed."""
    settings = {"PLATFORMIO_CORE_DIR": str(core), "PLATFORMIO_NO_ANSI": "true", **environment}
    done = call([sys.executable, OFFLINE, *arguments], folder, good=good, **settings)
    return done.stdout + done.stderr
