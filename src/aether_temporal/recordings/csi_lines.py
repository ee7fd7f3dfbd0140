"""Lines of text in memory that is bounded whatever a file, pipe or device holds."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from typing import BinaryIO

MAX_LINE = 65536
"""Bytes. The longest line that Espressif's examples write is below 4 KiB."""

Line = bytes | None
"""A line without its end, or None for one that was longer than MAX_LINE (its bytes are not kept)."""


def bounded_lines(file: BinaryIO, limit: int = MAX_LINE) -> Iterator[Line]:
    """The lines of `file`, in memory bounded by `limit` whatever the file holds.

    A byte order mark is dropped; UTF-16 (what a Windows shell redirects to) is read as such.
    """
    head = file.read(2)
    if head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        encoding = "utf-16-le" if head == codecs.BOM_UTF16_LE else "utf-16-be"
        text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="\n")
        try:
            yield from _lines(lambda n: text.readline(n).encode("latin-1", "replace"), b"", limit)
        finally:
            text.detach()
    else:
        yield from _lines(file.readline, head, limit)


def _lines(readline: Callable[[int], bytes], head: bytes, limit: int) -> Iterator[Line]:
    first = True
    while True:
        if b"\n" in head:  # the two bytes looked at were a whole line
            piece, head = head.split(b"\n", 1)
            piece += b"\n"
        else:
            piece, head = head + readline(limit), b""
        if not piece:
            return
        whole = piece
        too_long = len(piece) >= limit and not piece.endswith(b"\n")
        while len(piece) >= limit and not piece.endswith(b"\n"):
            piece = readline(limit)
            if not piece:
                break
        if first:
            whole, first = whole.removeprefix(codecs.BOM_UTF8), False
        yield None if too_long else whole.rstrip(b"\r\n")
