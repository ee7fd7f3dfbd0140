"""Checks, before the long work, that the results can be written."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path


def need_writable(option: str, path: Path) -> None:
    """Ends the program with status 2 unless `path` can be written. Makes its folder; leaves the file as it is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _try(path)
    except OSError as problem:
        said = f"expected a writable file, found {path} ({problem.strerror or problem})"
        print(f"{option}: {said}", file=sys.stderr)
        sys.exit(2)


def _try(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        path.unlink()
        return
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        os.close(os.open(path, os.O_WRONLY))
    elif not os.access(path, os.W_OK):  # opening a pipe would wait for a reader
        raise PermissionError(13, "Permission denied")
