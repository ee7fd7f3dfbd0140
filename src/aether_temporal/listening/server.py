"""From a socket to a station, in batches; and a view of it for whoever shows it."""

from __future__ import annotations

import select
import threading
import time
from types import TracebackType

from .receiving import receiver_of
from .socket_filter import hold_back
from .sockets import buffer_size, listening_socket, sender_of, system_drops
from .station import Station
from .view import View, view_of

_BATCH = 512  # datagrams after which something else is looked at
_PUBLISH = 0.1  # seconds


class Listener:
    """Owns the socket. `start` reads in a thread; without it, call `poll` again and again. Memory is bounded: what is
    not yet read waits in the system's buffer."""

    def __init__(self, station: Station, bind: str | None = None, port: int = 5005) -> None:
        """Binds. bind None: every address of this computer; port 0: any free one. InvalidArgumentError, OSError."""
        self.station = station
        self._socket = listening_socket(bind, port)
        self._receiver = receiver_of(self._socket)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._published = 0.0
        self._held_version = 0
        self.failure: BaseException | None = None  # what ended the thread, if anything did
        self.view: View = view_of(station, time.monotonic(), None)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return sender_of(self._socket.getsockname())

    @property
    def buffer_bytes(self) -> int:
        """The system's buffer for what is not read yet."""
        return buffer_size(self._socket)

    def poll(self, timeout: float = 0.1) -> int:
        """Waits until something comes, at most `timeout` seconds; takes about 512 datagrams. How many it took."""
        taken = 0
        if select.select([self._socket], [], [], timeout)[0]:
            taken = self._drain()
        else:
            self._hold_back()
        if time.monotonic() - self._published >= _PUBLISH:
            self._publish()
        return taken

    def start(self) -> None:
        """Reads in a thread until `close`."""
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Takes what has arrived already (one batch), then ends."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._socket.fileno() >= 0:
            self._drain()
            self._publish()
            self._socket.close()

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.poll()
        except BaseException as error:
            self.failure = error

    def _drain(self) -> int:
        take, receive, most = self.station.take, self._receiver.receive, self._receiver.most
        taken = 0
        while taken < _BATCH:
            datagrams = receive()
            wall, now = time.time(), time.monotonic()
            for data, address, port in datagrams:
                take(data, address, port, wall, now)
            taken += len(datagrams)
            self._hold_back()
            if len(datagrams) < most:
                break
        return taken

    def _hold_back(self) -> None:
        """Addresses that flood, and only they, do not get as far as the buffer that all share."""
        gate = self.station.gate
        gate.release(time.monotonic())
        if gate.version != self._held_version:
            self._held_version = gate.version
            hold_back(self._socket, gate.held)

    def _publish(self) -> None:
        self._published = time.monotonic()
        self.view = view_of(self.station, self._published, system_drops(self._socket))
