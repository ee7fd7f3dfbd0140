"""Folders that are made for one piece of work, by one process at a time, and gone again when nothing came of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO


def make(folder: Path) -> list[Path]:
    """Makes a folder and those it lies in; gives those that were not there, innermost first. OSError."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def unmake(folders: Iterable[Path]) -> None:
    """Removes folders that `make` made, as far as they are empty."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def lock(file: IO[str] | int) -> bool:
    """Whether an open file, or a folder's descriptor, is now this process's alone, until it is closed; the system lets
    go of it however the process ends. Always so on a system without such locks: two at once are then not noticed."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def claim(folder: Path) -> int | None:
    """Makes an empty folder that is this process's alone until the descriptor given (None where the system has no such
    locks) is closed; what a process that is no more left in it is removed. BlockingIOError: another process has it.
    OSError."""
    if not hasattr(os, "O_DIRECTORY"):
        folder.mkdir(parents=True, exist_ok=True)
        _clear(folder)  # fails for files that another process has open
        return None
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # its last owner has just removed it
        if not lock(held):
            os.close(held)
            raise BlockingIOError(f"{folder}: another process has it")
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(held), os.stat(folder)):
                _clear(folder)
                return held
        os.close(held)  # renamed or removed by its last owner before it was ours


def _clear(folder: Path) -> None:
    for left in folder.iterdir():
        left.unlink()
