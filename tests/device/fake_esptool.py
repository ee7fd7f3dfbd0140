"""Stands in for esptool: flash is a file. Erases whole sectors, programming only clears bits, as the real thing does.

    fake_esptool.py FLASH STATE VERSION [--port P --baud B --before X --after Y] SUBCOMMAND ...

STATE is a JSON file: {"cut": N} ends the chip's life after N bytes were written by write-flash over all calls (erasing
a sector counts as one byte), {"fail": "subcommand"} fails that one. Calls are logged in it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

SECTOR = 4096


def main() -> int:
    flash_file, state_file, version, *rest = sys.argv[1:]
    state = json.loads(Path(state_file).read_text())
    hyphens = int(version.split(".")[0]) >= 5
    names = ["read-flash", "write-flash", "read-mac", "version"]
    resets = ["default-reset", "hard-reset", "no-reset"]
    if not hyphens:
        names, resets = [n.replace("-", "_") for n in names], [n.replace("-", "_") for n in resets]
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", required="version" not in rest)
    parser.add_argument("--baud", type=int)
    parser.add_argument("--before", choices=resets)
    parser.add_argument("--after", choices=resets)
    commands = parser.add_subparsers(dest="command", required=True)
    read = commands.add_parser(names[0])
    read.add_argument("address", type=lambda text: int(text, 0))
    read.add_argument("size", type=lambda text: int(text, 0))
    read.add_argument("file", type=Path)
    write = commands.add_parser(names[1])
    write.add_argument("address", type=lambda text: int(text, 0))
    write.add_argument("file", type=Path)
    commands.add_parser(names[2])
    commands.add_parser(names[3])
    asked = parser.parse_args(rest)
    command = asked.command.replace("_", "-")
    print(f"esptool v{version}" if hyphens else f"esptool.py v{version}")
    if command == "version":
        print(version)
        return 0
    state.setdefault("calls", []).append([command, getattr(asked, "address", None), asked.after.replace("_", "-")])
    try:
        if state.get("fail") == command:
            print("A fatal error occurred: Failed to connect to ESP32-S3: No serial data received.", file=sys.stderr)
            return 2
        flash = bytearray(Path(flash_file).read_bytes())
        if command == "read-flash":
            asked.file.write_bytes(flash[asked.address : asked.address + asked.size])
        elif command == "write-flash":
            whole = program(flash, asked.address, asked.file.read_bytes(), state)
            Path(flash_file).write_bytes(flash)
            if not whole:
                print("A fatal error occurred: The chip stopped responding.", file=sys.stderr)
                return 2
        return 0
    finally:
        Path(state_file).write_text(json.dumps(state))


def program(flash: bytearray, address: int, data: bytes, state: dict[str, int]) -> bool:
    """Sector by sector; whether it came to the end."""
    for at in range(0, len(data), SECTOR):
        if not spend(state, 1):
            return False
        begin = (address + at) // SECTOR * SECTOR
        flash[begin : begin + SECTOR] = b"\xff" * SECTOR
        piece = data[at : at + SECTOR]
        written = spend(state, len(piece))
        for i in range(written):
            flash[address + at + i] &= piece[i]
        if written < len(piece):
            return False
    return True


def spend(state: dict[str, int], count: int) -> int:
    left = state.get("cut")
    if left is None:
        return count
    taken = min(left, count)
    state["cut"] = left - taken
    return taken


if __name__ == "__main__":
    sys.exit(main())
