#!/usr/bin/env python3
"""Reads any bytes as a gallery, a slot image, a partition table or a chip's report, coverage-guided by atheris.

`tools/fuzz/fuzz_host_files.py [-max_total_time=SECONDS] FOLDER` (Linux: `pip install atheris`). The first byte of an
input chooses the reader, and whether its checksums are made to fit. FOLDER keeps what is found; an empty one gets whole
files to start from.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["aether_temporal.device", "aether_temporal.running", "aether_temporal.recordings"]
):
    import host_files

_NAMES = tuple(host_files.READERS)


def one_input(data: bytes) -> None:
    """Read `data` by one of the readers."""
    choice, contents = data[:1] or b"\0", data[1:]
    name = _NAMES[choice[0] % len(_NAMES)]
    host_files.read(name, contents if choice[0] & 0x80 else host_files.sealed(name, contents))


if __name__ == "__main__":
    for folder in map(Path, sys.argv[1:]):
        if folder.is_dir() and not any(folder.iterdir()):
            for place, name in enumerate(_NAMES):
                (folder / f"seed-{name}").write_bytes(bytes([place]) + host_files.seed(name))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
