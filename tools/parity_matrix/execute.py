"""Runs an image in its emulator, with a time limit."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .targets import Target

SECONDS = 300


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
