"""The resampler's C interface refuses what it must, under both sanitizers, and nothing has changed then."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_callers_mistakes_are_answered_and_change_nothing(tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")
    if compiler is None or sys.platform == "win32":
        pytest.skip("resampler in C: no C compiler here that takes these flags")
    sources = [*(ROOT / "csrc" / "src").glob("*.c"), *(ROOT / "csrc" / "src" / "kernels").glob("*.c")]
    flags = ["-std=c99", "-O1", "-g", "-ffp-contract=off", "-DAETHER_PORTABLE_ONLY", "-Wall", "-Wextra", "-Werror"]
    if sys.platform == "linux":
        flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    program = tmp_path / "check"
    sources.append(ROOT / "tests" / "resample_check.c")
    command = [compiler, *flags, f"-I{ROOT}/csrc/include", *map(str, sources), "-o", str(program)]
    subprocess.run(command, check=True)
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
