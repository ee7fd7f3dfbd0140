"""The UDP socket: datagrams to a receiver in batches, and snapshots of it."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import sys
import threading
import time
from types import TracebackType

from aether_temporal.errors import InvalidArgumentError

from .documents import Snapshot, take_snapshot
from .packet_receiver import PacketReceiver

_BATCH = 512  # datagrams between two looks at the clock of snapshots
_PUBLISH = 0.1  # seconds
_DATAGRAM = 1 << 16  # bytes: more than UDP carries
_BUFFER = 8 << 20  # bytes
_FORCE = getattr(socket, "SO_RCVBUFFORCE", 33 if sys.platform == "linux" else None)
_MEMINFO = 55 if sys.platform == "linux" else None  # SO_MEMINFO: nine numbers, the last one counts drops
_MAPPED = "::ffff:"


class UdpListener:
    """Owns the socket. `start` reads it in a thread; without it, call `poll` repeatedly. Memory is bounded: what is not
    read yet waits in the system's buffer."""

    def __init__(self, receiver: PacketReceiver, bind: str | None = None, port: int = 5005) -> None:
        """Binds the socket.

        bind: an address of this computer; None: all of them, IPv4 and IPv6. port 0: any free one.
        InvalidArgumentError: not an address. OSError: the address or port is not available.
        """
        self.receiver = receiver
        self._socket = listening_socket(bind, port)
        self._buffer = bytearray(_DATAGRAM)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._published = 0.0
        self.failure: BaseException | None = None  # the exception that ended the thread
        self.snapshot: Snapshot = take_snapshot(receiver, time.monotonic(), None)

    @property
    def address(self) -> tuple[str, int]:
        """Address and port of the socket."""
        return sender_of(self._socket.getsockname())

    @property
    def buffer_bytes(self) -> int:
        """Size of the system's buffer for datagrams that are not read yet."""
        return buffer_size(self._socket)

    def poll(self, timeout: float = 0.1) -> int:
        """Waits at most `timeout` seconds for datagrams and takes at most 512. Returns how many it took."""
        readable = select.select([self._socket], [], [], timeout)[0]
        taken = self._drain() if readable else 0
        if time.monotonic() - self._published >= _PUBLISH:
            self._publish()
        return taken

    def start(self) -> None:
        """Reads in a thread until `close`."""
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Takes what has arrived already (one batch) and closes the socket. May be repeated."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._socket.fileno() >= 0:
            self._drain()
            self._publish()
            self._socket.close()

    def __enter__(self) -> UdpListener:
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
        take, view = self.receiver.take, memoryview(self._buffer)
        for taken in range(_BATCH):
            try:
                size, sender = self._socket.recvfrom_into(self._buffer)
            except BlockingIOError:
                return taken
            except OSError:  # Windows: an ICMP error for a packet sent earlier, or a datagram that is too large
                continue
            address, port = sender_of(sender)
            take(bytes(view[:size]), address, port, time.time(), time.monotonic())
        return _BATCH

    def _publish(self) -> None:
        self._published = time.monotonic()
        self.snapshot = take_snapshot(self.receiver, self._published, system_drops(self._socket))


def listening_socket(bind: str | None, port: int) -> socket.socket:
    """A non-blocking UDP socket. bind: an address; None: all of this computer, IPv4 and, where available, IPv6.

    InvalidArgumentError: not an address. OSError: the address or port is not available.
    """
    if bind is None:
        if socket.has_dualstack_ipv6():
            with contextlib.suppress(OSError):  # IPv6 is compiled in but disabled
                return _bound(socket.AF_INET6, ("::", port), dual=True)
        return _bound(socket.AF_INET, ("0.0.0.0", port))
    try:
        found = socket.getaddrinfo(bind, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        raise InvalidArgumentError.of("bind", "an IPv4 or IPv6 address of this computer", repr(bind)) from None
    family, _, _, _, where = found[0]
    return _bound(family, where)


def _bound(family: int, where: tuple[object, ...], dual: bool = False) -> socket.socket:
    found = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
        _enlarge_buffer(found)
        found.setblocking(False)
        found.bind(where)
    except OSError as error:
        found.close()
        if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
            error.filename = f"UDP {where[0]} port {where[1]}"
        raise
    return found


def _enlarge_buffer(found: socket.socket) -> None:
    """Asks for 8 MiB; a privileged process gets them beyond the system's limit."""
    for option in (socket.SO_RCVBUF, _FORCE):
        if option is not None:
            with contextlib.suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, option, _BUFFER)


def buffer_size(found: socket.socket) -> int:
    """Bytes of the receive buffer, as the system reports them. (Linux reports twice what was set.)"""
    return found.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def system_drops(found: socket.socket) -> int | None:
    """Datagrams that the system dropped because the buffer was full; None where it does not count them."""
    if _MEMINFO is None:
        return None
    try:
        info = found.getsockopt(socket.SOL_SOCKET, _MEMINFO, 36)
    except OSError:
        return None
    return int.from_bytes(info[32:36], sys.byteorder) if len(info) >= 36 else None


def sender_of(address: tuple[object, ...]) -> tuple[str, int]:
    """Address and port of a socket address: mapped IPv4 as IPv4, a link-local address with its interface."""
    host, port = str(address[0]), address[1]
    assert isinstance(port, int)
    if host.startswith(_MAPPED) and "." in host:
        return host[len(_MAPPED) :], port
    if len(address) == 4 and address[3] and "%" not in host:
        return f"{host}%{address[3]}", port
    return host, port
