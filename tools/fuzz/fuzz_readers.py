#!/usr/bin/env python3
"""Gives any bytes to a reader of the Python package, coverage-guided by atheris (Linux: `pip install atheris`).

`tools/fuzz/corpus.py unpack FOLDER`, then `tools/fuzz/fuzz_readers.py READER [-max_total_time=SECONDS] FOLDER/READER`;
READER is one of `readers.py`. A reader gives what it promises or its own error, never another exception.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["aether_temporal"]):
    from readers import READERS

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in READERS:
        sys.exit(f"reader: expected one of {', '.join(READERS)}; found {sys.argv[1:2] or 'none'}")
    reader = sys.argv.pop(1)
    atheris.Setup(sys.argv, READERS[reader])
    atheris.Fuzz()
