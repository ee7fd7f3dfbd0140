"""A file that only grows, by whole pieces."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from aether_temporal.errors import InvalidArgumentError


class AppendFile:
    """What is written is whole pieces: a write that fails takes its beginning back."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor
        self._size = os.fstat(descriptor).st_size

    @classmethod
    def create(cls, path: Path, head: bytes, *, replace: bool = False) -> AppendFile:
        """A new file that begins with `head`. FileExistsError where there is one, unless it is replaced; OSError."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | (os.O_TRUNC if replace else os.O_EXCL)
        found = cls(path, os.open(path, flags, 0o666))
        try:
            found.write(head)
        except OSError:
            found.close()
            raise
        return found

    @classmethod
    def continue_lines(cls, path: Path) -> AppendFile:
        """A file of JSON lines, old or new. A last line that was cut is ended, so that it costs itself only. OSError;
        InvalidArgumentError where there is a file of another kind, which stays as it is."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        found = cls(path, os.open(path, flags, 0o666))
        try:
            if found._size:
                first = os.read(found._fd, 1)
                if first != b"{":
                    raise InvalidArgumentError.of(
                        str(path), "a new file or one of JSON lines", f"one that begins with {first!r}"
                    )
                os.lseek(found._fd, -1, os.SEEK_END)
                if os.read(found._fd, 1) != b"\n":
                    found.write(b"\n")
        except (OSError, InvalidArgumentError):
            found.close()
            raise
        return found

    @property
    def _fd(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"{self.path}: expected an open file, found a closed one")
        return self._descriptor

    def write(self, data: bytes) -> None:
        """All of it or nothing. OSError with the file's name."""
        view, done = memoryview(data), 0
        try:
            while done < len(data):
                done += os.write(self._fd, view[done:])
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
                os.lseek(self._fd, self._size, os.SEEK_SET)
            error.filename = os.fspath(self.path)
            raise
        self._size += len(data)

    def sync(self) -> None:
        """Forces to disk what was written. OSError with the file's name."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            error.filename = os.fspath(self.path)
            raise

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
