"""Text lines out of bytes that come in pieces, from a line that may be noisy."""

from __future__ import annotations

__all__ = ["LineSplitter"]


class LineSplitter:
    """Bytes in, whole lines out. A line longer than `longest` loses its beginning: no report line is that long."""

    def __init__(self, longest: int = 4096) -> None:
        self._longest = longest
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that these bytes complete, without their ends; bytes above 127 as in Latin-1."""
        *lines, rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        self._rest = rest[-self._longest :]
        return [line[-self._longest :].decode("latin-1") for line in lines if line]

    def drop(self) -> None:
        """Forgets the line that has begun."""
        self._rest = b""
