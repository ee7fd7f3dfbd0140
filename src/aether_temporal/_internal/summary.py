"""Text that is shown: how models, blobs and recordings describe themselves, in a line or two and as a table in a
notebook, and names of files, classes and nodes without control characters."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Mapping

LONGEST = 160
"""Characters of one fact."""


def html_table(title: str, facts: Mapping[str, str]) -> str:
    """A table of facts by name for a notebook. The title and the facts may come from a file: they are escaped."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
        for name, value in facts.items()
    )
    return f"<table><caption>{html.escape(title)}</caption>{rows}</table>"


def in_two_lines(title: str, facts: Mapping[str, str]) -> str:
    """The facts in one line, and the provenance, if there is one, in a second."""
    first = "; ".join(f"{name} {_short(value)}" for name, value in facts.items() if name != "provenance")
    provenance = facts.get("provenance")
    return f"<{title}: {first}>" if provenance is None else f"<{title}: {first};\n {_short(provenance)}>"


def _short(text: str) -> str:
    """At most LONGEST characters of a text, on one line."""
    plain = printable(text)
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 2]} …"


def printable(text: str) -> str:
    """`text` on one line: line breaks, control characters, and marks that reverse or hide text become escapes, such as
    `\\n`, `\\x1b` and `\\u202e`."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii") if ord(character) != 0xA0 else " "


def plain_name(name: str) -> str:
    """Letters, digits and marks of any script in lower case; anything else between them becomes one "_"."""
    small = unicodedata.normalize("NFKC", name).casefold()
    return "_".join("".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in small).split())
