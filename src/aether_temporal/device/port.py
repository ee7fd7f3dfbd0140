"""Serial ports."""

from __future__ import annotations

import contextlib
import errno
import time
from types import TracebackType
from typing import Any, Protocol

from aether_temporal.errors import PortError

__all__ = ["Port", "SerialPort"]

_RESET = 0.1  # seconds the chip is held in reset
_WRITE = 2.0  # seconds a few bytes may take to leave
_BACK = 8.0  # seconds a port may be away: a chip with USB of its own leaves the bus when it resets
_INSTALL = "pip install pyserial"


class Port(Protocol):
    """Bytes in and out. Every method raises PortError when the port has disappeared."""

    name: str

    def read(self, seconds: float) -> bytes:
        """The bytes received, as soon as there are any; b"" when none arrive within `seconds`."""

    def write(self, data: bytes) -> bool:
        """Sends `data`; whether the board accepted all of it."""

    def reset(self) -> None:
        """Resets the chip through the RTS line."""

    def reopen(self) -> bool:
        """Waits for a port that disappeared; whether it has returned."""


class SerialPort:
    """A port of this computer, or any URL that pyserial supports (`socket://host:port`, `rfc2217://…`).

    Opening releases DTR and RTS, so that boards whose USB chip drives the reset and boot pins with them keep running.
    """

    def __init__(self, name: str, baud: int = 115200) -> None:
        self.name, self.baud = name, baud
        self._serial: Any = self._open()

    def _open(self) -> Any:
        try:
            import serial
        except ImportError:
            raise PortError.of("serial port", f"pyserial ({_INSTALL})", "no such module") from None
        try:
            port = serial.serial_for_url(self.name, do_not_open=True)
            port.baudrate, port.write_timeout = self.baud, _WRITE
            port.dtr = port.rts = False
            if not self.name.partition("://")[1]:
                with contextlib.suppress(AttributeError, NotImplementedError):
                    port.exclusive = True
            port.open()
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise _cannot_open(self.name, error) from error
        return port

    def read(self, seconds: float) -> bytes:
        try:
            self._serial.timeout = seconds
            first: bytes = self._serial.read(1)
            return first + self._serial.read(self._serial.in_waiting) if first else b""
        except (OSError, TypeError) as error:  # TypeError: pyserial's own, when the descriptor has been closed
            raise self._gone(error) from error

    def write(self, data: bytes) -> bool:
        import serial

        try:
            self._serial.write(data)
        except serial.SerialTimeoutException:
            return False
        except (OSError, TypeError) as error:
            raise self._gone(error) from error
        return True

    def reset(self) -> None:
        try:
            self._serial.dtr = False  # not into the boot loader
            self._serial.rts = True
            time.sleep(_RESET)
            self._serial.rts = False
        except OSError as error:
            raise PortError(f"{self.name}: expected a port with a reset line (RTS), found {error}") from error

    def reopen(self) -> bool:
        self.close()
        until = time.monotonic() + _BACK
        while time.monotonic() < until:
            time.sleep(0.1)
            with contextlib.suppress(PortError):
                self._serial = self._open()
                return True
        return False

    def close(self) -> None:
        with contextlib.suppress(OSError, TypeError):
            self._serial.close()

    def __enter__(self) -> SerialPort:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _gone(self, error: Exception) -> PortError:
        return PortError(f"{self.name}: expected an open serial port, found that it is gone ({error})")


def _cannot_open(name: str, error: Exception) -> PortError:
    number, text = getattr(error, "errno", None), str(error)
    if not name:
        found = f"nothing; here are {_ports() or 'none'}"
    elif number == errno.ENOENT or "FileNotFoundError" in text:
        found = f"no such port; here are {_ports() or 'none'}"
    elif number == errno.EACCES or ("PermissionError" in text and "Access is denied" not in text):
        found = "that this user may not open it (on Linux: a member of the group dialout or uucp may)"
    elif number in (errno.EBUSY, errno.EAGAIN) or "Could not exclusively lock" in text or "Access is denied" in text:
        found = "one that another program has open (a monitor?)"
    elif number in (errno.EISDIR, errno.ENOTTY) or f"({errno.ENOTTY}, " in text:
        found = f"a file or folder; here are {_ports() or 'no ports'}"
    elif number == errno.ECONNREFUSED or f"[Errno {errno.ECONNREFUSED}]" in text:
        found = "that nobody listens there: is the program that serves the port running?"
    else:
        found = text
    return PortError(
        f"{name}: expected a serial port, found {found}", field=name, expected="a serial port", found=found
    )


def _ports() -> str:
    from serial.tools.list_ports import comports

    return ", ".join(sorted(port.device for port in comports()))
