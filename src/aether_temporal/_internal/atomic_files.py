"""Files that hold either their old contents or all of the new ones; folders that one process works in at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import IO

__all__ = ["claim", "lock", "make_folders", "remove_empty", "write_atomic"]

_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)  # some network and user-space file systems
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Puts `data` at `path`. Whatever interrupts it, `path` holds its old bytes or all of the new ones.

    Writes beside the target, forces that to disk, then renames. Permissions of an existing file are kept, and the bytes
    are never readable to others before. A symbolic link is replaced, and what it leads to stays as it is; a device or
    pipe gets the bytes as they are, and stays what it is. OSError as the operating system gives it, with the name that
    was asked for; nothing is left behind then.
    """
    try:
        if _is_special(path):
            with open(path, "wb") as file:
                file.write(data)
        else:
            _write_beside(Path(path), data)
    except OSError as error:
        error.filename, error.filename2 = os.fspath(path), None
        raise


def _is_special(path: str | os.PathLike[str]) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _mode_of(target: Path) -> int | None:
    """The permissions of the file that is replaced; None where there is none. A link has none of its own."""
    try:
        found = os.lstat(target)
    except FileNotFoundError:
        return None
    return stat.S_IMODE(found.st_mode) if stat.S_ISREG(found.st_mode) else None


def _write_beside(target: Path, data: bytes) -> None:
    mode = _mode_of(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, _NEW_FILE, 0o666 if mode is None else 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                os.chmod(descriptor if os.chmod in os.supports_fd else temporary, mode)  # before the first byte
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable, where the system offers that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folders(folder: Path) -> list[Path]:
    """Makes a folder and those it lies in; gives those that were not there, innermost first. OSError."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def remove_empty(folders: Iterable[Path]) -> None:
    """Removes folders that `make_folders` made, as far as they are empty."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def lock(file: IO[str] | int) -> bool:
    """Whether an open file, or a folder's descriptor, is now this process's alone, until it is closed; the system lets
    go of it however the process ends. Always so where the system, or the file system, has no such locks: two at once
    are then not noticed. OSError."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _WITHOUT_LOCKS:
            return True
        raise
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
