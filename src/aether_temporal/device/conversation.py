"""Asking a chip for its parity report over a line that may lose, cut and mix up text, and a chip that may reset.

The line `info ID` costs the chip nothing, so it is what is repeated: a chip that answers it is idle, and is then asked
for one run. A chip that has just started runs by itself; that report is as good as one asked for.
"""

from __future__ import annotations

import re
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from aether_temporal.errors import DeviceReportError, DeviceSilentError, PortError

from .port import Port
from .report import Line, LineSplitter, Report, ReportError, read_lines

__all__ = ["Patience", "fetch_report"]

_SLICE = 0.25  # seconds: how long one read may block
_MOST_LINES = 100_000  # of one report
_BOOT = "boot"
_REMAINS = re.compile("aether (begin|file|fail|end|info) ")


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds, and how often to begin again."""

    silence: float = 60.0  # without one line that belongs to a report
    probe: float = 3.0  # without one line, until the chip is asked whether it is there
    resets: int = 3  # of the chip, in the middle of a report
    damaged: int = 3  # reports that did not come through whole


def fetch_report(
    port: Port,
    patience: Patience | None = None,
    *,
    reset: bool = False,
    tell: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Report:
    """One whole report. `tell` hears what went wrong on the way and was overcome. `reset` resets the chip first.

    PortError: the port vanished and did not come back. DeviceSilentError: no report within `patience`, with what was
    heard instead. DeviceReportError: it came damaged, or the chip reset, too often; or it is another version's.
    """
    return _Conversation(port, patience or Patience(), tell, clock).run(reset)


class _Conversation:
    def __init__(self, port: Port, patience: Patience, tell: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._port, self._patience, self._tell, self._clock = port, patience, tell, clock
        self._splitter = LineSplitter()
        self._report: Report | None = None
        self._probe_id = ""
        self._life = self._word = clock()  # when the last line of a report came; when the last word went either way
        self._wait = self._patience.probe
        self._resets = self._damaged = self._asked = 0
        self._rests = 0  # runs whose end came without their beginning: one may be joined late
        self._joined = False  # lines of a run came whose beginning was not seen
        self._bytes = self._odd = 0  # heard in all; of them no ASCII text
        self._heard: deque[str] = deque(maxlen=3)

    def run(self, reset: bool) -> Report:
        if reset:
            self._port.reset()
        self._probe()
        while True:
            done = self._listen()
            if done is not None:
                return done
            now = self._clock()
            if now - self._life > self._patience.silence:
                raise DeviceSilentError(self._silence())
            if now - self._word > self._wait:
                self._wait *= 2  # a busy chip answers later, and its buffer is small
                self._probe()

    def _listen(self) -> Report | None:
        try:
            data = self._port.read(_SLICE)
        except PortError as error:
            self._vanished(error)
            return None
        self._bytes += len(data)
        self._odd += sum(not (32 <= byte < 127 or byte in b"\t\r\n\x1b") for byte in data)
        for text in self._splitter.feed(data):
            lines = read_lines(text)
            if len(_REMAINS.findall(text)) > len(lines):
                self._tell(f"a damaged line: {text[:100]!r}")
            if not lines:
                self._heard.append(text[:100])
            for line in lines:
                if self._take(line):
                    return self._report
        return None

    def _take(self, line: Line) -> bool:
        """Whether the report is whole now."""
        self._word = self._clock()
        if line.kind == "info":
            if line.values.get("id") == self._probe_id:
                self._idle()
            return False
        if line.kind == "unknown":  # what was asked did not come through: the next probe is due at once
            self._word -= self._wait
            return False
        self._life, self._wait = self._word, self._patience.probe
        if line.kind == "begin":
            self._begin(line)
        if self._report is None:
            self._amidst(line)
            return False
        try:
            self._report.take(line)
            if self._report.taken > _MOST_LINES:
                raise ReportError(f"more than {_MOST_LINES} lines")
        except ReportError as error:
            what = f"{self._port.name}: expected a report as this version reads it, found {error}"
            raise DeviceReportError(f"{what}; is the firmware of another version?") from error
        return self._report.ended and self._whole(self._report)

    def _begin(self, line: Line) -> None:
        if self._report is not None and line.values.get("id") == _BOOT:
            self._was_reset("the chip has reset in the middle of the run")
        elif self._report is not None:
            self._was_damaged("the end of a report got lost")
        self._report = Report()

    def _amidst(self, line: Line) -> None:
        if not self._joined:
            self._tell("a run is on its way; its beginning was not seen")
        self._joined = True
        if line.kind == "end":
            if self._rests:
                self._was_damaged("the beginning of a report got lost")
            self._rests += 1
            self._probe()

    def _whole(self, report: Report) -> bool:
        try:
            report.check()
        except ReportError as error:
            self._report = None
            self._was_damaged(f"lines got lost: {error}")
            self._probe()
            return False
        return True

    def _idle(self) -> None:
        """The chip answers: nothing is running there any more."""
        if self._report is not None:
            self._report = None
            self._was_damaged("the end of a report got lost")
        self._asked += 1
        most = self._patience.damaged + self._patience.resets + 1
        if self._asked > most:
            raise DeviceReportError(f"{self._port.name}: asked for a report {most} times, none has begun")
        self._send(f"parity {secrets.token_hex(4)}")

    def _was_reset(self, what: str) -> None:
        self._resets += 1
        if self._resets > self._patience.resets:
            raise DeviceReportError(
                f"{self._port.name}: expected one whole report, found the chip resetting {self._resets} times in the "
                "middle; look at its supply, and at what it prints when it starts"
            )
        self._tell(f"{what}; it begins anew ({self._resets} of at most {self._patience.resets} times)")

    def _was_damaged(self, what: str) -> None:
        self._damaged += 1
        if self._damaged > self._patience.damaged:
            raise DeviceReportError(
                f"{self._port.name}: expected one whole report, found {self._damaged} damaged ones, the last because "
                f"{what}; look at cable, speed (--baud) and other programs on this port"
            )
        self._tell(f"{what}; once more ({self._damaged} of at most {self._patience.damaged} times)")

    def _vanished(self, error: PortError) -> None:
        self._tell(f"{error}; waiting for it")
        if not self._port.reopen():
            raise PortError(f"{error}, and does not come back") from error
        self._was_reset("the port is back")
        self._report = None
        self._splitter.drop()
        self._life = self._clock()
        self._probe()

    def _probe(self) -> None:
        self._probe_id = secrets.token_hex(4)
        self._send(f"info {self._probe_id}")

    def _send(self, command: str) -> None:
        self._word = self._clock()
        try:
            self._port.write(
                f"\n{command}\n".encode("ascii")
            )  # the first newline ends whatever the chip holds of another line
        except PortError as error:
            self._vanished(error)

    def _silence(self) -> str:
        seconds = f"{self._patience.silence:g} s"
        if self._report is not None:
            files = self._report.files
            last = f"file {files[-1].index} with {files[-1].kernels}" if files else "its first line"
            return (
                f"{self._port.name}: expected the rest of the report, found silence for {seconds} after {last}; "
                "the chip hangs, or is slower than --timeout allows"
            )
        if self._joined:
            return f"{self._port.name}: expected a whole report, found the rest of one and then silence for {seconds}"
        expected = f"{self._port.name}: expected a report of the parity application, found"
        if self._bytes == 0:
            return (
                f"{expected} silence for {seconds}; is it the right port, is the board in its boot loader, and is the "
                "parity application on it? Its reset button, or --reset, makes it begin"
            )
        if self._odd * 5 > self._bytes:
            return f"{expected} {self._bytes} bytes that are no text; is --baud the speed that the board uses?"
        last = "; ".join(map(repr, self._heard)) or "not one whole line"
        return f"{expected} none in {seconds}, but text of another program: {last}"
