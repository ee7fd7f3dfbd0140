"""Names that others gave: of classes, recordings, nodes, files. They are shown as text and never as commands."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str) -> str:
    """`text` on one line: line breaks, control characters, and marks that reverse or hide text become escapes, such as
    `\\n`, `\\x1b` and `\\u202e`."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii") if ord(character) != 0xA0 else " "
