#!/usr/bin/env python3
"""Writes the outputs of commands into the documentation's pages: `tools/refresh_doc_outputs.py [PAGE ...]`.

A page runs in an empty folder, as tests/test_docs.py runs it. Commands that are shown without output stay so. Read the
difference before you commit it.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import test_docs  # noqa: E402


def refresh(page: Path) -> str:
    """The page's text with today's outputs."""
    text = page.read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": page.name}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for block in test_docs.blocks(page):
            if block.kind == "python":
                test_docs.run_python(block, page, names)
                continue
            made = ""
            for command, expected in test_docs.steps(block):
                printed = test_docs.printed(command, Path(folder), f"{page}: {command}")
                shown = re.sub(r"^$", "<BLANKLINE>", printed.rstrip("\n"), flags=re.MULTILINE)
                made += f"$ {command}\n" + (re.sub(r" +$", "", shown, flags=re.MULTILINE) + "\n" if expected else "")
            text = text.replace(f"```console\n{block.text}```", f"```console\n{made}```", 1)
        os.chdir(ROOT)
    return text


if __name__ == "__main__":
    for page in [Path(name).resolve() for name in sys.argv[1:]] or test_docs.PAGES:
        if any(block.kind == "console" for block in test_docs.blocks(page)) and page.name != "tutorial.md":
            page.write_text(refresh(page), encoding="utf-8")
            print(page.relative_to(ROOT))
