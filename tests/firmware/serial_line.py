"""An emulated chip at the end of a pseudo-terminal, with a relay between that can harm what it says."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import socket
import subprocess
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

from parity_matrix.targets import Target

# Called with each line the chip writes (newline included); returns what arrives instead.
Harm = Callable[[bytes], bytes]


class EmulatedBoard:
    """`port` is what a user would give to --port."""

    def __init__(self, target: Target, image: Path, folder: Path, harm: Harm) -> None:
        self._harm = harm
        self._folder = folder
        self._woken = False
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)  # or the terminal would echo to the chip what the chip says
        self.port = os.ttyname(self._slave)
        self._process = subprocess.Popen(
            self._command(target, image), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._to_host, self._to_chip)]
        for thread in self._threads:
            thread.start()

    def _command(self, target: Target, image: Path) -> list[str]:
        words = [part.format(image=image, folder=target.folder) for part in target.emulator]
        assert words[words.index("-serial") + 1] == "stdio"
        words[words.index("-monitor") + 1] = "none"
        # Stopped until the host says its first word: what it would miss otherwise depends on how busy this computer is.
        return [*words, "-S", "-qmp", f"unix:{self._folder / 'qmp'},server=on,wait=off"]

    def _ask(self, command: str) -> None:
        """One command to the emulator, waited for."""
        until = time.monotonic() + 300  # only for an emulator that never starts
        with socket.socket(socket.AF_UNIX) as machine:
            while True:
                try:
                    machine.connect(str(self._folder / "qmp"))
                    break
                except OSError:
                    assert time.monotonic() < until, "no emulator"
                    time.sleep(0.01)
            machine.settimeout(30)
            replies = machine.makefile("r", encoding="utf-8")
            assert "QMP" in replies.readline()
            for name in ("qmp_capabilities", command):
                machine.sendall(json.dumps({"execute": name}).encode())
                while "return" not in json.loads(replies.readline()):
                    pass  # an event
            replies.close()

    def reset(self) -> None:
        """Resets the chip, as its reset button does."""
        self._ask("system_reset")

    def _to_host(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stdout:
                os.write(self._master, self._harm(line))

    def _to_chip(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(self._master, 64):
                if not self._woken:
                    self._woken = True
                    self._ask("cont")
                self._process.stdin.write(data)

    def unplug(self) -> None:
        """The port vanishes."""
        for end in (self._master, self._slave):
            with contextlib.suppress(OSError):
                os.close(end)
        self._master = self._slave = -1

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self.unplug()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()


@contextlib.contextmanager
def board(target: Target, image: Path, folder: Path, harm: Harm = lambda line: line) -> Iterator[EmulatedBoard]:
    """A board that runs as long as the block."""
    chip = EmulatedBoard(target, image, folder, harm)
    try:
        yield chip
    finally:
        chip.close()
