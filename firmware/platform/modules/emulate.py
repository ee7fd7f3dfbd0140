#!/usr/bin/env python3
"""Run a program in the emulator of its target: `emulate.py TARGET PROGRAM`.

The exit status is the program's; 124 at the time limit.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from emulated_targets import emulation, targets


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target")
    parser.add_argument("program", type=Path)
    parser.add_argument("--seconds", type=float, default=emulation.SECONDS, help="time limit (default: %(default)s)")
    options = parser.parse_args()
    known = {target.name: target for target in targets.all_targets()}
    if options.target not in known:
        parser.error(f"target: expected one of {', '.join(known)}, found {options.target}")
    if not options.program.is_file():
        parser.error(f"program: expected a file, found {options.program}")
    target = known[options.target]
    command = [part.format(image=options.program.resolve(), folder=target.folder) for part in target.emulator]
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, timeout=options.seconds, check=False).returncode
    except subprocess.TimeoutExpired:
        print(f"{options.target}: still running after {options.seconds:g} s", file=sys.stderr)
        return 124


if __name__ == "__main__":
    sys.exit(main())
