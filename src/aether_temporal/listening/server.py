"""From a socket to a station, in batches; and a view of it for whoever shows it."""

from __future__ import annotations

import select
import socket
import threading
import time
from types import TracebackType

from .sockets import buffer_size, listening_socket, sender_of, system_drops
from .station import Station
from .view import View, view_of

_BATCH = 512  # datagrams read before anything else is looked at
_DATAGRAM = 1 << 16  # bytes, the most that UDP carries and one more
_PUBLISH = 0.1  # seconds


class Listener:
    """Owns the socket. `start` reads in a thread; without it, call `poll` again and again. Memory is bounded: one
    datagram is looked at at a time, and what is not yet read waits in the system's buffer."""

    def __init__(self, station: Station, bind: str | None = None, port: int = 5005) -> None:
        """Binds. bind None: every address of this computer; port 0: any free one. InvalidArgumentError, OSError."""
        self.station = station
        self._socket = listening_socket(bind, port)
        self._buffer = bytearray(_DATAGRAM)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._published = 0.0
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
        """Waits until something comes, at most `timeout` seconds; takes at most 512 datagrams. How many it took."""
        taken = 0
        if select.select([self._socket], [], [], timeout)[0]:
            taken = self._drain(self._socket)
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
            self._drain(self._socket)
            self._publish()
            self._socket.close()

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.poll()

    def _drain(self, found: socket.socket) -> int:
        take, receive, buffer, view = self.station.take, found.recvfrom_into, self._buffer, memoryview(self._buffer)
        wall, now = time.time(), time.monotonic()
        for taken in range(_BATCH):
            try:
                size, address = receive(buffer)
            except BlockingIOError:
                return taken
            except OSError:  # Windows: an earlier answer was refused, or a datagram does not fit; neither is ours
                continue
            take(bytes(view[:size]), *sender_of(address), wall, now)
        return _BATCH

    def _publish(self) -> None:
        self._published = time.monotonic()
        self.view = view_of(self.station, self._published, system_drops(self._socket))
