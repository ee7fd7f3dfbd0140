"""The ESP-IDF code against a real ESP-IDF: IDF_PATH, and IDF_LIBC (headers of a newlib) for clang."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).resolve().parents[2] / "tools" / "idf-check"


def check(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key != "IDF_PATH"}
    return subprocess.run(
        [sys.executable, CHECK, *arguments], capture_output=True, text=True, check=False, env=kept | environment
    )


def test_without_esp_idf_it_says_so() -> None:
    done = check()
    assert done.returncode == 2
    assert "IDF_PATH" in done.stderr


def test_against_esp_idf() -> None:
    idf = os.environ.get("IDF_PATH")
    if idf is None:
        pytest.skip("no ESP-IDF: set IDF_PATH")
    libc = ["--libc", os.environ["IDF_LIBC"]] if "IDF_LIBC" in os.environ else []
    done = check(*libc, IDF_PATH=idf)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing differs" in done.stdout
