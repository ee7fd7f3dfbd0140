"""What a test run says about the tests it left out, and that a skip can be made a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import left_out
import pytest

TESTS = """
import pytest

@pytest.mark.slow
def test_slow(): pass

@pytest.mark.skip(reason="needs arm-none-eabi-gcc (package gcc-arm-none-eabi)")
def test_chip(): pass

@pytest.mark.skip(reason="no ESP-IDF: set IDF_PATH")
def test_idf(): pass

def test_passes(): pass
"""


def run(folder: Path, *arguments: str, no_skips: bool) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text("from left_out import *\n", encoding="utf-8")
    (folder / "test_some.py").write_text(TESTS, encoding="utf-8")
    (folder / "test_torch.py").write_text("import pytest\npytest.importorskip('no_torch')\n", encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = slow\n", encoding="utf-8")
    environment = os.environ | {"AETHER_NO_SKIPS": str(int(no_skips)), "PYTHONPATH": str(Path(__file__).parent)}
    for name in [name for name in environment if name.startswith("PYTEST_")]:
        del environment[name]
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the others take a second to load
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "xdist", *arguments, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_last_lines_name_what_was_left_out(tmp_path: Path, workers: str) -> None:
    done = run(tmp_path, "-m", "not slow", "-n", workers, no_skips=False)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    left = lines[lines.index("Left out:") + 1 :]
    assert "  1 test: slow; to include: ./tools/test --all" in left
    assert "  1 test: no cross compilers or emulators; to include: tools/install-emulators.sh" in left
    assert "  1 test: no ESP-IDF: set IDF_PATH" in left
    assert any(line.startswith("  1 file: no torch; to include: ") for line in left)
    assert len(left) == 4


def test_a_skip_is_a_failure_when_asked_for(tmp_path: Path) -> None:
    done = run(tmp_path, "-n", "0", "--continue-on-collection-errors", no_skips=True)
    assert done.returncode != 0
    assert "found one skipped: needs arm-none-eabi-gcc" in done.stdout
    assert "found one skipped: could not import 'no_torch'" in done.stdout
    assert "found one skipped: no ESP-IDF" not in done.stdout


def test_nothing_is_said_when_nothing_was_left_out() -> None:
    assert left_out.summary([], 0) == []
