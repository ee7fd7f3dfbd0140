"""Reads and writes the flash of an ESP32-family chip with Espressif's esptool."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from aether_temporal.errors import FlashToolError

__all__ = ["FlashTool"]

_INSTALL = "pip install esptool"
_BAUD = 460800
_SECONDS = 300
_LAST_LINES = 6


class FlashTool:
    """One chip at one port. Between commands it stays in its boot loader; leaving the `with` block starts its program.

    command: the command that runs esptool (None: the module of this Python), version 4.7 or later. It detects the chip
    unless ESPTOOL_CHIP names it, and uses 460800 baud unless ESPTOOL_BAUD says otherwise.
    Every method raises FlashToolError with the last lines of esptool's output.
    """

    def __init__(self, port: str, command: Sequence[str] | None = None) -> None:
        if command is None and importlib.util.find_spec("esptool") is None:
            raise FlashToolError.of("esptool", f"it to be installed ({_INSTALL})", "no such module")
        self._command = [sys.executable, "-m", "esptool"] if command is None else list(command)
        self._chip = ["--port", port, *([] if "ESPTOOL_BAUD" in os.environ else ["--baud", str(_BAUD)])]
        self._hyphens = self._version() >= 5
        self._reached = False

    def __enter__(self) -> FlashTool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._reached:
            return
        try:
            self._run("hard-reset", "read-mac")
        except FlashToolError:
            if kind is None:  # else it would hide the first error
                raise

    def read(self, offset: int, size: int) -> bytes:
        """Reads `size` bytes of flash from `offset` on."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "flash.bin"
            self._run("no-reset", "read-flash", hex(offset), hex(size), str(file))
            data = file.read_bytes() if file.exists() else b""
        if len(data) != size:
            raise FlashToolError.of("esptool read-flash", f"{size} bytes from 0x{offset:X}", f"{len(data)}")
        return data

    def write(self, offset: int, data: bytes) -> None:
        """Erases the sectors that `data` touches and writes it."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "flash.bin"
            try:
                file.write_bytes(data)
            except OSError as error:
                error.filename = str(file)  # a failing write does not name it
                raise
            self._run("no-reset", "write-flash", hex(offset), str(file))

    def _version(self) -> int:
        output = self._call([*self._command, "version"])
        found = re.findall(r"(?m)v?(\d+)\.\d+", output)
        if not found or not 4 <= int(found[-1]) < 100:
            raise FlashToolError.of("esptool", "version 4.7 or later", repr(output.strip()[-80:]))
        return int(found[-1])

    def _run(self, after: str, subcommand: str, *arguments: str) -> None:
        words = ["--before", "default-reset", "--after", after, subcommand]
        if not self._hyphens:
            words = [word if word.startswith("--") else word.replace("-", "_") for word in words]
        self._call([*self._command, *self._chip, *words, *arguments])
        self._reached = True

    def _call(self, command: list[str]) -> str:
        try:
            done = subprocess.run(
                command, capture_output=True, encoding="utf-8", errors="replace", timeout=_SECONDS, check=False
            )
        except FileNotFoundError as error:
            raise FlashToolError.of("esptool", f"a program {command[0]!r} ({_INSTALL})", "no such program") from error
        except PermissionError as error:
            raise FlashToolError.of("esptool", f"a program {command[0]!r}", "one that may not be run") from error
        except subprocess.TimeoutExpired as error:
            raise FlashToolError.of("esptool", f"an end within {_SECONDS} s", "a program that still runs") from error
        if done.returncode != 0:
            lines = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
            output = " / ".join(lines[-_LAST_LINES:]) or "nothing"
            raise FlashToolError(
                f"esptool: expected success, found exit status {done.returncode}; its output: {output}"
            )
        return done.stdout
