"""Fetches a parity report from a chip, over a line that may lose or damage text, and from a chip that may reset.

The command `info ID` is repeated because it costs the chip nothing. A chip that replies is idle, and is then asked for
one run. A chip runs by itself when it starts; that report is accepted too.
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
    """How long to wait, in seconds, and how often to start over."""

    silence: float = 60.0  # without a line of a report
    probe: float = 3.0  # without a line, before the chip is probed
    resets: int = 3  # of the chip, during a report
    damaged: int = 3  # incomplete or damaged reports


def fetch_report(
    port: Port,
    patience: Patience | None = None,
    *,
    reset: bool = False,
    notify: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Report:
    """Returns one complete report. `notify` receives each transmission error. `reset` resets the chip first.

    PortError: the port disappeared and did not return. DeviceSilentError: no report within `patience`.
    DeviceReportError: too many damaged reports or resets, or a report of another version.
    """
    return _Conversation(port, patience or Patience(), notify, clock).run(reset)


class _Conversation:
    def __init__(
        self, port: Port, patience: Patience, notify: Callable[[str], None], clock: Callable[[], float]
    ) -> None:
        self._port, self._patience, self._notify, self._clock = port, patience, notify, clock
        self._splitter = LineSplitter()
        self._report: Report | None = None
        self._probe_id = ""
        self._life = self._word = clock()  # time of the last line of a report; of the last line in either direction
        self._wait = self._patience.probe
        self._resets = self._damaged = self._asked = 0
        self._partial_runs = 0  # runs seen from the middle to the end; one is normal
        self._joined = False  # whether lines of a run arrived without its first line
        self._bytes = self._not_text = 0  # bytes received; of these, not ASCII text
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
                self._wait *= 2  # a busy chip replies later, and its buffer is small
                self._probe()

    def _listen(self) -> Report | None:
        try:
            data = self._port.read(_SLICE)
        except PortError as error:
            self._vanished(error)
            return None
        self._bytes += len(data)
        self._not_text += sum(not (32 <= byte < 127 or byte in b"\t\r\n\x1b") for byte in data)
        for text in self._splitter.feed(data):
            lines = read_lines(text)
            if len(_REMAINS.findall(text)) > len(lines):
                self._notify(f"damaged line: {text[:100]!r}")
            if not lines:
                self._heard.append(text[:100])
            for line in lines:
                if self._take(line):
                    return self._report
        return None

    def _take(self, line: Line) -> bool:
        """Whether the report is complete now."""
        self._word = self._clock()
        if line.kind == "info":
            if line.values.get("id") == self._probe_id:
                self._idle()
            return False
        if line.kind == "unknown":  # the command arrived damaged: probe again at once
            self._word -= self._wait
            return False
        self._life, self._wait = self._word, self._patience.probe
        if line.kind == "begin":
            self._begin(line)
        if self._report is None:
            self._mid_run(line)
            return False
        try:
            self._report.take(line)
            if self._report.taken > _MOST_LINES:
                raise ReportError(f"more than {_MOST_LINES} lines")
        except ReportError as error:
            what = f"{self._port.name}: expected a report as this version reads it, found {error}"
            raise DeviceReportError(f"{what}; flash the firmware of this version") from error
        return self._report.ended and self._whole(self._report)

    def _begin(self, line: Line) -> None:
        if self._report is not None and line.values.get("id") == _BOOT:
            self._was_reset("the chip has reset during the run")
        elif self._report is not None:
            self._was_damaged("the end of a report was lost")
        self._report = Report()

    def _mid_run(self, line: Line) -> None:
        if not self._joined:
            self._notify("a run is in progress; its beginning was not received")
        self._joined = True
        if line.kind == "end":
            if self._partial_runs:
                self._was_damaged("the beginning of a report was lost")
            self._partial_runs += 1
            self._probe()

    def _whole(self, report: Report) -> bool:
        try:
            report.check()
        except ReportError as error:
            self._report = None
            self._was_damaged(f"lines were lost: {error}")
            self._probe()
            return False
        return True

    def _idle(self) -> None:
        """The chip replied to a probe, so no run is in progress."""
        if self._report is not None:
            self._report = None
            self._was_damaged("the end of a report was lost")
        self._asked += 1
        most = self._patience.damaged + self._patience.resets + 1
        if self._asked > most:
            raise DeviceReportError(
                f"{self._port.name}: expected a report, found none after {most} requests; reset the board"
            )
        self._send(f"parity {secrets.token_hex(4)}")

    def _was_reset(self, what: str) -> None:
        self._resets += 1
        if self._resets > self._patience.resets:
            raise DeviceReportError(
                f"{self._port.name}: expected one whole report, found {self._resets} resets of the chip during it; "
                "check its power supply and the messages of its start"
            )
        self._notify(f"{what}; starting over ({self._resets} of at most {self._patience.resets} times)")

    def _was_damaged(self, what: str) -> None:
        self._damaged += 1
        if self._damaged > self._patience.damaged:
            raise DeviceReportError(
                f"{self._port.name}: expected one whole report, found {self._damaged} damaged ones, the last because "
                f"{what}; check the cable, the speed (--baud) and other programs on this port"
            )
        self._notify(f"{what}; asking again ({self._damaged} of at most {self._patience.damaged} times)")

    def _vanished(self, error: PortError) -> None:
        self._notify(f"{error}; waiting for the port")
        if not self._port.reopen():
            raise PortError(f"{error}; it did not return") from error
        self._was_reset("the port has returned")
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
            )  # the first newline ends a partial line in the chip's buffer
        except PortError as error:
            self._vanished(error)

    def _silence(self) -> str:
        seconds = f"{self._patience.silence:g} s"
        if self._report is not None:
            files = self._report.files
            last = f"file {files[-1].index} with {files[-1].kernels}" if files else "its first line"
            return (
                f"{self._port.name}: expected the rest of the report, found silence for {seconds} after {last}; "
                "reset the board, or raise --timeout"
            )
        if self._joined:
            return f"{self._port.name}: expected a whole report, found the rest of one and then silence for {seconds}"
        expected = f"{self._port.name}: expected a report of the parity application, found"
        if self._bytes == 0:
            return (
                f"{expected} silence for {seconds}; is it the right port, is the board in its boot loader, and is the "
                "parity application on it? Its reset button, or --reset, makes it begin"
            )
        if self._not_text * 5 > self._bytes:
            return f"{expected} {self._bytes} bytes that are no text; is --baud the speed that the board uses?"
        last = "; ".join(map(repr, self._heard)) or "not one whole line"
        return f"{expected} none in {seconds}, but text of another program: {last}"
