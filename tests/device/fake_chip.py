"""A chip in fake time: answers commands as the parity application does, through a line that a test may harm."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import count

from device.report_text import line, report_lines

from aether_temporal.errors import PortError

# The lines of one report (which, its lines) to the bytes that arrive; further entries come when it is asked again.
Way = Callable[[int, list[str]], list[bytes]]


def whole(which: int, lines: list[str]) -> list[bytes]:
    return [text.encode() + b"\n" for text in lines]


class FakeChip:
    """A Port. Every piece takes a second to arrive. `boots`: it has just started and runs by itself."""

    name = "fake"

    def __init__(self, way: Way = whole, boots: bool = True, deaf: int = 0, fails: int = 0) -> None:
        self.now = 0.0
        self.commands: list[str] = []
        self.resets = 0
        self._way, self._fails, self._deaf = way, fails, deaf
        self._runs: Iterator[int] = count()
        self._queue: deque[bytes | Exception] = deque()
        self._typed = b""
        if boots:
            self.run("boot")

    def clock(self) -> float:
        return self.now

    def run(self, identity: str) -> None:
        self._queue += self._way(next(self._runs), report_lines(identity, fails=self._fails))

    def read(self, seconds: float) -> bytes:
        if not self._queue:
            self.now += seconds
            return b""
        self.now += 1.0
        piece = self._queue.popleft()
        if isinstance(piece, Exception):
            raise piece
        return piece

    def write(self, data: bytes) -> bool:
        *lines, self._typed = (self._typed + data).split(b"\n")
        for text in filter(None, lines):
            self.commands.append(text.decode())
            if self._deaf > 0:
                self._deaf -= 1
                continue
            verb, identity = text.decode().split()
            if verb == "parity":
                self.run(identity)
            elif verb == "info":
                self._queue.append(line(f"info id={identity} core=0.1.0 chip=fake").encode() + b"\n")
        return True

    def reset(self) -> None:
        self.resets += 1
        self.run("boot")

    def reopen(self) -> bool:
        return False


class LostPort(FakeChip):
    """Its port vanishes after the first piece; whether it comes back is the test's choice."""

    def __init__(self, back: bool) -> None:
        super().__init__(lambda which, lines: [lines[0].encode() + b"\n"] if which == 0 else whole(which, lines))
        self._queue.append(PortError("fake: gone"))
        self._back = back

    def reopen(self) -> bool:
        if self._back:
            self.run("boot")
        return self._back
